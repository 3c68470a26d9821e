//! Tokens, which decide who may connect as whom, on the real daemon.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::common::{self, Daemon, Frames, Lines};
use dantok::limits::DENIED_AFTER;
use dantok_protocol::{Command as Request, ErrorCode, Reply, commands};

const DENIED: &str = "ERR denied no such client, or another token";
const OVER: &str = "ERR denied this token has expired or was revoked";

fn hello(daemon: &Daemon, client: &str) -> String {
    Lines::connect(daemon.address()).ask(&format!("HELLO {client}")).remove(0)
}

#[test]
fn tokens_take_effect_at_once_and_close_connections_without_one() {
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
    let other = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    let printed = daemon.token(&["revoke", id]);
    assert_eq!(printed, format!("{id} of alice is revoked\n{other} of alice remains"));
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
fn revoking_a_person_revokes_all_their_devices_and_nobody_elses() {
    let daemon = Daemon::start();
    let mut connections = Vec::new();
    for client in ["alice", "alice/phone", "alice/desk", "alicex", "alice.b/phone", "bob/alice"] {
        let token = daemon.token(&["issue", client]);
        let mut lines = daemon.lines(&format!("{client} {token}"));
        lines.expect("JOIN lobby", "OK cursor=0 last=0");
        connections.push((client, token, lines));
    }
    // One that waits, one that follows, and one that is silent.
    connections[1].2.send("TAKE lobby workers wait=60s");
    connections[2].2.expect("FOLLOW lobby", "OK after=0");
    let printed = daemon.token(&["revoke", "alice/desk"]);
    let printed: Vec<&str> = printed.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(printed, ["of alice/desk is revoked", "of alice remains", "of alice/phone remains"]);
    assert_eq!(connections[2].2.line().as_deref(), Some(OVER));
    let printed = daemon.token(&["revoke", "alice"]);
    let printed: Vec<&str> = printed.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(printed, ["of alice is revoked", "of alice/phone is revoked", "other token of the same person remains"]);
    for (client, token, mut lines) in connections {
        let is_hers = client == "alice" || client.starts_with("alice/");
        if is_hers {
            if client != "alice/desk" {
                let told = lines.line().unwrap();
                assert!(told == OVER || (client == "alice/phone" && lines.line().as_deref() == Some(OVER)), "{told}");
            }
            assert_eq!(lines.line(), None, "{client}");
            assert_eq!(hello(&daemon, &format!("{client} {token}")), DENIED);
        } else {
            lines.expect("PING", "OK pong");
        }
    }
    let stderr = String::from_utf8(daemon.try_token(&["revoke", "alice"]).stderr).unwrap();
    assert!(stderr.contains("no token has the id alice or belongs to alice"), "{stderr}");
    daemon.token(&["issue", "alice"]);
    let stderr = String::from_utf8(daemon.try_token(&["revoke", "alice/phone"]).stderr).unwrap();
    assert!(stderr.contains("alice/phone is admitted by "), "{stderr}");
}

#[test]
fn a_named_tokens_file_must_exist_and_be_valid() {
    let mut daemon = Daemon::start();
    daemon.kill();
    let dir = daemon.data_dir();
    std::fs::write(dir.join("broken.toml"), "alice").unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("dangling.toml")).unwrap();
    std::fs::create_dir(dir.join("directory.toml")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("fifo.toml"), rustix::fs::Mode::RUSR).unwrap();
    for (name, printed) in [
        ("missing.toml", "there is no such file"),
        ("missing/tokens.toml", "there is no such file"),
        ("tokens.toml", "there is no such file"),
        ("dangling.toml", "there is no such file behind that link"),
        ("directory.toml", "not a regular file"),
        ("fifo.toml", "not a regular file"),
        ("broken.toml", "broken.toml, line 1"),
    ] {
        for open in [&[][..], &["--open"]] {
            let (status, log) =
                daemon.try_start_with(&[&["--tokens", dir.join(name).to_str().unwrap()], open].concat());
            assert_eq!(status.code(), Some(2), "{name}: {log}");
            assert!(log.contains(printed) && log.contains(name), "{name}: {log}");
        }
    }
    // A dangling link at the default path was meant for something.
    std::os::unix::fs::symlink("nowhere", dir.join("tokens.toml")).unwrap();
    let (status, log) = daemon.try_start();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("behind that link"), "{log}");
    std::fs::remove_file(dir.join("tokens.toml")).unwrap();
    // An empty one lets nobody in.
    std::fs::write(dir.join("tokens.toml"), "").unwrap();
    daemon.start_again();
    assert_eq!(hello(&daemon, "alice"), DENIED);
    assert!(daemon.log().contains("nobody can connect"), "{}", daemon.log());
}

