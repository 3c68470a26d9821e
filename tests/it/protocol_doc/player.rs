//! Plays the lines of a block against the daemon.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::blocks::same;
use crate::common::{DEADLINE, Daemon};

type Connection = BufReader<TcpStream>;

fn connect(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// The next line; none where the daemon has closed.
fn receive(number: usize, connection: &mut Connection) -> Option<String> {
    let mut line = Vec::new();
    match connection.read_until(b'\n', &mut line) {
        Ok(0) => return None,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
        Err(error) => panic!("line {number}: nothing came ({error})"),
        Ok(_) => {}
    }
    let line = String::from_utf8(line).unwrap();
    Some(line.strip_suffix('\n').unwrap_or_else(|| panic!("line {number}: cut off: {line}")).to_owned())
}

fn expect(number: usize, connection: &mut Connection, document: &str) {
    let actual = receive(number, connection).unwrap_or_else(|| panic!("line {number}: the daemon closed"));
    assert!(same(document, &actual), "line {number}:\n  document: {document}\n    daemon: {actual}");
}

/// A daemon, and the connections that an example has open.
pub struct Player {
    daemon: Daemon,
    connections: BTreeMap<String, Connection>,
}

impl Player {
    /// With an empty daemon.
    pub fn start(options: &[&str]) -> Player {
        Player { daemon: Daemon::start_with(options), connections: BTreeMap::new() }
    }

    fn get(&mut self, number: usize, name: &str) -> &mut Connection {
        self.connections.get_mut(name).unwrap_or_else(|| panic!("line {number}: {name} is not connected"))
    }

    fn connect(&mut self, number: usize, name: &str) {
        self.end(number, name);
        self.connections.insert(name.to_owned(), connect(self.daemon.address()));
    }

    /// A line of a `dantok` block.
    pub fn line(&mut self, number: usize, line: &str) {
        if let Some(event) = line.strip_prefix("-- ") {
            return self.event(number, event);
        }
        let (who, text) = line.split_once(": ").unwrap_or_else(|| panic!("line {number}: what is `{line}`?"));
        match who {
            "C" | "C2" => self.send(number, who, format!("{text}\n").as_bytes()),
            "S" => expect(number, self.get(number, "C"), text),
            "S2" => expect(number, self.get(number, "C2"), text),
            _ => panic!("line {number}: who is `{who}`?"),
        }
    }

    /// A `-- ` line: what happens that is no line of the protocol.
    pub fn event(&mut self, number: usize, event: &str) {
        match event.split(' ').collect::<Vec<_>>().as_slice() {
            [name, "connects"] => self.connect(number, name),
            [name, "half-closes"] => self.get(number, name).get_ref().shutdown(Shutdown::Write).unwrap(),
            [name, "closes"] => self.end(number, name),
            [name, "is", "closed"] => {
                let more = receive(number, self.get(number, name));
                assert_eq!(more, None, "line {number}: not closed");
                self.connections.remove(*name);
            }
            [time, "ms", "pass"] => std::thread::sleep(Duration::from_millis(time.parse().unwrap())),
            [name, "sends", count, "bytes", "and", "a", "line", "end"] => {
                let mut bytes = vec![b'x'; count.parse().unwrap()];
                bytes.push(b'\n');
                self.send(number, name, &bytes);
            }
            [name, "sends", bytes @ ..] => {
                let bytes: Vec<u8> = bytes.iter().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
                self.send(number, name, &bytes);
            }
            ["the", "daemon", "is", "killed", "and", "started", "again"] => {
                self.kill(number);
                self.daemon.start_again();
            }
            _ => panic!("line {number}: what is `{event}`?"),
        }
    }

    fn kill(&mut self, number: usize) {
        self.daemon.kill();
        self.end_all(number);
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, number: usize, name: &str, bytes: &[u8]) {
        self.get(number, name).get_mut().write_all(bytes).unwrap();
    }

    /// Takes as many bytes.
    pub fn take(&mut self, number: usize, name: &str, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let taken = self.get(number, name).read_exact(&mut bytes);
        assert!(taken.is_ok(), "line {number}: {count} bytes were to come: {taken:?}");
        bytes
    }

    /// A line of a `console` block: a shell's command, or what was typed into or shown by the last `nc`.
    pub fn console(&mut self, number: usize, line: &str) {
        let Some(command) = line.strip_prefix("$ ") else { return self.nc(number, line) };
        match command.split(' ').collect::<Vec<_>>().as_slice() {
            ["nc", "127.0.0.1", "7420"] => self.connect(number, "nc"),
            ["printf", .., "nc", "-N", "127.0.0.1", "7420"] => self.script(number, command),
            ["kill", "-9", ..] => self.kill(number),
            ["cargo", "run", "--release"] => self.daemon.start_again(),
            _ => panic!("line {number}: what is `{command}`?"),
        }
    }

    fn nc(&mut self, number: usize, line: &str) {
        let verb = line.split(' ').next().unwrap_or_default();
        if dantok_protocol::line::VERBS.iter().any(|of| of.name == verb) {
            self.send(number, "nc", format!("{line}\n").as_bytes());
        } else {
            expect(number, self.get(number, "nc"), line);
        }
    }

    /// `printf '…' | nc -N …`: what it says, and what comes up to the end, without needing an `nc`.
    fn script(&mut self, number: usize, command: &str) {
        let typed = command.split('\'').nth(1).unwrap().replace("\\n", "\n");
        self.connect(number, "nc");
        self.send(number, "nc", typed.as_bytes());
        self.event(number, "nc half-closes");
    }

    /// Ends a connection, which must have nothing left to say.
    fn end(&mut self, number: usize, name: &str) {
        let Some(mut connection) = self.connections.remove(name) else { return };
        // It fails where the daemon has closed already.
        let _ = connection.get_ref().shutdown(Shutdown::Write);
        let mut left = Vec::new();
        let _ = connection.read_to_end(&mut left);
        let left = String::from_utf8_lossy(&left);
        assert!(left.is_empty(), "line {number}: {name} was told more than the document says: {left}");
    }

    /// Ends all connections.
    pub fn finish(mut self) {
        self.end_all(0);
    }

    fn end_all(&mut self, number: usize) {
        for name in self.connections.keys().cloned().collect::<Vec<_>>() {
            self.end(number, &name);
        }
    }
}
