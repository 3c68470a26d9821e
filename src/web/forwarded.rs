//! What a trusted proxy says about a request: `Forwarded` (RFC 7239), or `X-Forwarded-For`, `-Proto` and `-Host`.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};

use crate::config::Network;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What the proxies have said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// For whom each of them forwarded the request, the last proxy's word last; `None` where it would not say.
    pub(super) chain: Vec<Option<IpAddr>>,
    /// The host that the browser asked for.
    pub(super) host: Option<String>,
    /// Whether the browser speaks HTTPS.
    pub(super) is_https: Option<bool>,
}

/// Reads the headers; `Forwarded`, if there is one, and the others if not.
///
/// # Errors
/// A header is malformed. Nothing may be guessed from it, because limits depend on it.
pub(super) fn read(headers: &HeaderMap) -> Result<Said, ()> {
    let mut said = Said::default();
    if headers.contains_key(FORWARDED) {
        for element in elements(headers, &FORWARDED)? {
            let mut origin = None;
            for pair in split(&element, ';')? {
                let Some((name, text)) = pair.split_once('=') else { return Err(()) };
                let text = unquoted(text.trim());
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => origin = address(&text)?,
                    "host" => said.host = Some(text),
                    "proto" => said.is_https = Some(is_https(&text)?),
                    _ => {}
                }
            }
            said.chain.push(origin);
        }
        return Ok(said);
    }
    for element in elements(headers, &FOR)? {
        said.chain.push(address(element.trim())?);
    }
    said.host = elements(headers, &HOST)?.pop().map(|host| host.trim().to_owned());
    said.is_https = elements(headers, &PROTO)?.pop().map(|proto| is_https(proto.trim())).transpose()?;
    Ok(said)
}

/// The address that a request comes from: the last in the chain that is no trusted proxy. `proxy` is who connected.
pub(super) fn client(said: &Said, proxy: IpAddr, trusted: &[Network]) -> IpAddr {
    let mut client = proxy;
    for address in said.chain.iter().rev() {
        let Some(address) = address else { break };
        client = *address;
        if !trusted.iter().any(|network| network.contains(client)) {
            break;
        }
    }
    client.to_canonical()
}

fn is_https(proto: &str) -> Result<bool, ()> {
    match proto.to_ascii_lowercase().as_str() {
        "https" | "wss" => Ok(true),
        "http" | "ws" => Ok(false),
        _ => Err(()),
    }
}

/// The elements of a header that is a list, and may be repeated.
fn elements(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<String>, ()> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        all.extend(split(value.to_str().map_err(|_| ())?, ',')?);
    }
    Ok(all)
}

/// Splits where the separator is not quoted. Empty parts are left out.
fn split(text: &str, separator: char) -> Result<Vec<String>, ()> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in text.chars() {
        if c == separator && !is_quoted {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        part.push(c);
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    if is_quoted { Err(()) } else { Ok(parts) }
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.to_owned() };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// An address, with or without a port. `None` for one that the proxy hides.
fn address(text: &str) -> Result<Option<IpAddr>, ()> {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Ok(None);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.map(Some).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(given: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_forms_say_the_same() {
        let old = headers(&[
            (&FOR, "198.51.100.7, 192.0.2.1"),
            (&FOR, "[2001:db8::1]:4711"),
            (&PROTO, "https"),
            (&HOST, "chat.example.org"),
        ]);
        let new = headers(&[
            (&FORWARDED, "for=198.51.100.7;proto=http, For=\"192.0.2.1:80\""),
            (&FORWARDED, "for=\"[2001:db8::1]:4711\";host=\"chat.example.org\";Proto=https;by=_x"),
            (&FOR, "203.0.113.1"),
        ]);
        let chain = vec![Some(ip("198.51.100.7")), Some(ip("192.0.2.1")), Some(ip("2001:db8::1"))];
        let said = Said { chain, host: Some("chat.example.org".to_owned()), is_https: Some(true) };
        assert_eq!((read(&old), read(&new)), (Ok(said), read(&new)));
        assert_eq!(read(&old), read(&new));
    }

    #[test]
    fn nothing_is_guessed() {
        for (name, value) in [
            (&FOR, "198.51.100.7, here"),
            (&FOR, "1.2.3"),
            (&PROTO, "gopher"),
            (&FORWARDED, "for=\"198.51.100.7"),
            (&FORWARDED, "for"),
            (&FORWARDED, "for=somewhere"),
        ] {
            assert_eq!(read(&headers(&[(name, value)])), Err(()), "{value}");
        }
        assert_eq!(read(&headers(&[])), Ok(Said::default()));
        assert_eq!(read(&headers(&[(&FOR, "unknown")])).unwrap().chain, [None]);
    }

    #[test]
    fn the_client_is_who_the_last_trusted_proxy_names() {
        let trusted = [Network::parse("127.0.0.1").unwrap(), Network::parse("10.0.0.0/8").unwrap()];
        let client = |chain: &str| {
            let said = read(&headers(&[(&FOR, chain)])).unwrap();
            client(&said, ip("127.0.0.1"), &trusted).to_string()
        };
        // What stands before that may be made up.
        assert_eq!(client("203.0.113.9, 198.51.100.7"), "198.51.100.7");
        assert_eq!(client("203.0.113.9, 198.51.100.7, 10.1.1.1"), "198.51.100.7");
        assert_eq!(client("10.1.1.1"), "10.1.1.1");
        assert_eq!(client("203.0.113.9, unknown"), "127.0.0.1");
        assert_eq!(client("::ffff:198.51.100.7"), "198.51.100.7");
    }
}