#[test]
fn a_store_that_has_had_tokens_does_not_start_without_them() {
    let mut daemon = Daemon::start();
    let file = daemon.data_dir().join("tokens.toml");
    let token = daemon.token(&["issue", "alice"]);
    let mut alice = daemon.lines(&format!("alice {token}"));
    // While it runs, a file that is gone changes nothing, at a SIGHUP neither.
    std::fs::rename(&file, file.with_extension("away")).unwrap();
    common::wait_until("it says so", || daemon.log().contains("the tokens stay as they were"));
    daemon.signal("HUP");
    common::wait_until("SIGHUP says so", || daemon.log().matches("the tokens stay as they were").count() > 1);
    alice.expect("PING", "OK pong");
    assert_eq!(hello(&daemon, "alice"), DENIED);
    assert!(hello(&daemon, &format!("alice {token}")).starts_with("OK "));
    daemon.kill();
    let (status, log) = daemon.try_start();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("this store has had tokens") && log.contains("--open"), "{log}");
    // Neither does a copy of it, nor what is restored from a backup of it.
    let dir = file.parent().unwrap().parent().unwrap();
    let dantok = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dantok")).current_dir(dir).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(dantok(&["backup", "backups", "--data-dir", "data"]).0, Some(0));
    assert_eq!(dantok(&["restore", "backups", "--data-dir", "restored"]).0, Some(0));
    std::fs::remove_file(daemon.data_dir().join("control.sock")).unwrap_or_default(); // Left by the kill.
    common::copy_dir(&daemon.data_dir(), &dir.join("copied"));
    for data in ["restored", "copied"] {
        let (code, log) = dantok(&["--data-dir", data, "--listen", "127.0.0.1:0"]);
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains("this store has had tokens"), "{log}");
    }
    // A start with --open lets anybody in, and keeps the mark.
    let open = daemon.start_other(&["--open"]);
    assert!(open.contains("whoever connects may be any client"), "{open}");
    let (status, _) = daemon.try_start();
    assert_eq!(status.code(), Some(2));
    std::fs::rename(file.with_extension("away"), &file).unwrap();
    daemon.start_again();
    assert_eq!(hello(&daemon, "alice"), DENIED);
    assert!(hello(&daemon, &format!("alice {token}")).starts_with("OK "));
}

