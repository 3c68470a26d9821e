//! Resolves the addresses to listen on, finds conflicts between them, and opens their sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::sockets::Passed;
use crate::config::Config;
use crate::error::Error;

/// How many connections may wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// An address from an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) option: &'static str,
    pub(super) address: SocketAddr,
    /// As written in the option; may be a name with several addresses.
    given: String,
    /// Does not take IPv4 connections as well, which another socket may have.
    only_v6: bool,
}

/// Where to listen by the configuration. `listens` says whether to listen on the addresses of `--listen`.
pub(super) async fn wanted(config: &Config, listens: bool, passed: &Passed) -> Result<Vec<Wanted>, Error> {
    let mut named: Vec<(&'static str, &[String])> = Vec::new();
    #[cfg(feature = "tls")]
    named.push(("--listen-tls", &config.tls.listen));
    named.push(("--listen", if listens { &config.listen } else { &[] }));
    #[cfg(feature = "web")]
    named.push(("--web", &config.web.listen));
    #[cfg(all(feature = "web", feature = "tls"))]
    named.push(("--web-tls", &config.web.listen_tls));
    #[cfg(feature = "metrics")]
    named.push(("--metrics", &config.metrics));
    let mut wanted: Vec<Wanted> = Vec::new();
    for (option, given) in named.iter().flat_map(|(option, given)| given.iter().map(|given| (*option, given))) {
        // Not a setup error: the resolver may be available later.
        let found = tokio::net::lookup_host(given).await;
        let found = found.map_err(|error| Error::Command(format!("can't look up {given}: {error}; see {option}")))?;
        let before = wanted.len();
        for address in found {
            // [::ffff:127.0.0.1] is an IPv4 address.
            let address = match address.ip().to_canonical() {
                ip if ip.is_ipv4() => SocketAddr::new(ip, address.port()),
                _ => address,
            };
            // A resolver may return an address twice.
            if !wanted.iter().skip(before).any(|one| one.address == address) {
                wanted.push(Wanted { option, address, given: given.clone(), only_v6: false });
            }
        }
    }
    check(&wanted)?;
    let of_passed = passed.plain.iter().chain(&passed.tls).chain(&passed.web).chain(&passed.metrics);
    let passed: Vec<_> = of_passed.filter_map(|socket| socket.local_addr().ok()).collect();
    let all: Vec<_> = wanted.iter().map(|one| one.address).chain(passed).collect();
    for one in &mut wanted {
        // [::] takes IPv4 as well, unless an IPv4 address is configured separately.
        let is_named = |other: &SocketAddr| other.is_ipv4() && other.port() == one.address.port() && other.port() != 0;
        one.only_v6 = !one.address.ip().is_unspecified() || all.iter().any(is_named);
    }
    Ok(wanted)
}

/// Checks that no two are the same or overlap.
fn check(wanted: &[Wanted]) -> Result<(), Error> {
    for (at, one) in wanted.iter().enumerate().filter(|(_, one)| one.address.port() != 0) {
        let others = wanted.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
        for other in others.filter(|other| other.address.port() == one.address.port()) {
            let given = |one: &Wanted| format!("{} {}", one.option, one.given);
            if one.address == other.address {
                let text = format!("{} and {} are the same address; name it once", given(one), given(other));
                return Err(Error::Setup(text));
            }
            if one.address.ip().is_unspecified() && one.address.is_ipv4() == other.address.is_ipv4() {
                let text = format!(
                    "{} covers all addresses, including that of {}; name only one of them",
                    given(one),
                    given(other)
                );
                return Err(Error::Setup(text));
            }
        }
    }
    Ok(())
}

impl Wanted {
    fn socket(&self) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if self.address.is_ipv6() {
            // Whatever the system's default is.
            socket.set_only_v6(self.only_v6)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    }

    /// Listens there.
    fn bind(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.socket()?.into())
    }

    fn failed(&self, error: &io::Error) -> Error {
        let text = format!("can't listen on {}: {error}; see {}", self.address, self.option);
        // An address in use may become free, and a missing one may appear; what is forbidden stays forbidden.
        if error.kind() == io::ErrorKind::PermissionDenied { Error::Setup(text) } else { Error::Command(text) }
    }

    /// Whether listening there would work.
    pub(super) fn check(&self, is_running: bool) -> Result<(), Error> {
        match self.socket() {
            // The running daemon has it.
            Err(error) if is_running && error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            Err(error) => Err(self.failed(&error)),
            Ok(_) => Ok(()),
        }
    }
}

/// Listens on the addresses of one option. If a name has several addresses, those that this machine has are enough.
pub(super) fn bind(wanted: &[Wanted], option: &str) -> Result<Vec<TcpListener>, Error> {
    let mut bound: Vec<(&str, TcpListener)> = Vec::new();
    let mut missing: Option<(&str, Error)> = None;
    for one in wanted.iter().filter(|one| one.option == option) {
        if let Some((_, error)) = missing.take_if(|(given, _)| *given != one.given) {
            return Err(error);
        }
        let has_one = |bound: &[(&str, TcpListener)]| bound.iter().any(|(given, _)| *given == one.given);
        match one.bind() {
            Ok(listener) => {
                missing = None;
                bound.push((&one.given, listener));
            }
            Err(error) if !is_absent(&error) => return Err(one.failed(&error)),
            Err(error) if has_one(&bound) => tracing::warn!("{}", one.failed(&error)),
            Err(error) => missing = Some((&one.given, one.failed(&error))),
        }
    }
    match missing {
        Some((_, error)) => Err(error),
        None => Ok(bound.into_iter().map(|(_, listener)| listener).collect()),
    }
}

/// Whether this machine has no such address.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}
