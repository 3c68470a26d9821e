//! The real `dantok export` and `dantok import`, with a running daemon and without one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::{Daemon, wait_until};
use serde_json::Value;

fn dantok(data: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(args).arg("--data-dir").arg(data).env_clear();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // A command that refuses what it reads does not read all of it.
    let writing = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn run(data: &Path, args: &[&str], input: &str) -> String {
    let output = dantok(data, args, input);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(data: &Path, args: &[&str], input: &str) -> String {
    let output = dantok(data, args, input);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// A daemon with messages of every kind in a room.
fn talkative() -> Daemon {
    let daemon = Daemon::start();
    let mut alice = daemon.lines("alice/phone");
    alice.ask("NICK 앨리스");
    alice.ask("JOIN lobby");
    alice.expect("SEND id=m1 lobby hello", "OK 1");
    alice.expect("SEND lobby taken back", "OK 2");
    let mut bob = daemon.lines("bob");
    bob.ask("JOIN lobby");
    bob.expect("SEND reply=1 lobby hi \u{202e}alice", "OK 3");
    bob.send_bytes(b"SENDB lobby 4\n\0\xff\n\x1b\n");
    assert_eq!(bob.answer(), ["OK 4"]);
    alice.expect("REDACT lobby 2", "OK 5");
    daemon
}

/// The room's messages as lines show them, without its name and what it calls them.
fn fetched(daemon: &Daemon, room: &str) -> Vec<String> {
    let mut auditor = daemon.lines("auditor");
    auditor.ask(&format!("JOIN {room}"));
    let mut lines = auditor.ask(&format!("FETCH {room} after=0"));
    lines.pop();
    lines.iter().map(|line| line.replacen(&format!("MSG {room} "), "", 1)).collect()
}

#[test]
fn an_export_is_complete_and_importing_it_stores_everything_once() {
    let mut daemon = talkative();
    let data = daemon.data_dir();
    let lines = run(&data, &["export", "lobby"], "");
    let parsed: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed.len(), 5, "{lines}");
    assert_eq!(
        (&parsed[0]["id"], &parsed[0]["nick"], &parsed[0]["text"]),
        (&"m1".into(), &"앨리스".into(), &"hello".into())
    );
    assert_eq!((&parsed[1]["redacted"], &parsed[1]["text"]), (&5.into(), &"".into()));
    assert_eq!((&parsed[2]["reply"], &parsed[2]["nick"]), (&1.into(), &Value::Null));
    assert_eq!((&parsed[3]["base64"], &parsed[4]["redacts"]), (&"AP8KGw==".into(), &2.into()));
    assert!(lines.lines().all(|line| !line.contains('\u{202e}')), "safe on a terminal");

    // Into a room that is empty: clients, times and seqs are the same.
    assert_eq!(run(&data, &["import", "copy"], &lines), "copy: imported: 5, already there: 0, left out: 0\n");
    assert_eq!(fetched(&daemon, "copy"), fetched(&daemon, "lobby"));
    assert_eq!(run(&data, &["import", "copy"], &lines), "copy: imported: 0, already there: 5, left out: 0\n");
    // Into one that is not: seqs go on, and what is about another is about that one still. A reply to nothing stands alone.
    daemon.lines("carol").ask("JOIN busy");
    let mut carol = daemon.lines("carol");
    carol.expect("SEND busy before", "OK 1");
    let last = fetched(&daemon, "busy")[0].split(' ').nth(1).unwrap().to_owned();
    let some: String = lines.lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert_eq!(run(&data, &["import", "busy", "-"], &some), "busy: imported: 4, already there: 0, left out: 0\n");
    let busy = fetched(&daemon, "busy");
    assert_eq!(busy[1], format!("2 {last} redacted=5 alice "), "times never go back");
    assert_eq!(busy[2], format!("3 {last} bob hi \\xe2\\x80\\xaealice"));
    assert_eq!(busy[4], format!("5 {last} redacts=2 alice "));
    carol.expect("SEND busy after", "OK 6");
    // What redacts what is not there is left out.
    let last_one = lines.lines().last().unwrap();
    assert_eq!(run(&data, &["import", "other"], last_one), "other: imported: 0, already there: 0, left out: 1\n");

    // Without a daemon, and after a restart of one.
    assert!(daemon.terminate().success());
    assert_eq!(run(&data, &["export", "lobby"], ""), lines);
    assert_eq!(run(&data, &["import", "copy"], &lines), "copy: imported: 0, already there: 5, left out: 0\n");
    assert_eq!(run(&data, &["import", "second"], &lines), "second: imported: 5, already there: 0, left out: 0\n");
    let checked = run(&data, &["check"], "");
    assert!(checked.contains("is intact"), "{checked}");
    daemon.start_again();
    assert_eq!(fetched(&daemon, "second"), fetched(&daemon, "lobby"));
    assert!(fail(&data, &["export", "nowhere"], "").contains("there is no room nowhere"));
}

#[test]
fn part_of_a_room_is_exported_also_as_readable_text() {
    let daemon = talkative();
    let data = daemon.data_dir();
    let all = run(&data, &["export", "lobby", "--format", "text"], "");
    let texts: Vec<&str> = all.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let expected = [
        "alice/phone hello",
        "alice/phone (redacted)",
        "bob hi \\xe2\\x80\\xaealice",
        "bob \\x00\\xff\\n\\x1b",
        "alice/phone (redacts 2)",
    ];
    let shown = |text: &str| text.replace("alice/phone", "alice");
    assert_eq!(texts.iter().map(|text| shown(text)).collect::<Vec<_>>(), expected.map(shown));
    let after = run(&data, &["export", "lobby", "--after", "3"], "");
    assert_eq!(after.lines().count(), 2);
    let time = all.lines().nth(2).unwrap().split(' ').next().unwrap();
    let earlier = all.lines().filter(|line| line.split(' ').next().unwrap() < time).count();
    assert_eq!(run(&data, &["export", "lobby", "--since", time], "").lines().count(), 5 - earlier);
    assert_eq!(run(&data, &["export", "lobby", "--since", "1h"], "").lines().count(), 5);
    assert_eq!(run(&data, &["export", "lobby", "--since", "2100-01-01T00:00:00Z"], ""), "");
}

#[test]
fn an_import_from_elsewhere_reports_the_line_of_each_error() {
    let mut daemon = Daemon::start();
    let data = daemon.data_dir();
    let line = |n: u64, text: &str| {
        format!("{{\"client\":\"nick{n}\",\"time\":\"2001-02-03T04:05:{n:02}Z\",\"text\":\"{text}\"}}\n")
    };
    // Two that say the same are two; one from the future is from now.
    let lines = [line(1, "ok"), line(1, "ok"), line(59, "x").replace("2001", "2999"), "\n".to_owned()].concat();
    let told = "old: imported: 3, already there: 0, left out: 0\n";
    assert_eq!(run(&data, &["import", "old"], &lines), told);
    assert_eq!(run(&data, &["import", "old"], &lines), told.replace("3, already there: 0", "0, already there: 3"));
    let old = fetched(&daemon, "old");
    assert_eq!(old[..2], ["1 2001-02-03T04:05:01.000Z nick1 ok", "2 2001-02-03T04:05:01.000Z nick1 ok"]);
    assert!(!old[2].contains("2999") && !old[2].contains("2001"), "{}", old[2]);
    // Old as they are, they are kept from now on.
    daemon.start_again();
    assert_eq!(fetched(&daemon, "old"), old);
    for (bad, why) in [
        ("nothing", "line 3: not a JSON object"),
        ("{\"client\":\"a b\",\"text\":\"x\"}", "line 3: the client's name"),
        ("{\"client\":\"a\"}", "line 3: it has neither"),
    ] {
        let told = fail(&data, &["import", "bad"], &format!("{}{}{bad}\n", line(1, "a"), line(2, "b")));
        assert!(told.contains(why), "{told}");
    }
    assert!(fail(&data, &["import", "a b"], "").contains("room's name"));
    // All of it is on disk once it is reported to be, however much it is.
    let many: String =
        (0..5000).map(|n| format!("{{\"client\":\"a\",\"seq\":{},\"text\":\"{n}\"}}\n", n + 1)).collect();
    let told = run(&data, &["import", "many"], &many);
    assert!(told.contains("imported: 5000,"), "{told}");
    daemon.start_again();
    let again = run(&data, &["export", "many"], "");
    let texts: Vec<String> = again
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts, (0..5000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_interrupted_import_resumes_when_it_is_repeated() {
    let mut daemon = Daemon::start();
    let data = daemon.data_dir();
    let many: String =
        (1..=20_000).map(|n| format!("{{\"client\":\"a\",\"room\":\"r\",\"seq\":{n},\"text\":\"{n}\"}}\n")).collect();
    let importing = {
        let (data, many) = (data.clone(), many.clone());
        std::thread::spawn(move || dantok(&data, &["import", "r"], &many).status.code())
    };
    let mut watcher = daemon.lines("watcher");
    wait_until("some is imported", || watcher.ask("ROOMS").len() > 1);
    daemon.kill();
    let code = importing.join().unwrap();
    daemon.start_again();
    let told = run(&data, &["import", "r"], &many);
    let count = |name: &str| -> u64 {
        let rest = told.split_once(name).unwrap().1;
        rest.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty()).unwrap().parse().unwrap()
    };
    assert_eq!(count("imported: ") + count("already there: "), 20_000, "{told}");
    assert!(count("already there: ") > 0 && (code == Some(1) || count("imported: ") == 0), "{told}");
    let exported = run(&data, &["export", "r"], "");
    let texts = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(texts.zip(1..).all(|(line, n)| line["seq"] == n && line["text"].as_str() == Some(&*n.to_string())));
    assert_eq!(exported.lines().count(), 20_000);
}

#[test]
fn an_import_does_not_skip_messages_that_only_look_the_same() {
    let daemon = Daemon::start();
    let data = daemon.data_dir();
    // Two channels of something else, each with its own seqs, without a `room`.
    let one = "{\"client\":\"a\",\"seq\":1,\"text\":\"of one\"}\n";
    let other = one.replace("of one", "of the other");
    assert!(run(&data, &["import", "both"], one).contains("imported: 1,"));
    let told = fail(&data, &["import", "both"], &other);
    assert!(told.contains("line 1: ") && told.contains("another text"), "{told}");
    let named = other.replace("{", "{\"room\":\"other\",");
    assert!(run(&data, &["import", "both"], &named).contains("imported: 1,"));
    assert_eq!(fetched(&daemon, "both").len(), 2);
}

#[test]
fn a_file_without_messages_is_not_imported() {
    let daemon = Daemon::start();
    let data = daemon.data_dir();
    let of_other_types = "{\"type\":\"end\",\"room\":\"r\",\"seq\":\"none\"}\n{\"type\":\"ok\"}\n\n";
    for (input, why) in [
        (of_other_types, "nothing was imported: no line of 3 is a message"),
        (of_other_types, "of another type: 2, blank: 1"),
        ("\r\n\n", "nothing was imported"),
        ("[\"r\",1,null,\"a\",null,null,null,null,\"text\"]\n", "line 1: not a JSON object"),
        ("[{\"client\":\"a\",\"text\":\"x\"}]\n", "jq -c"),
        ("{\n\"client\": \"a\",\n\"text\": \"x\"\n}\n", "one object per line"),
        ("\"text\"\n", "line 1: not a JSON object"),
        ("\u{0}\u{1}\n", "line 1: not a JSON object"),
        ("{\"client\":\"a\",\"text\":\"cut o", "line 1: not JSON"),
    ] {
        let told = fail(&data, &["import", "none"], input);
        assert!(told.contains(why), "{input:?}: {told}");
    }
    let path = data.with_file_name("utf-16");
    std::fs::write(&path, b"\xff\xfe{\0}\0").unwrap();
    assert!(fail(&data, &["import", "none", path.to_str().unwrap()], "").contains("UTF-16"));
    assert_eq!(daemon.lines("a").ask("ROOMS"), ["OK 0"], "nothing was made");
    // An empty input is not a failure, with or without a byte order mark.
    for empty in ["", "\u{feff}"] {
        assert!(run(&data, &["import", "none"], empty).contains("imported: 0,"));
    }
    let marked = "\u{feff}{\"client\":\"a\",\"text\":\"x\",\"more\":[1]}\r\n{\"type\":\"end\"}\r\n";
    let told = run(&data, &["import", "marked"], marked);
    assert_eq!(told, "marked: imported: 1, already there: 0, left out: 0, skipped: 1\n");
}

#[test]
fn export_and_import_in_one_pipe_work_on_one_data_directory() {
    let mut daemon = Daemon::start();
    let data = daemon.data_dir();
    // More than a pipe holds, and than two batches.
    let many: String =
        (1..=5000).map(|n| format!("{{\"client\":\"a\",\"seq\":{n},\"text\":\"{n:0>200}\"}}\n")).collect();
    run(&data, &["import", "one"], &many);
    assert!(daemon.terminate().success());
    for (other, is_import_first) in [("two", false), ("three", true)] {
        let (reader, writer) = std::io::pipe().unwrap();
        let command = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
            command.args(args).arg("--data-dir").arg(&data).env_clear().stderr(Stdio::piped());
            command
        };
        let mut export = command(&["export", "one"]);
        export.stdin(Stdio::null()).stdout(writer);
        let mut import = command(&["import", other]);
        import.stdin(reader).stdout(Stdio::piped());
        let (exporting, importing) = if is_import_first {
            let importing = import.spawn().unwrap();
            (export.spawn().unwrap(), importing)
        } else {
            (export.spawn().unwrap(), import.spawn().unwrap())
        };
        // They hold the pipe's ends.
        drop((export, import));
        let exported = exporting.wait_with_output().unwrap();
        assert!(exported.status.success(), "{exported:?}");
        let imported = importing.wait_with_output().unwrap();
        assert!(imported.status.success(), "{imported:?}");
        assert!(String::from_utf8_lossy(&imported.stdout).contains("imported: 5000,"), "{imported:?}");
    }
    let texts = |room| -> Vec<Value> {
        let exported = run(&data, &["export", room], "");
        exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone()).collect()
    };
    assert_eq!(texts("one").len(), 5000);
    assert!(texts("two") == texts("one") && texts("three") == texts("one"));
}

#[test]
fn a_reader_that_stops_early_causes_no_error_message() {
    let daemon = Daemon::start();
    let data = daemon.data_dir();
    let many: String = (1..=3000).map(|n| format!("{{\"client\":\"a\",\"text\":\"{n:0>200}\"}}\n")).collect();
    run(&data, &["import", "one"], &many);
    for args in [&["export", "one"][..], &["import", "two"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
        command.args(args).arg("--data-dir").arg(&data).env_clear().stdin(Stdio::piped()).stdout(writer);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let _ = child.stdin.take().unwrap().write_all(b"{\"client\":\"a\",\"text\":\"x\"}\n");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}
