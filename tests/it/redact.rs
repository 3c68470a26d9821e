//! Replies and redactions on the real daemon.

use std::path::Path;
use std::process::Command;

use crate::common::{self, Daemon, Lines, wait_until};
use dantok_protocol::{Command as Request, Item, Kind, Reply, commands};

/// Messages without their time.
fn timeless(mut lines: Vec<String>) -> Vec<String> {
    for line in &mut lines {
        let mut words: Vec<&str> = line.split(' ').collect();
        if words[0] == "MSG" {
            words.remove(3);
            *line = words.join(" ");
        }
    }
    lines
}

fn fetched(lines: &mut Lines) -> Vec<String> {
    let mut answer = timeless(lines.ask("FETCH lobby"));
    answer.pop();
    answer
}

#[test]
fn a_reply_names_the_message_it_answers() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("SEND lobby what time is it?", "OK 1");
    alice.expect("SEND id=a reply=1 lobby reply=5 o'clock", "OK 2");
    alice.expect("SEND reply=1 id=a lobby reply=5 o'clock", "OK 2 dup");
    assert!(alice.ask("SEND id=a lobby reply=5 o'clock")[0].starts_with("ERR id-reused"));
    assert!(
        alice.ask("SEND reply=3 lobby to what?")[0].starts_with("ERR set-back 3 is past the last seq of lobby, 2:")
    );
    alice.expect("SEND reply=0 lobby to what?", "ERR bad-argument there is no message 0 to reply to");
    let expected = ["MSG lobby 1 alice what time is it?", "MSG lobby 2 reply=1 alice reply=5 o'clock"];
    assert_eq!(fetched(&mut alice), expected);
    daemon.start_again();
    assert_eq!(fetched(&mut daemon.lines("alice")), expected);
    let mut frames = daemon.frames("alice");
    let (items, _) =
        frames.ask(Request::Fetch(commands::Fetch { room: "lobby".to_owned(), after: Some(1), max: None }));
    assert!(matches!(&items[0], Item::Message(message) if message.kind == Kind::Reply(1)), "{items:?}");
}