#[test]
fn tokens_kept_elsewhere_are_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere.toml");
    let issue = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
        command.current_dir(dir.path()).args(["token", "issue", "alice"]).args(arguments).output().unwrap()
    };
    let issued = issue(&["--tokens", "elsewhere.toml"]);
    assert!(issued.status.success(), "{issued:?}");
    let printed = String::from_utf8(issued.stderr).unwrap();
    assert!(printed.contains("--tokens elsewhere.toml"), "{printed}");
    let path = dir.path().to_owned();
    let mut daemon = Daemon::start_in(dir, &["--tokens", elsewhere.to_str().unwrap()]);
    assert_eq!(hello(&daemon, "alice"), DENIED);
    // A token in the data directory would have no effect.
    let output = daemon.try_token(&["issue", "bob"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(elsewhere.to_str().unwrap()), "{stderr}");
    assert!(!daemon.data_dir().join("tokens.toml").exists());
    daemon.kill();
    let output = Command::new(env!("CARGO_BIN_EXE_dantok"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(path.join("data"))
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains(elsewhere.to_str().unwrap()), "{log}");
}

#[test]
fn a_directory_that_is_not_a_data_directory_is_refused_and_left_alone() {
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::fs::write(dir.path().join("backup"), "none").unwrap();
    let names = || {
        let mut names: Vec<_> = walk(dir.path());
        names.sort();
        names
    };
    let before = names();
    for arguments in [
        &["token", "issue", "alice"][..],
        &["token", "list"],
        &["token", "revoke", "alice"],
        &["backup", "backups"],
        &["backup", "-"],
        &["export", "lobby"],
        &["import", "lobby", "backup"],
        &["check"],
        &["epoch"],
        &["epoch", "--renew"],
        &["restore", "backup"],
        &["restore", "--dry-run", "backup"],
        &["restore", "missing"],
        &["config"],
        &["doctor"],
    ] {
        for data_dir in [&[][..], &["--data-dir", "missing"], &["--data-dir", "empty"], &["--data-dir", "no/where"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
            let output = command.current_dir(dir.path()).args(arguments).args(data_dir).output().unwrap();
            assert_eq!(names(), before, "{arguments:?} {data_dir:?}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            if arguments[0] == "token" {
                assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
                let (here, known) = (data_dir.last().unwrap_or(&"dantok-data"), daemon.data_dir());
                assert!(stderr.contains(here) && stderr.contains(known.to_str().unwrap()), "{stderr}");
            }
        }
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn tokens_are_written_through_a_link_and_nothing_beside_them_is_touched() {
    let daemon = Daemon::start();
    let (dir, target) = (daemon.data_dir(), tempfile::tempdir().unwrap());
    let (link, file) = (dir.join("tokens.toml"), target.path().join("secrets.toml"));
    for beside in [dir.join("tokens.new"), target.path().join("secrets.new")] {
        std::fs::write(beside, "somebody's").unwrap();
    }
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let token = daemon.token(&["issue", "alice"]);
    assert!(link.is_symlink() && std::fs::read_to_string(&file).unwrap().contains("alice"));
    common::wait_until("the daemon sees it", || hello(&daemon, "alice") == DENIED);
    let mut alice = daemon.lines(&format!("alice {token}"));
    daemon.token(&["revoke", "alice"]);
    assert_eq!(alice.line().as_deref(), Some(OVER));
    assert!(link.is_symlink());
    for beside in [dir.join("tokens.new"), target.path().join("secrets.new")] {
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "somebody's", "{}", beside.display());
    }
    let mut names: Vec<_> = walk(target.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["secrets.new", "secrets.toml"]);
    // One that leads nowhere, or in a circle, is reported.
    for (to, printed) in [("no/where.toml", "No such file"), ("tokens.toml", "circle"), ("..", "regular file")] {
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(to, &link).unwrap();
        let output = daemon.try_token(&["issue", "bob"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(printed), "{to}: {stderr}");
    }
}

#[test]
fn an_expiring_token_closes_its_connections() {
    let daemon = Daemon::start();
    let token = daemon.token(&["issue", "alice", "--expires", "2s"]);
    let mut alice = daemon.lines(&format!("alice {token}"));
    assert_eq!(alice.line().as_deref(), Some(OVER));
    assert_eq!(hello(&daemon, &format!("alice {token}")), DENIED);
}

#[test]
fn every_failed_login_has_the_same_answer_and_delay() {
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
        let hello = Request::Hello(commands::Hello {
            version: 1,
            client: "alice".to_owned(),
            token: token.map(str::to_owned),
            epoch: None,
        });
        let asked = Instant::now();
        let Reply::Error(refusal) = frames.ask(hello).1 else { panic!("not refused") };
        assert!(asked.elapsed() >= DENIED_AFTER);
        assert_eq!(format!("ERR {} {}", refusal.code.as_str(), refusal.text), DENIED);
        assert_eq!(refusal.code, ErrorCode::Denied);
    }
}

#[test]
fn the_token_commands_report_errors() {
    let daemon = Daemon::start();
    for (arguments, code, printed) in [
        (&["issue", "a b"][..], 1, "the client's name may not contain"),
        (&["revoke", "nobody"], 1, "no token has the id nobody"),
        (&["issue", "alice", "--expires", "soon"], 2, "--expires"),
        (&[], 2, "issue"),
    ] {
        let output = daemon.try_token(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr.contains(printed), "{stderr}");
    }
    std::fs::write(daemon.data_dir().join("tokens.toml"), "# none\n[[token]]\nid = 5\n").unwrap();
    let stderr = String::from_utf8(daemon.try_token(&["list"]).stderr).unwrap();
    assert!(stderr.contains("tokens.toml, line 3"), "{stderr}");
}

/// Starts a daemon on every address. If it ends, returns its exit status and output.
fn beyond_loopback(daemon: &mut Daemon, flags: &[&str]) -> (Option<i32>, String) {
    daemon.kill();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(["--listen", "0.0.0.0:0", "--data-dir"]).arg(daemon.data_dir()).args(flags);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = String::new();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    while std::io::BufRead::read_line(&mut log, &mut printed).unwrap() > 0 {
        if printed.contains(" ready") {
            child.kill().unwrap();
            break;
        }
    }
    (child.wait().unwrap().code(), printed)
}

#[test]
fn listening_beyond_loopback_needs_tokens_or_an_explicit_option() {
    let mut daemon = Daemon::start();
    let (code, printed) = beyond_loopback(&mut daemon, &[]);
    assert_eq!(code, Some(2));
    assert!(printed.contains("dantok token issue") && printed.contains("--open"), "{printed}");
    let (_, printed) = beyond_loopback(&mut daemon, &["--open"]);
    assert!(printed.contains(" ready"), "{printed}");
    daemon.token(&["issue", "alice"]);
    let (_, printed) = beyond_loopback(&mut daemon, &[]);
    assert!(printed.contains(" ready"), "{printed}");
}
