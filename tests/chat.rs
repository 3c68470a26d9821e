//! The chat example in pipes and on a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use common::{Daemon, example, has_tool, wait_until};

fn chat(address: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(example("chat"))
        .args(["lobby", "--server", address])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn piped_lines_are_posted_in_order_and_fetched_once() {
    let daemon = Daemon::start();
    let address = daemon.address().to_string();
    let lines: Vec<String> = (1..=1000).map(|n| format!("line {n}")).collect();
    assert_eq!(printed(&chat(&address, &["--as", "bot"], &lines.join("\r\n"))), "");
    let fetched = printed(&chat(&address, &["--as", "alice", "--fetch"], ""));
    let texts: Vec<&str> = fetched.lines().map(|line| line.split_once(" bot: ").unwrap().1).collect();
    assert_eq!(texts, lines);
    assert_eq!(printed(&chat(&address, &["--as", "alice", "--fetch"], "")), "");
}

#[test]
fn json_is_an_object_a_line_and_no_escape_reaches_the_terminal() {
    let daemon = Daemon::start();
    let address = daemon.address().to_string();
    printed(&chat(&address, &["--as", "bot"], "\u{1b}[2J안녕 \"you\"\n"));
    let mut lines = daemon.lines("bot");
    lines.send_bytes(b"SENDB lobby 2\n\xff\x00\n");
    assert_eq!(lines.answer(), ["OK 2"]);
    let json = printed(&chat(&address, &["--as", "alice/json", "--fetch", "--json"], ""));
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&objects[0]["seq"], &objects[0]["text"]), (&1.into(), &"\u{1b}[2J안녕 \"you\"".into()));
    assert_eq!(objects[1]["escaped"], r"\xff\x00");
    let text = printed(&chat(&address, &["--as", "alice", "--fetch"], ""));
    assert!(text.contains(r"bot: \x1b[2J안녕") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn what_is_not_acknowledged_is_a_failure() {
    let daemon = Daemon::start_with(&["--max-body", "10"]);
    let output = chat(&daemon.address().to_string(), &["--as", "bot"], "short\nfar too long a line\nshort\n");
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("line 2 was not acknowledged"), "{said}");
}

#[test]
fn a_follower_shows_what_comes() {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby backlog", "OK 1");
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().join("shown");
    let mut child = Command::new(example("chat"))
        .args(["lobby", "--as", "bob", "--follow", "--server", &daemon.address().to_string()])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&shown).unwrap())
        .spawn()
        .unwrap();
    let shown = || std::fs::read_to_string(&shown).unwrap();
    wait_until("the backlog", || shown().ends_with("alice: backlog\n"));
    alice.expect("SEND lobby live", "OK 2");
    wait_until("the live message", || shown().ends_with("alice: live\n"));
    // What was shown is acknowledged.
    let mut bob = daemon.lines("bob");
    wait_until("the ACK", || bob.ask("FETCH lobby") == ["END lobby 2 1 2"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn on_a_terminal_one_talks() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    alice.expect("SEND lobby 안녕 bob", "OK 1");
    let session = format!("dantok-test-{}", std::process::id());
    let tmux = |arguments: &[&str]| {
        let output = Command::new("tmux").args(["-L", &session, "-u"]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let chat = format!("{} lobby --as bob --server {}", example("chat").display(), daemon.address());
    tmux(&["new-session", "-d", "-x", "80", "-y", "20", "-s", "chat", &chat]);
    let screen = || tmux(&["capture-pane", "-p", "-t", "chat"]);
    wait_until("the backlog and the prompt", || screen().contains("alice: 안녕 bob") && screen().contains("lobby>"));
    tmux(&["send-keys", "-t", "chat", "helxo", "BSpace", "BSpace", "lo", "Enter"]);
    wait_until("what was typed", || screen().contains("bob: hello"));
    let fetched = alice.ask("FETCH lobby after=1");
    assert!(fetched[0].ends_with(" bob hello"), "{fetched:?}");
    tmux(&["send-keys", "-t", "chat", "Up"]);
    wait_until("the history", || screen().contains("lobby> hello"));
    tmux(&["send-keys", "-t", "chat", "C-u", "C-d"]);
    wait_until("its end", || !tmux(&["list-sessions"]).contains("chat"));
}
