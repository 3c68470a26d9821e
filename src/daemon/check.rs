//! `dantok config --check`: finds what would make a start fail, without starting.

use std::net::SocketAddr;

use super::listen::{self, Wanted};
use super::sockets::Passed;
use crate::config::{Config, Resolved};
use crate::error::Error;
use crate::hooks::Hooks;

/// Opens and reads what a start would, and changes nothing. Returns a sentence for each problem. Does not look inside the store, which
/// `dantok check` does.
pub fn check(resolved: &Resolved) -> Vec<String> {
    let config = &resolved.config;
    let mut problems = Vec::new();
    let mut note = |error: Error| problems.push(error.to_string());
    let is_running = dantok_store::look(&config.data_dir).map_err(Error::from).map_err(&mut note).unwrap_or(false);
    let tokens = super::tokens(resolved).map_err(&mut note).ok();
    let _ = Hooks::open(&config.data_dir).map_err(&mut note);
    #[cfg(feature = "tls")]
    match config.tls_files() {
        Ok(Some(files)) => {
            drop(crate::tls::Server::load(&files).map_err(|error| note(Error::Setup(error.to_string()))))
        }
        Ok(None) => {}
        Err(error) => note(Error::Setup(error.to_string())),
    }
    match wanted(config) {
        Ok(wanted) => {
            let by_anybody = tokens.is_none_or(|tokens| tokens.are_wanted()) || config.open;
            for one in &wanted {
                if let Err(error) = one.check(is_running) {
                    note(error);
                }
                if let Err(error) = expect_open(one.address, by_anybody || is_kept(one, config)) {
                    note(error);
                }
            }
            if !wanted.iter().any(|one| one.option != "--metrics") {
                note(no_address());
            }
        }
        Err(error) => note(error),
    }
    problems
}

fn wanted(config: &Config) -> Result<Vec<Wanted>, Error> {
    let failed = |error| Error::Command(format!("can't look up names: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(listen::wanted(config, true, &Passed::default()))
}

/// Whether the address is safe from strangers: it reveals no personal data, or requires a client certificate.
fn is_kept(one: &Wanted, #[cfg_attr(not(feature = "tls"), expect(unused_variables))] config: &Config) -> bool {
    #[cfg(feature = "tls")]
    if matches!(one.option, "--listen-tls" | "--web-tls") && config.tls.client_ca.is_some() {
        return true;
    }
    one.option == "--metrics"
}

/// Refuses to listen on an address that others can reach, unless that is allowed.
pub(super) fn expect_open(address: SocketAddr, by_anybody: bool) -> Result<(), Error> {
    if address.ip().is_loopback() || by_anybody { Ok(()) } else { Err(Error::NotOpen { address }) }
}

pub(super) fn no_address() -> Error {
    Error::Setup("there is no address to listen on; name one by --listen, --listen-tls or --web".to_owned())
}