#[test]
fn a_redacted_message_keeps_its_seq_and_is_marked() {
    let mut daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.lines("alice/desk"), daemon.lines("bob"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("JOIN lobby", "OK cursor=0 last=0");
    bob.expect("FOLLOW lobby", "OK after=0");
    alice.expect("SEND lobby before", "OK 1");
    alice.expect("SEND id=x lobby my password is hunter2", "OK 2");
    alice.expect("SEND lobby after", "OK 3");
    for _ in 0..3 {
        bob.line().unwrap();
    }
    bob.expect("REDACT lobby 2", "ERR denied only the sender of a message, or an admin, may redact it");
    let mut phone = daemon.lines("alice/phone");
    phone.expect("REDACT lobby 2", "ERR not-joined JOIN lobby first");
    phone.expect("JOIN lobby", "OK cursor=0 last=3");
    // A person's other device may.
    phone.expect("REDACT lobby 2", "OK 4");
    alice.expect("REDACT lobby 2", "OK 4 dup");
    alice.expect("REDACT lobby 4", "ERR bad-argument message 4 has no text: it records a redaction");
    assert!(alice.ask("REDACT lobby 5")[0].starts_with("ERR set-back 5 is past the last seq of lobby, 4:"));
    // Those who have read it learn of it from the next message.
    assert_eq!(timeless(vec![bob.line().unwrap()]), ["MSG lobby 4 redacts=2 alice "]);
    // What was sent is not compared with what is gone.
    alice.expect("SEND id=x lobby my password is hunter2", "OK 2 dup");
    let expected = [
        "MSG lobby 1 alice before",
        "MSG lobby 2 redacted=4 alice ",
        "MSG lobby 3 alice after",
        "MSG lobby 4 redacts=2 alice ",
    ];
    let mut carol = daemon.lines("carol");
    carol.expect("JOIN lobby", "OK cursor=0 last=4");
    assert_eq!(fetched(&mut carol), expected);
    carol.expect("FOLLOW lobby", "OK after=0");
    assert_eq!(timeless((0..4).map(|_| carol.line().unwrap()).collect()), expected);
    daemon.start_again();
    assert_eq!(fetched(&mut daemon.lines("carol")), expected);
    let mut frames = daemon.frames("carol");
    let (items, _) =
        frames.ask(Request::Fetch(commands::Fetch { room: "lobby".to_owned(), after: Some(1), max: Some(1) }));
    assert!(matches!(&items[0], Item::Message(message) if message.kind == Kind::Redacted(4)), "{items:?}");
    let reply = frames.ask(Request::Redact(commands::Redact { room: "lobby".to_owned(), seq: 2 })).1;
    assert_eq!(reply, Reply::Sent { seq: 4, dup: true });
}

#[test]
fn an_admin_redacts_what_others_sent() {
    let daemon = Daemon::start();
    let (alices, admins) = (daemon.token(&["issue", "alice"]), daemon.token(&["issue", "root", "--admin"]));
    let mut alice = daemon.lines(&format!("alice {alices}"));
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("SEND lobby spam", "OK 1");
    daemon.lines(&format!("root {admins}")).expect("REDACT lobby 1", "OK 2");
    assert_eq!(fetched(&mut alice), ["MSG lobby 1 redacted=2 alice ", "MSG lobby 2 redacts=1 root "]);
}

/// Whether a text stands in any file under a directory.
fn is_on_disk(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_on_disk(&path, text);
        }
        // Files come and go.
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

fn is_intact(daemon: &Daemon) {
    let checked =
        Command::new(env!("CARGO_BIN_EXE_dantok")).arg("check").arg("--data-dir").arg(daemon.data_dir()).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// Sends small and large messages, pipelined so that many share a commit; those that are divisible by five hold a secret.
fn fill(lines: &mut Lines, secret: &str) {
    for seq in 1..=60 {
        let (size, what) = (if seq % 3 == 0 { 9000 } else { 20 }, if seq % 5 == 0 { secret } else { "public" });
        lines.send(&format!("SEND lobby {what} {seq} {}", "x".repeat(size)));
    }
    for seq in 1..=60 {
        assert_eq!(lines.line().unwrap(), format!("OK {seq}"));
    }
}

#[test]
fn a_redaction_erases_its_text_and_nothing_else_from_the_disk() {
    const SECRET: &str = "Kwisatz-Haderach-7341";
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    fill(&mut alice, SECRET);
    assert!(is_on_disk(&daemon.data_dir(), SECRET));
    let secrets: Vec<u64> = (5..=60).step_by(5).collect();
    for (place, seq) in secrets.iter().enumerate() {
        alice.expect(&format!("REDACT lobby {seq}"), &format!("OK {}", 61 + place));
    }
    let before = fetched(&mut alice);
    assert!(!before.iter().any(|line| line.contains(SECRET)));
    // A quiet daemon does it as well.
    wait_until("the text is gone from the disk", || !is_on_disk(&daemon.data_dir(), SECRET));
    assert_eq!(fetched(&mut alice), before);
    assert_eq!(before.iter().filter(|line| line.contains(" alice public ")).count(), 48);
    let stored = |lines: &mut Lines| lines.ask("RETAIN lobby").remove(0);
    let counted = stored(&mut alice);
    daemon.start_again();
    let mut alice = daemon.lines("alice");
    assert_eq!(fetched(&mut alice), before);
    assert_eq!(stored(&mut alice), counted);
    daemon.terminate();
    is_intact(&daemon);
}

#[test]
fn a_kill_loses_no_pending_erasure() {
    const SECRET: &str = "Muad-Dib-1965";
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    fill(&mut alice, SECRET);
    for (place, seq) in (5..=60).step_by(5).enumerate() {
        alice.expect(&format!("REDACT lobby {seq}"), &format!("OK {}", 61 + place));
        // At once, though the store's files do not know of it yet.
        let shown = fetched(&mut alice);
        assert!(shown[seq - 1].starts_with(&format!("MSG lobby {seq} redacted=")), "{}", shown[seq - 1]);
        if place % 3 == 0 {
            daemon.start_again();
            alice = daemon.lines("alice");
        }
    }
    let before = fetched(&mut alice);
    // Between the redaction and the end of it, in steps that are never the same.
    wait_until("the text is gone from the disk", || {
        daemon.start_again();
        let mut alice = daemon.lines("alice");
        assert_eq!(fetched(&mut alice), before);
        alice.expect("PING", "OK pong");
        !is_on_disk(&daemon.data_dir(), SECRET)
    });
    daemon.terminate();
    is_intact(&daemon);
}

#[test]
fn large_messages_are_not_erased_from_files_that_a_start_still_reads() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    for room in ["lobby", "other"] {
        alice.expect(&format!("JOIN {room}"), "OK cursor=0 last=0");
    }
    // In one commit, mostly: what is erased must take nothing else with it.
    let body = "y".repeat(12_000);
    alice.send_bytes(format!("SEND lobby {body}\nSEND other {body}\nREDACT lobby 1\n").as_bytes());
    for answer in ["OK 1", "OK 1", "OK 2"] {
        assert_eq!(alice.line().as_deref(), Some(answer));
    }
    for _ in 0..3 {
        assert!(daemon.terminate().success());
        is_intact(&daemon);
        daemon.start_again();
        let mut alice = daemon.lines("alice");
        assert_eq!(fetched(&mut alice)[0], "MSG lobby 1 redacted=2 alice ");
        assert!(alice.ask("FETCH other")[0].ends_with(&body));
    }
}

#[test]
fn a_redaction_is_not_skipped_while_its_text_could_come_back() {
    let mut daemon = Daemon::start();
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    alice.expect("SEND lobby my password is hunter2", "OK 1");
    // Into a segment.
    assert!(daemon.terminate().success());
    daemon.start_again();
    daemon.lines("alice").expect("REDACT lobby 1", "OK 2");
    daemon.kill();
    let segment = daemon.data_dir().join("segments/0000000000000001.segment");
    let aside = daemon.data_dir().join("aside");
    std::fs::rename(&segment, &aside).unwrap();
    // What nobody can open, not even root.
    std::os::unix::fs::symlink(segment.file_name().unwrap(), &segment).unwrap();
    let printed = common::backups::fail(&daemon.data_dir(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(printed.contains(&segment.display().to_string()), "{printed}");
    std::fs::rename(&aside, &segment).unwrap();
    daemon.start_again();
    let shown = fetched(&mut daemon.lines("alice"));
    assert_eq!(shown, ["MSG lobby 1 redacted=2 alice ", "MSG lobby 2 redacts=1 alice "]);
}
