//! Which names the web answers to, and from which pages it takes requests.
//!
//! Any page in a browser can send requests to any address that the browser can reach. A page whose own name was pointed here (DNS rebinding)
//! is stopped by the Host check, and any other page by its `Origin`.

use hyper::header::{HOST, HeaderName, ORIGIN, UPGRADE};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode};

use super::Site;
use super::forwarded;
use super::problem::Problem;
use super::serve::Visitor;
use dantok_protocol::ErrorCode;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host that a request is for, as the browser sees it.
#[derive(Debug)]
pub(super) struct Host {
    /// The name or address, and the port if one is given.
    pub(super) authority: String,
    /// Whether the browser speaks HTTPS; `None` if a proxy might, and does not say.
    pub(super) is_https: Option<bool>,
}

fn bad(text: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadArgument, text)
}

/// Finds out for which host a request is, and whether this is one.
///
/// # Errors
/// There is not exactly one host, or it is another.
pub(super) fn host<B>(visitor: &Visitor, request: &Request<B>) -> Result<Host, Problem> {
    let mut named = request.headers().get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    let (Some(first), None) = (first, second) else { return Err(bad("a request has exactly one Host header")) };
    let parsed = first.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let Some(direct) = parsed else { return Err(bad("the Host header is not a host")) };
    if request.uri().authority().is_some_and(|target| *target != direct) {
        return Err(bad("the Host header and the request's target name different hosts"));
    }
    let (mut host, mut is_https) = (direct, Some(visitor.is_tls));
    if visitor.is_trusted_proxy {
        let said =
            forwarded::read(request.headers()).map_err(|()| bad("the proxy's Forwarded headers can't be read"))?;
        if let Some(forwarded) = said.host {
            host = forwarded.parse().map_err(|_| bad("the proxy forwards a host that is none"))?;
        }
        is_https = said.is_https.or(if visitor.is_tls { Some(true) } else { None });
    }
    if !is_ours(&visitor.site, &host) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::Denied,
            format!("this daemon is not known as {}; its operator can name it with --web-host", host.host()),
        ));
    }
    Ok(Host { authority: host.as_str().to_ascii_lowercase(), is_https })
}

/// localhost, an IP address, or a name of `--web-host`. An address can't be rebound.
fn is_ours(site: &Site, host: &Authority) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok()
        || site.settings.hosts.iter().any(|own| own == name)
}

/// Refuses a request that may change something, or opens a WebSocket, if a page of another origin sent it. Programs send no `Origin`.
///
/// # Errors
/// It comes from elsewhere.
pub(super) fn origin<B>(request: &Request<B>, host: &Host) -> Result<(), Problem> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe && !request.headers().contains_key(UPGRADE) {
        return Ok(());
    }
    let denied = |from: &str| {
        let text = format!(
            "this request comes from {from}, and not from a page of {}; behind a proxy, have it pass the Host header on",
            host.authority
        );
        Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Denied, text))
    };
    let mut origins = request.headers().get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => {}
        (Some(origin), None) => {
            let origin = origin.to_str().unwrap_or_default();
            if !is_same(origin, host) {
                return denied(if origin.is_empty() { "an unknown origin" } else { origin });
            }
        }
        _ => return denied("several origins"),
    }
    match request.headers().get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => denied("another site"),
    }
}

/// Whether an origin is that of the host: the same name and port, and the same protocol as far as it is known.
fn is_same(origin: &str, host: &Host) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    if host.is_https.is_some_and(|is_https| is_https != (scheme == "https")) {
        return false;
    }
    let parsed = |text: &str| {
        let authority = text.parse::<Authority>().ok()?;
        Some((authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default)))
    };
    parsed(authority).is_some_and(|origin| parsed(&host.authority) == Some(origin))
}
