//! The example client shows unread messages, posts its input and continues from its cursor.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{Daemon, example};

/// What it prints for this input: what there is to read, and what it says of its own.
fn run(daemon: &Daemon, arguments: &[&str], input: &str) -> (String, String) {
    let mut client = Command::new(example("client"))
        .args(arguments)
        .args(["--server", &daemon.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = client.stdin.take().unwrap().write_all(input.as_bytes());
    let output = client.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn unread_messages_are_shown_once_and_input_is_stored() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN general", "OK cursor=0 last=0 created");
    alice.expect("SEND general 안녕", "OK 1");
    alice.expect("SEND general \u{1b}[31mred", "OK 2");
    let asked = ["general", "--as", "bob"];
    let (shown, printed) = run(&daemon, &asked, "hi\n\nthere\n");
    assert_eq!(shown.lines().take(2).collect::<Vec<_>>(), ["1 alice: 안녕", "2 alice: \\x1b[31mred"]);
    assert_eq!(printed, "OK 3\nOK 4\n");
    daemon.kill();
    daemon.start_again();
    let (shown, printed) = run(&daemon, &asked, "");
    assert!(!shown.contains("alice") && printed.is_empty(), "{shown}{printed}");
    assert!(run(&daemon, &["general"], "").1.contains("say who you are: --as NAME"));
}
