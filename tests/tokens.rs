//! Who may be whom, on the real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process::{Command, Output, Stdio};
use std::time::Instant;

use common::{Daemon, Frames, Lines, has_tool};
use dantok::limits::DENIED_AFTER;
use dantok::protocol::{Command as Request, ErrorCode, Reply};

const DENIED: &str = "ERR denied no such client, or another token";
const OVER: &str = "ERR denied this token has ended, or was revoked";

fn hello(daemon: &Daemon, client: &str) -> String {
    Lines::connect(daemon.address()).ask(&format!("HELLO {client}")).remove(0)
}

#[test]
fn tokens_take_effect_at_once_and_end_what_came_without() {
    let daemon = Daemon::start();
    let mut before = daemon.lines("alice");
    before.expect("JOIN lobby", "OK cursor=0 last=0");
    let token = daemon.token(&["issue", "alice"]);
    assert_eq!(before.line().as_deref(), Some(OVER));
    assert_eq!(before.line(), None);
    assert_eq!(hello(&daemon, "alice"), DENIED);
    let mut alice = daemon.lines(&format!("alice/phone {token}"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("SEND lobby mine", "OK 1");
    // A second HELLO shows a token as the first did.
    alice.expect("HELLO alice/phone", DENIED);
    alice.expect("HELLO bob", "ERR denied this connection is another client's; open one of your own");
}

#[test]
fn revoking_a_token_closes_its_connections_and_no_others() {
    let daemon = Daemon::start();
    let (first, second) = (daemon.token(&["issue", "alice"]), daemon.token(&["issue", "alice"]));
    let admin = daemon.token(&["issue", "root", "--admin"]);
    let mut alice = daemon.lines(&format!("alice {first}"));
    let mut desk = daemon.lines(&format!("alice/desk {second}"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("FOLLOW lobby", "OK after=0");
    let mut root = Lines::connect(daemon.address());
    assert!(root.ask(&format!("HELLO root {admin}"))[0].ends_with(" role=admin"));
    let list = daemon.token(&["list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    let id = list.lines().next().unwrap().split(' ').next().unwrap();
    assert_eq!(daemon.token(&["revoke", id]), format!("{id} of alice is revoked"));
    assert_eq!(alice.line().as_deref(), Some(OVER));
    assert_eq!(alice.line(), None);
    assert_eq!(hello(&daemon, &format!("alice {first}")), DENIED);
    desk.expect("PING", "OK pong");
    daemon.token(&["revoke", "alice"]);
    assert_eq!(desk.line().as_deref(), Some(OVER));
    root.expect("PING", "OK pong");
    daemon.token(&["revoke", "root"]);
    assert_eq!(root.line().as_deref(), Some(OVER));
    // An empty list lets nobody in.
    assert_eq!(hello(&daemon, "root"), DENIED);
}

#[test]
fn a_token_that_ends_closes_its_connections() {
    let daemon = Daemon::start();
    let token = daemon.token(&["issue", "alice", "--expires", "2s"]);
    let mut alice = daemon.lines(&format!("alice {token}"));
    assert_eq!(alice.line().as_deref(), Some(OVER));
    assert_eq!(hello(&daemon, &format!("alice {token}")), DENIED);
}

#[test]
fn whatever_is_wrong_the_answer_is_the_same_and_no_sooner() {
    let daemon = Daemon::start();
    let revoked = daemon.token(&["issue", "alice"]);
    daemon.token(&["revoke", "alice"]);
    let bobs = daemon.token(&["issue", "bob"]);
    daemon.token(&["issue", "alice"]);
    for token in [None, Some("dantok_0000000000000000000000000000000000000000"), Some(&*revoked), Some(&*bobs)] {
        let mut lines = Lines::connect(daemon.address());
        let asked = Instant::now();
        lines.expect(&format!("HELLO alice {}", token.unwrap_or_default()), DENIED);
        assert!(asked.elapsed() >= DENIED_AFTER);
        lines.expect("ROOMS", "ERR hello-first say HELLO <client> first");
        let mut frames = Frames::connect(daemon.address());
        let hello =
            Request::Hello { version: 1, client: "alice".to_owned(), token: token.map(str::to_owned), epoch: None };
        let asked = Instant::now();
        let Reply::Error(refusal) = frames.ask(hello).1 else { panic!("not refused") };
        assert!(asked.elapsed() >= DENIED_AFTER);
        assert_eq!(format!("ERR {} {}", refusal.code.as_str(), refusal.text), DENIED);
        assert_eq!(refusal.code, ErrorCode::Denied);
    }
}

#[test]
fn the_commands_say_what_is_wrong() {
    let daemon = Daemon::start();
    for (arguments, code, said) in [
        (&["issue", "a b"][..], 1, "the client's name may not contain"),
        (&["revoke", "nobody"], 1, "no token has the id nobody"),
        (&["issue", "alice", "--expires", "soon"], 2, "--expires"),
        (&[], 2, "issue"),
    ] {
        let output = daemon.try_token(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr.contains(said), "{stderr}");
    }
    std::fs::write(daemon.data_dir().join("tokens.toml"), "# none\n[[token]]\nid = 5\n").unwrap();
    let stderr = String::from_utf8(daemon.try_token(&["list"]).stderr).unwrap();
    assert!(stderr.contains("tokens.toml, line 3"), "{stderr}");
}

/// A daemon that is to listen on every address; where it ends, its exit status and what it said.
fn beyond_loopback(daemon: &mut Daemon, flags: &[&str]) -> (Option<i32>, String) {
    daemon.kill();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(["--listen", "0.0.0.0:0", "--data-dir"]).arg(daemon.data_dir()).args(flags);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    while std::io::BufRead::read_line(&mut log, &mut said).unwrap() > 0 {
        if said.contains(" ready") {
            child.kill().unwrap();
            break;
        }
    }
    (child.wait().unwrap().code(), said)
}

#[test]
fn beyond_loopback_wants_tokens_or_to_be_meant() {
    let mut daemon = Daemon::start();
    let (code, said) = beyond_loopback(&mut daemon, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("dantok token issue") && said.contains("--open"), "{said}");
    let (_, said) = beyond_loopback(&mut daemon, &["--open"]);
    assert!(said.contains(" ready"), "{said}");
    daemon.token(&["issue", "alice"]);
    let (_, said) = beyond_loopback(&mut daemon, &[]);
    assert!(said.contains(" ready"), "{said}");
}

/// A network namespace with an address of its own; gone when it is dropped.
struct Elsewhere(String);

impl Elsewhere {
    const HERE: &str = "10.213.7.1";

    /// None, said aloud, where the system does not let us.
    fn new() -> Option<Elsewhere> {
        let name = format!("dantok-{}", std::process::id());
        let (ours, theirs) = (format!("dk{}", std::process::id() % 100_000), "dk0");
        let here = format!("{}/30", Elsewhere::HERE);
        let within = ["netns", "exec", &name, "ip"];
        let steps: [&[&str]; 7] = [
            &["netns", "add", &name],
            &["link", "add", &ours, "type", "veth", "peer", "name", theirs, "netns", &name],
            &["addr", "add", &here, "dev", &ours],
            &["link", "set", &ours, "up"],
            &[&within[..], &["addr", "add", "10.213.7.2/30", "dev", theirs]].concat(),
            &[&within[..], &["link", "set", theirs, "up"]].concat(),
            &[&within[..], &["link", "set", "lo", "up"]].concat(),
        ];
        let elsewhere = Elsewhere(name.clone());
        for step in steps {
            let output = Command::new("ip").args(step).output().unwrap();
            if !output.status.success() {
                eprintln!("SKIPPED: no network namespace can be made here: {output:?}");
                return None;
            }
        }
        Some(elsewhere)
    }

    /// Says this from there to a port here.
    fn say(&self, text: &str, port: u16) -> Output {
        let script = format!("printf '{text}' | nc -N -w 20 {} {port}", Elsewhere::HERE);
        Command::new("ip").args(["netns", "exec", &self.0, "sh", "-c", &script]).output().unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Its end of the pair goes with it, and ours with that.
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

#[test]
fn a_stranger_from_elsewhere_is_denied() {
    if !has_tool("ip") || !has_tool("nc") {
        return;
    }
    let Some(elsewhere) = Elsewhere::new() else { return };
    let daemon = Daemon::start_with(&["--open", "--listen", "0.0.0.0:0"]);
    let port = daemon.address().port();
    let said = |text: &str| String::from_utf8(elsewhere.say(text, port).stdout).unwrap();
    assert!(said("HELLO alice\\n").starts_with("OK dantok"));
    let revoked = daemon.token(&["issue", "alice"]);
    daemon.token(&["revoke", "alice"]);
    let bobs = daemon.token(&["issue", "bob"]);
    for token in ["", " dantok_wrong", &format!(" {revoked}"), &format!(" {bobs}")] {
        let answer = said(&format!("HELLO alice{token}\\nROOMS\\nFETCH general\\n"));
        let hello_first = "ERR hello-first say HELLO <client> first\n";
        assert_eq!(answer, format!("{DENIED}\n{hello_first}{hello_first}"));
    }
    assert!(said(&format!("HELLO bob {bobs}\\n")).starts_with("OK dantok"));
}
