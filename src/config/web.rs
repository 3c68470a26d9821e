//! The settings of the web: where it is served, under which names, and which proxies are believed.

use std::net::IpAddr;

use super::table::{one, quoted};
use super::{Setting, address};

/// The settings of the web.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// Addresses to listen on for browsers and HTTP clients.
    pub listen: Vec<String>,
    /// Addresses to listen on for the same inside TLS.
    #[cfg(feature = "tls")]
    pub listen_tls: Vec<String>,
    /// Names under which browsers may reach it, besides localhost and IP addresses.
    pub hosts: Vec<String>,
    /// The path that everything is below; empty for the root, otherwise with a slash at the beginning and none at the end.
    pub path: String,
    /// Proxies whose word about a client's address, protocol and host is taken.
    pub trusted_proxies: Vec<Network>,
}

/// An address, or a network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        // An IPv4 address in IPv6 form, as the system shows clients of a socket for both.
        match address.to_canonical() {
            address if address.is_ipv4() && most == 128 => Some(Network { address, prefix: prefix.checked_sub(96)? }),
            address => Some(Network { address, prefix }),
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix == most { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

const HEADING: &str = "Web";

pub(super) const LISTEN: Setting = Setting {
    name: "web",
    value: "ADDRESS",
    heading: HEADING,
    help: "Address to serve the chat page, WebSockets and the HTTP API on, like 127.0.0.1:7480; may be repeated, or none",
    many: true,
    switch: false,
    parse: |config, values| address::list(values).map(|addresses| config.web.listen = addresses),
    show: |config| toml::Value::from(config.web.listen.clone()).to_string(),
};

#[cfg(feature = "tls")]
pub(super) const LISTEN_TLS: Setting = Setting {
    name: "web-tls",
    value: "ADDRESS",
    heading: HEADING,
    help: "Address to serve the same on over HTTPS, like 0.0.0.0:7443; may be repeated; needs --tls-cert and --tls-key",
    many: true,
    switch: false,
    parse: |config, values| address::list(values).map(|addresses| config.web.listen_tls = addresses),
    show: |config| toml::Value::from(config.web.listen_tls.clone()).to_string(),
};

pub(super) const HOST: Setting = Setting {
    name: "web-host",
    value: "NAME",
    heading: HEADING,
    help: "Name that browsers reach the page by, like chat.example.org, besides localhost and IP addresses; may be repeated",
    many: true,
    switch: false,
    parse: |config, values| hosts(values).map(|hosts| config.web.hosts = hosts),
    show: |config| toml::Value::from(config.web.hosts.clone()).to_string(),
};

pub(super) const PATH: Setting = Setting {
    name: "web-path",
    value: "PATH",
    heading: HEADING,
    help: "Path that everything is served below, like /chat, for a proxy that serves other sites as well",
    many: false,
    switch: false,
    parse: |config, values| path(values).map(|path| config.web.path = path),
    show: |config| quoted(&config.web.path),
};

pub(super) const TRUSTED_PROXY: Setting = Setting {
    name: "web-trusted-proxy",
    value: "ADDRESS",
    heading: HEADING,
    help: "Address or network of a reverse proxy, like 127.0.0.1 or 10.0.0.0/8, whose Forwarded or X-Forwarded headers are believed; may be repeated",
    many: true,
    switch: false,
    parse: |config, values| proxies(values).map(|proxies| config.web.trusted_proxies = proxies),
    show: |config| {
        let shown = config.web.trusted_proxies.iter().map(ToString::to_string);
        toml::Value::from(shown.collect::<Vec<_>>()).to_string()
    },
};

/// The values of a setting that may be repeated, separated by commas as well. `none` alone means no value.
fn parts(values: &[String]) -> Vec<&str> {
    let parts: Vec<&str> = values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    if parts == ["none"] { Vec::new() } else { parts }
}

fn hosts(values: &[String]) -> Result<Vec<String>, String> {
    let is_host = |name: &&str| address::is_host(name);
    let read = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
    };
    let parts = parts(values);
    if parts.iter().all(is_host) {
        Ok(parts.into_iter().map(read).collect())
    } else {
        Err("takes a host name without a port, like chat.example.org".to_owned())
    }
}

fn path(values: &[String]) -> Result<String, String> {
    let path = one(values)?.trim_end_matches('/');
    let is_segment = |segment: &str| {
        let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !segment.is_empty() && segment.bytes().all(is_taken) && !matches!(segment, "." | "..")
    };
    let is_path = path.strip_prefix('/').is_some_and(|segments| segments.split('/').all(is_segment));
    if path.is_empty() || is_path {
        Ok(path.to_owned())
    } else {
        Err("takes a path of letters, digits and -._~ that begins with a slash, like /chat".to_owned())
    }
}

fn proxies(values: &[String]) -> Result<Vec<Network>, String> {
    let parsed = parts(values).into_iter().map(Network::parse).collect::<Option<Vec<_>>>();
    parsed.ok_or_else(|| "takes an IP address or a network, like 127.0.0.1 or 10.0.0.0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T>(parse: fn(&[String]) -> Result<T, String>, values: &[&str]) -> Result<T, String> {
        parse(&values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, inside, outside) in [
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"][..], &["127.0.0.2", "::1"][..]),
            ("::ffff:127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
            ("10.0.0.0/8", &["10.255.0.1"], &["11.0.0.1", "::1"]),
            ("0.0.0.0/0", &["1.2.3.4"], &["::1"]),
            ("2001:db8::/32", &["2001:db8:1::1"], &["2001:db9::1", "10.0.0.1"]),
            ("::/0", &["::1"], &["1.2.3.4"]),
        ] {
            let network = Network::parse(network).unwrap();
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{network} {address}");
            }
            for address in outside {
                assert!(!network.contains(address.parse().unwrap()), "{network} {address}");
            }
        }
        for text in
            ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::1/129", "localhost", "127.0.0.1:80", "::ffff:10.0.0.0/8"]
        {
            assert_eq!(Network::parse(text), None, "{text}");
        }
        let shown = |text: &str| Network::parse(text).unwrap().to_string();
        assert_eq!(
            [shown("10.0.0.0/8"), shown("::1"), shown("::ffff:10.0.0.0/104")],
            ["10.0.0.0/8", "::1", "10.0.0.0/8"]
        );
    }

    #[test]
    fn names_and_paths() {
        assert_eq!(
            of(hosts, &["Chat.Example.org.", "a,b"]),
            Ok(["chat.example.org", "a", "b"].map(str::to_owned).to_vec())
        );
        assert_eq!(of(hosts, &["none"]), Ok(vec![]));
        for name in ["", "a:80", "https://a", "a/b", "*.example.org", "127.0.0.1", "안녕"] {
            assert!(of(hosts, &[name]).is_err(), "{name}");
        }
        for (given, is) in [("/chat", "/chat"), ("/chat/", "/chat"), ("/a/b-c", "/a/b-c"), ("/", ""), ("", "")] {
            assert_eq!(of(path, &[given]), Ok(is.to_owned()));
        }
        for given in ["chat", "/a//b", "/a/../b", "/a?b", "/a b", "/안녕", "/%41"] {
            assert!(of(path, &[given]).is_err(), "{given}");
        }
        assert!(of(proxies, &["localhost"]).is_err());
        assert_eq!(of(proxies, &["127.0.0.1, ::1"]).unwrap().len(), 2);
    }
}
