//! A minimal monitor for tests: HTTP, and the text that Prometheus reads.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;

use super::{Daemon, connect, wait_until};

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

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// Sends a request as it is; the answer ends with the connection.
pub fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    // What was sent and not read may make an error of the end.
    let _ = stream.read_to_end(&mut text);
    answer(&String::from_utf8(text).unwrap())
}

fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    let headers: BTreeMap<String, String> = lines.map(header).collect();
    // Prometheus's API answers in chunks where it likes to.
    let body = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer { status, headers, body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = &after[(length + 2).min(after.len())..];
    }
    body
}

pub fn figures(page: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    samples.collect()
}
