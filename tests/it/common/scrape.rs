//! A minimal monitor for tests: it reads the text that Prometheus reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::http::get;
use super::{Daemon, wait_until};

/// A daemon that is asked, and where.
pub struct Watched {
    pub daemon: Daemon,
    pub address: SocketAddr,
}

impl Watched {
    pub fn start(flags: &[&str]) -> Watched {
        Watched::start_in(tempfile::tempdir().unwrap(), flags)
    }

    pub fn start_in(dir: tempfile::TempDir, flags: &[&str]) -> Watched {
        let daemon = Daemon::start_in(dir, &[&["--metrics", "127.0.0.1:0"], flags].concat());
        let address = listening(&daemon.log()).expect("an address for metrics in the log");
        Watched { daemon, address }
    }

    /// All figures, by name with labels, as they stand on the page.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        figures(&self.page())
    }

    pub fn page(&self) -> String {
        let answer = get(self.address, "/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// One of the figures, which is there.
    pub fn figure(&self, name: &str) -> f64 {
        let figures = self.figures();
        *figures.get(name).unwrap_or_else(|| panic!("no {name} among {figures:#?}"))
    }

    pub fn wait_for(&self, name: &str, is_wanted: impl Fn(f64) -> bool) {
        wait_until(name, || is_wanted(self.figure(name)));
    }
}

/// Where the daemon that wrote this log answers.
pub fn listening(log: &str) -> Option<SocketAddr> {
    let line = log.lines().rev().find(|line| line.contains(" metrics address="))?;
    line.rsplit_once("address=")?.1.trim().parse().ok()
}

pub fn figures(page: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    samples.collect()
}
