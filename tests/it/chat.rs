//! The chat client in scripts, against the real daemon.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use crate::common::{Daemon, chat_binary, wait_until};

/// `chat`, with what it is given.
fn chat(server: &str, client: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(chat_binary());
    command.env_remove("DANTOK_TOKEN").args(["lobby", "--as", client, "--server", server]).args(flags);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(daemon: &Daemon, client: &str, flags: &[&str]) -> Output {
    chat(&daemon.address().to_string(), client, flags).output().unwrap()
}

fn pipe(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // What ends before it has read everything says why by its exit status.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn piped_lines_are_stored_in_order_and_fetched_once() {
    let daemon = Daemon::start();
    run(&daemon, "alice", &["--fetch"]);
    let input: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    let output = pipe(chat(&daemon.address().to_string(), "bot", &[]), format!("{input}last").as_bytes());
    assert!(output.status.success(), "{output:?}");
    let fetched = lines(&run(&daemon, "alice", &["--fetch"]));
    assert_eq!(fetched.len(), 3001);
    for (n, line) in fetched.iter().enumerate() {
        let text = if n == 3000 { "last".to_owned() } else { format!("line {n}") };
        assert!(line.starts_with(&format!("{} ", n + 1)) && line.ends_with(&format!(" bot: {text}")), "{line}");
    }
    assert_eq!(lines(&run(&daemon, "alice", &["--fetch"])), [""; 0]);
}

#[test]
fn a_client_that_only_posts_has_no_cursor() {
    let daemon = Daemon::start();
    let posted =
        |client: &str| assert!(pipe(chat(&daemon.address().to_string(), client, &[]), b"noon\n").status.success());
    posted("cron");
    posted("cron");
    let cursor = |client: &str| {
        let who = daemon.lines("alice").ask("WHO lobby");
        let line = who.iter().find(|line| line.starts_with(&format!("MEMBER lobby {client} "))).unwrap();
        line.split(' ').nth(4).unwrap().to_owned()
    };
    assert_eq!(cursor("cron"), "-");
    // Who reads as well keeps the place.
    assert_eq!(lines(&run(&daemon, "bob", &["--fetch"])).len(), 2);
    posted("bob");
    assert_eq!(cursor("bob"), "2");
    // And who only posted may read later, from the start.
    assert_eq!(lines(&run(&daemon, "cron", &["--fetch"])).len(), 3);
    assert_eq!(cursor("cron"), "3");
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let daemon = Daemon::start();
    let input = [b"\x1b[2J \xff\r\n", "\u{1b} \u{9b} \u{202e} 안녕\n".as_bytes()].concat();
    assert!(pipe(chat(&daemon.address().to_string(), "bot", &[]), &input).status.success());
    let json = lines(&run(&daemon, "alice", &["--fetch", "--json"]));
    let plain = lines(&run(&daemon, "bob", &["--fetch"]));
    for line in json.iter().chain(&plain) {
        assert!(!line.chars().any(dantok_protocol::text::is_unsafe), "{line}");
    }
    let values: Vec<serde_json::Value> = json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.last().unwrap()["text"], "\u{1b} \u{9b} \u{202e} 안녕");
    assert_eq!(
        (&values[0]["type"], &values[0]["client"], &values[0]["seq"]),
        (&"message".into(), &"bot".into(), &1.into())
    );
    // As the daemon's own JSON has it, and import takes it.
    assert_eq!(values[0]["base64"], "G1sySiD/");
    assert!(values[0].get("text").is_none(), "{json:?}");
}

#[test]
fn replies_and_redactions_are_printed_as_such() {
    let daemon = Daemon::start();
    let mut bob = daemon.lines("bob");
    for line in ["JOIN lobby", "SEND lobby 비밀", "SEND reply=1 lobby 쉿", "REDACT lobby 1"] {
        assert!(bob.ask(line)[0].starts_with("OK"));
    }
    let json = lines(&run(&daemon, "alice", &["--fetch", "--json"]));
    let values: Vec<serde_json::Value> = json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&values[0]["redacted"], &values[0]["text"]), (&3.into(), &"".into()));
    assert_eq!((&values[1]["reply"], &values[2]["redacts"]), (&1.into(), &1.into()));
    let plain = lines(&run(&daemon, "carol", &["--fetch"]));
    for (line, end) in plain.iter().zip([" bob (redacted 3): ", " bob (reply 1): 쉿", " bob (redacts 1): "]) {
        assert!(line.ends_with(end), "{line}");
    }
}

#[test]
fn a_follow_prints_messages_as_they_arrive_and_acknowledges_them() {
    let daemon = Daemon::start();
    let address = daemon.address().to_string();
    let mut child = chat(&address, "alice", &["--follow"]).spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    let mut lines = daemon.lines("bob");
    lines.expect("JOIN lobby", "OK cursor=0 last=0");
    for n in 1..=3 {
        lines.expect(&format!("SEND lobby number {n}"), &format!("OK {n}"));
        let mut line = String::new();
        printed.read_line(&mut line).unwrap();
        assert!(line.ends_with(&format!(" bob: number {n}\n")), "{line}");
    }
    let mut alice = daemon.lines("alice");
    wait_until("the cursor is at the end", || {
        let end = alice.ask("FETCH lobby");
        end.len() == 1 && end[0].starts_with("END lobby 3")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn failures_are_reported() {
    let mut daemon = Daemon::start();
    let address = daemon.address().to_string();
    let long = [b"short\n".to_vec(), vec![b'x'; 64 * 1024 + 1], b"\n".to_vec()].concat();
    let output = pipe(chat(&address, "bot", &[]), &long);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("line 2"), "{output:?}");
    assert_eq!(lines(&run(&daemon, "alice", &["--fetch"])).len(), 1);
    daemon.kill();
    let output = pipe(chat(&address, "bot", &["--retry-for", "300ms"]), b"x\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address), "{output:?}");
}

#[test]
fn without_a_terminal_there_is_one_room() {
    for rooms in [&[][..], &["lobby", "other"]] {
        let output =
            Command::new(chat_binary()).args(rooms).args(["--as", "bob"]).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && printed.contains("one ROOM"), "{printed}");
    }
}
