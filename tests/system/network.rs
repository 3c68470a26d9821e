//! Clients from another host, which is a network namespace here. Creating one needs root.

use std::process::{Command, Output};

use crate::common::{Daemon, has_tool};

const DENIED: &str = "ERR denied no such client, or another token";

/// A network namespace with an address of its own; gone when it is dropped.
struct Elsewhere(String);

impl Elsewhere {
    const HERE: &str = "10.213.7.1";

    /// `None`, after a note, if the system does not permit it.
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
    let printed = |text: &str| String::from_utf8(elsewhere.say(text, port).stdout).unwrap();
    assert!(printed("HELLO alice\\n").starts_with("OK dantok"));
    let revoked = daemon.token(&["issue", "alice"]);
    daemon.token(&["revoke", "alice"]);
    let bobs = daemon.token(&["issue", "bob"]);
    for token in ["", " dantok_wrong", &format!(" {revoked}"), &format!(" {bobs}")] {
        let answer = printed(&format!("HELLO alice{token}\\nROOMS\\nFETCH general\\n"));
        let hello_first = "ERR hello-first say HELLO <client> first\n";
        assert_eq!(answer, format!("{DENIED}\n{hello_first}{hello_first}"));
    }
    assert!(printed(&format!("HELLO bob {bobs}\\n")).starts_with("OK dantok"));
}
