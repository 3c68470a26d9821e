//! A person with `nc`, and a script with `printf … | nc -N`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{Daemon, has_tool};

fn nc(daemon: &Daemon, flags: &[&str]) -> Child {
    let address = daemon.address();
    Command::new("nc")
        .args(flags)
        .args([address.ip().to_string(), address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// `printf … | nc -N`
fn piped(daemon: &Daemon, input: &[u8]) -> String {
    let mut nc = nc(daemon, &["-N"]);
    let mut stdin = nc.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = nc.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Somebody at a terminal.
struct Person {
    nc: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Person {
    fn new(daemon: &Daemon) -> Person {
        let mut nc = nc(daemon, &[]);
        let (stdin, stdout) = (nc.stdin.take(), BufReader::new(nc.stdout.take().unwrap()));
        Person { nc, stdin, stdout }
    }

    fn types(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn sees(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    fn asks(&mut self, line: &str, answer: &str) {
        self.types(line);
        assert_eq!(self.sees(), answer, "{line}");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.nc.kill();
        let _ = self.nc.wait();
    }
}

#[test]
fn a_pipe_gets_every_answer_and_half_a_command_stores_nothing() {
    if !has_tool("nc") {
        return;
    }
    let daemon = Daemon::start();
    let answers = piped(&daemon, b"HELLO me\nJOIN r\nSEND r one\r\n@2 SEND r two\nFETCH r\nSEND r hal");
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines[1..4], ["OK cursor=0 last=0 created number=1", "OK 1", "@2 OK 2"]);
    assert!(lines[4].starts_with("MSG r 1 ") && lines[4].ends_with(" me one"), "{answers}");
    assert!(lines[5].starts_with("MSG r 2 ") && lines[5].ends_with(" me two"), "{answers}");
    assert_eq!(lines[6..], ["END r 2 1 2"]);
    // Nor does half a payload, nor a whole one whose line end is missing.
    for cut in [&b"HELLO me\nSENDB r 9\nhal"[..], b"HELLO me\nSENDB r 4\nhalf"] {
        assert_eq!(piped(&daemon, cut).lines().count(), 1);
    }
    assert!(piped(&daemon, b"HELLO me\nFETCH r after=2\n").ends_with("\nEND r 2 1 2\n"));
    // Far more than one read, and than may wait for answers at once.
    let many: String = (0..5000).map(|n| format!("SEND r number {n}\n")).collect();
    let answers = piped(&daemon, format!("HELLO me\n{many}").as_bytes());
    let expected: Vec<String> = (3..5003).map(|seq| format!("OK {seq}")).collect();
    assert_eq!(answers.lines().skip(1).collect::<Vec<_>>(), expected);
    assert!(piped(&daemon, b"HELLO me\nFETCH r\n").ends_with(" me number 4999\nEND r 5002 1 5002\n"));
}

#[test]
fn a_session_by_hand_survives_the_daemon() {
    if !has_tool("nc") {
        return;
    }
    let mut daemon = Daemon::start();
    let mut person = Person::new(&daemon);
    person.types("HELLO 앨리스");
    assert!(person.sees().starts_with("OK dantok/"));
    person.asks("JOIN 단톡방", "OK cursor=0 last=0 created number=1");
    person.asks("SEND 단톡방 안녕하세요", "OK 1");
    person.asks("SEND id=2 단톡방 또 봐요 👋", "OK 2");
    person.types("FETCH 단톡방");
    assert!(person.sees().ends_with(" 앨리스 안녕하세요"));
    assert!(person.sees().ends_with(" 앨리스 또 봐요 👋"));
    assert_eq!(person.sees(), "END 단톡방 2 1 2");
    person.asks("ACK 단톡방 1", "OK 1");
    person.types("SEND 단톡방 never ended");
    daemon.kill();
    person.stdin = None; // nc ends when both sides have.
    // Either it was stored, and then it is there; or it was not, and then nobody was told that it is.
    let mut rest = String::new();
    person.stdout.read_to_string(&mut rest).unwrap();
    assert!(["", "OK 3\n"].contains(&&*rest), "{rest}");

    daemon.start_again();
    let mut person = Person::new(&daemon);
    person.types("HELLO 앨리스");
    assert!(person.sees().starts_with("OK dantok/"));
    person.types("FETCH 단톡방 1");
    assert!(person.sees().ends_with(" 앨리스 또 봐요 👋"));
    let end = person.sees();
    assert!(["END 단톡방 2 1 2", "END 단톡방 2 1 3"].contains(&&*end), "{end}");
    assert!(rest.is_empty() || end.ends_with('3'), "acknowledged, and gone: {end}");
    person.asks("SEND id=2 단톡방 또 봐요 👋", "OK 2 dup");
    person.asks("QUIT", "OK bye");
}
