//! The real `dantok backup` and `dantok restore`, with a running daemon and without one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::backups::{dantok, fail, files, flip, furnished, printed, restored, run, seen, text};
use crate::common::{Daemon, Lines, wait_until};

fn history(daemon: &Daemon, room: &str) -> Vec<String> {
    let mut auditor = daemon.lines("auditor");
    auditor.ask(&format!("JOIN {room}"));
    let mut all = Vec::new();
    loop {
        let mut page = auditor.ask(&format!("FETCH {room} after={}", all.len()));
        page.pop();
        if page.is_empty() {
            return all;
        }
        all.append(&mut page);
    }
}

/// What was acknowledged.
#[derive(Clone, Default)]
struct Acknowledged {
    /// The seq of each message, by room, sender and id.
    seqs: HashMap<(String, String, u64), u64>,
    cursors: HashMap<(String, String), u64>,
    done: u64,
    redacted: Vec<u64>,
}

const SENDERS: usize = 4;

/// Sends to two rooms in turn, and acknowledges each: so the first room never has fewer of its messages than the second, and at most
/// one more.
fn send(address: SocketAddr, sender: usize, stop: &AtomicBool, acknowledged: &Mutex<Acknowledged>) {
    let client = format!("sender-{sender}");
    let mut lines = Lines::connect(address);
    lines.ask(&format!("HELLO {client}"));
    for room in ["one", "two"] {
        lines.ask(&format!("JOIN {room}"));
    }
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        for room in ["one", "two"] {
            let answer = lines.ask(&format!("SEND id={n} {room} {client} {n}")).remove(0);
            let seq: u64 = answer.strip_prefix("OK ").unwrap().parse().unwrap();
            acknowledged.lock().unwrap().seqs.insert((room.to_owned(), client.clone(), n), seq);
            lines.expect(&format!("ACK {room} {seq}"), &format!("OK {seq}"));
            acknowledged.lock().unwrap().cursors.insert((room.to_owned(), client.clone()), seq);
        }
    }
}

/// Takes messages as a worker, and is done with them; takes some of its own back.
fn work(address: SocketAddr, stop: &AtomicBool, acknowledged: &Mutex<Acknowledged>) {
    let mut lines = Lines::connect(address);
    lines.ask("HELLO worker");
    lines.ask("JOIN jobs");
    lines.ask("GROUP jobs w timeout=60s");
    while !stop.load(Ordering::Relaxed) {
        let sent = lines.ask("SEND jobs a secret").remove(0);
        let seq: u64 = sent.strip_prefix("OK ").unwrap().parse().unwrap();
        let taken = lines.ask("TAKE jobs w 1");
        let seq_taken: u64 = taken[0].split(' ').nth(2).unwrap().parse().unwrap();
        let done = lines.ask(&format!("DONE jobs w {seq_taken}")).remove(0);
        acknowledged.lock().unwrap().done = done.strip_prefix("OK ").unwrap().parse().unwrap();
        let redacted = lines.ask(&format!("REDACT jobs {seq}")).remove(0);
        assert!(redacted.starts_with("OK "), "{redacted}");
        acknowledged.lock().unwrap().redacted.push(seq);
    }
}

/// A room's messages, by sender and text; each is there once, at its seq.
fn audit(daemon: &Daemon, room: &str, before: &Acknowledged) -> HashMap<String, u64> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut seqs = HashMap::new();
    for (place, line) in history(daemon, room).iter().enumerate() {
        let mut words = line.split(' ');
        assert_eq!(words.nth(2), Some(&*(place + 1).to_string()), "seqs follow each other: {line}");
        let (sender, number) = (words.nth(1).unwrap().to_owned(), words.nth(1).unwrap());
        if sender == "filler" {
            continue;
        }
        *counts.entry(sender.clone()).or_default() += 1;
        let number: u64 = number.parse().unwrap();
        assert_eq!(number, counts[&sender], "in order, and each once: {line}");
        seqs.insert((room.to_owned(), sender, number), place as u64 + 1);
    }
    for (key, seq) in before.seqs.iter().filter(|(key, _)| key.0 == room) {
        assert_eq!(seqs.get(key), Some(seq), "{key:?}");
    }
    counts
}

#[test]
fn a_backup_under_load_is_a_consistent_snapshot_of_all_that_was_acknowledged() {
    let daemon = Daemon::start();
    let mut filler = daemon.lines("filler");
    // So that reading takes its time.
    for room in ["one", "two"] {
        filler.ask(&format!("JOIN {room}"));
        for _ in 0..40 {
            let batch: String = (0..250).map(|_| format!("SEND {room} 0 {}\n", "x".repeat(200))).collect();
            filler.send_bytes(batch.as_bytes());
            (0..250).for_each(|_| assert!(filler.answer()[0].starts_with("OK ")));
        }
    }
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Acknowledged::default())));
    let mut threads = Vec::new();
    for n in 0..=SENDERS {
        let (address, stop, acknowledged) = (daemon.address(), stop.clone(), acknowledged.clone());
        threads.push(std::thread::spawn(move || match n {
            SENDERS => work(address, &stop, &acknowledged),
            n => send(address, n, &stop, &acknowledged),
        }));
    }
    wait_until("some is acknowledged", || acknowledged.lock().unwrap().seqs.len() > 400);
    let dir = tempfile::tempdir().unwrap();
    let backups = dir.path().join("backups");
    let before = acknowledged.lock().unwrap().clone();
    run(&daemon.data_dir(), &["backup", text(&backups)]);
    let at_end = acknowledged.lock().unwrap().seqs.len();
    wait_until("the load goes on", || acknowledged.lock().unwrap().seqs.len() > at_end);
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(daemon);

    let daemon = restored(&backups);
    let (one, two) = (audit(&daemon, "one", &before), audit(&daemon, "two", &before));
    for n in 0..SENDERS {
        let client = format!("sender-{n}");
        let (one, two) = (one[&client], two[&client]);
        assert!(two <= one && one <= two + 1, "{client} has {one} in one room and {two} in the other");
        let mut lines = daemon.lines(&client);
        for room in ["one", "two"] {
            let joined = lines.ask(&format!("JOIN {room}")).remove(0);
            let cursor: u64 = joined.split(['=', ' ']).nth(2).unwrap().parse().unwrap();
            assert!(cursor >= before.cursors[&(room.to_owned(), client.clone())], "{joined}");
        }
        // The seq of the first one: what is sent again adds nothing.
        let seq = before.seqs[&("one".to_owned(), client.clone(), 1)];
        lines.expect(&format!("SEND id=1 one {client} 1"), &format!("OK {seq} dup"));
    }
    let jobs = history(&daemon, "jobs");
    for seq in &before.redacted {
        let line = &jobs[*seq as usize - 1];
        assert!(line.contains(" redacted=") && !line.contains("secret"), "{line}");
    }
    let grouped = daemon.lines("worker").ask("GROUP jobs w").remove(0);
    let cursor: u64 = grouped.split(['=', ' ']).nth(2).unwrap().parse().unwrap();
    assert!(before.done > 0 && cursor >= before.done, "{grouped}, {} was done", before.done);
}

#[test]
fn a_restored_store_equals_the_original() {
    let mut daemon = furnished();
    let expected = seen(&daemon);
    let dir = tempfile::tempdir().unwrap();
    let backups = dir.path().join("backups");
    let told = run(&daemon.data_dir(), &["backup", text(&backups)]);
    let [file] = &files(&backups)[..] else { panic!("{told}") };
    assert!(text(file).ends_with("-full.backup") && told.contains(text(file)), "{told}");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = restored(file);
    assert_eq!(seen(&copy), expected);
    copy.lines("alice/phone").expect("SEND id=m1 lobby uno", "OK 1 dup");
    copy.lines("alice/phone").expect("SEND lobby five", "OK 5");
    // From a daemon that does not run, by a pipe, into a pipe.
    assert!(daemon.terminate().success());
    assert!(!daemon.data_dir().join("control.sock").exists());
    let piped = dantok(&daemon.data_dir(), &["backup", "-"]).output().unwrap();
    assert!(piped.status.success(), "{}", printed(&piped));
    let (from, place) = (dir.path().join("piped"), tempfile::tempdir().unwrap());
    std::fs::write(&from, &piped.stdout).unwrap();
    let data = place.path().join("data");
    let piped = dantok(&data, &["restore", "-"]).stdin(std::fs::File::open(&from).unwrap()).output().unwrap();
    assert!(piped.status.success(), "{}", printed(&piped));
    assert_eq!(seen(&Daemon::start_in(place, &[])), expected);
    daemon.start_again();
    assert_eq!(seen(&daemon), expected, "a backup changes nothing");
}

#[test]
fn a_restored_store_has_a_new_epoch_and_its_clock_goes_on() {
    use dantok_store::segments::Segments;
    use dantok_store::tables::Tables;
    let daemon = furnished();
    let dir = tempfile::tempdir().unwrap();
    run(&daemon.data_dir(), &["backup", text(dir.path())]);
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    run(&data, &["restore", text(dir.path())]);
    let header = dantok::backup::chain::look_at(&files(dir.path())[0]).unwrap().header;
    {
        let tables = Tables::open(&data.join("sled"), Segments::of(&data)).unwrap();
        let (covered, reading) = tables.checkpointed().unwrap();
        assert_eq!((covered, reading.kept_ms, reading.timeline.as_str()), (0, header.kept_ms, ""));
    }
    let epoch = |data: &std::path::Path| std::fs::read_to_string(data.join("EPOCH")).unwrap();
    assert_eq!(epoch(&daemon.data_dir()).trim(), header.epoch);
    let copy = Daemon::start_in(place, &[]);
    assert_ne!(epoch(&copy.data_dir()), epoch(&daemon.data_dir()));
}

#[test]
fn expired_messages_are_gone_from_a_restore_and_their_seqs_stay_used() {
    let daemon = Daemon::start_with(&["--retention", "1s", "--allow-short-retention"]);
    let mut alice = daemon.lines("alice");
    for room in ["lobby", "empty"] {
        alice.ask(&format!("JOIN {room}"));
        (1..=3).for_each(|n| alice.expect(&format!("SEND id={n} {room} old"), &format!("OK {n}")));
        wait_until("they expire", || alice.ask(&format!("FETCH {room}"))[0] == format!("GAP {room} 1 3 expired"));
    }
    // Kept for longer than this test lasts.
    alice.ask("RETAIN lobby 1h");
    alice.expect("SEND lobby new", "OK 4");
    let dir = tempfile::tempdir().unwrap();
    run(&daemon.data_dir(), &["backup", text(dir.path())]);
    let copy = restored(dir.path());
    let mut alice = copy.lines("alice");
    let fetched = alice.ask("FETCH lobby");
    assert!(fetched[0] == "GAP lobby 1 3 expired" && fetched[1].ends_with(" alice new"), "{fetched:?}");
    assert_eq!(alice.ask("FETCH empty"), ["GAP empty 1 3 expired", "END empty 3 4 3"]);
    alice.expect("SEND id=1 empty four", "OK 4");
}

#[test]
fn incremental_backups_chain_and_bring_back_nothing_redacted() {
    let mut daemon = furnished();
    let dir = tempfile::tempdir().unwrap();
    let to = text(dir.path());
    let told = run(&daemon.data_dir(), &["backup", "--incremental", to]);
    assert!(told.contains("this is a full one") && told.contains("-full.backup"), "{told}");
    let mut alice = daemon.lines("alice/phone");
    alice.expect("SEND id=m5 lobby five", "OK 5");
    alice.expect("REDACT lobby 1", "OK 6");
    alice.expect("JOIN new", "OK cursor=0 last=0");
    alice.expect("SEND new first", "OK 1");
    let told = run(&daemon.data_dir(), &["backup", "--incremental", to]);
    assert!(told.contains("-incremental.backup: rooms: 3, messages: 3,"), "{told}");
    alice.expect("ACK lobby 5", "OK 5");
    alice.expect("SEND lobby seven", "OK 7");
    drop(alice);
    let expected = seen(&daemon);
    // The last one of a daemon that does not run.
    assert!(daemon.terminate().success());
    let told = run(&daemon.data_dir(), &["backup", "--incremental", to]);
    assert!(told.contains("messages: 1,"), "{told}");
    let copy = restored(dir.path());
    assert_eq!(seen(&copy), expected);
    let text_left = |dir: &std::path::Path| {
        files(&dir.join("segments")).iter().any(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(3).any(|window| window == b"uno")
        })
    };
    assert!(!text_left(&copy.data_dir()), "what was taken back is not even written");
    copy.lines("alice/phone").expect("SEND id=m5 lobby five", "OK 5 dup");
    copy.lines("alice/phone").expect("SEND id=m1 lobby uno", "OK 1 dup");
    let [full, first, last] = &files(dir.path())[..] else { panic!("{:?}", files(dir.path())) };
    // One alone is the chain up to it.
    assert_eq!(history(&restored(first), "lobby").len(), 6);
    // Of another store there is nothing to go on from.
    let told = run(&copy.data_dir(), &["backup", "--incremental", to]);
    assert!(told.contains("this is a full one"), "{told}");
    std::fs::remove_file(files(dir.path()).pop().unwrap()).unwrap();
    // One in the middle is missing, or not as it was written: the newest can't be restored, and the next goes on from before it.
    let away = dir.path().join("away");
    std::fs::rename(first, &away).unwrap();
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let told = fail(&data, &["restore", to]);
    assert!(told.contains(text(last)) && told.contains("which is not in"), "{told}");
    std::fs::rename(&away, first).unwrap();
    flip(first, std::fs::metadata(first).unwrap().len() / 2);
    let told = fail(&data, &["restore", to]);
    assert!(told.contains(text(first)) && !data.exists(), "{told}");
    let told = run(&daemon.data_dir(), &["backup", "--incremental", to]);
    assert!(told.contains(&format!("{}: not a valid backup", text(first))) && told.contains("messages: 4,"), "{told}");
    assert_eq!(seen(&restored(files(dir.path()).last().unwrap())), expected);
    assert!(text(full).contains("-full"));
}

#[test]
fn tokens_and_hooks_in_the_data_directory_are_backed_up_with_it() {
    let daemon = Daemon::start();
    let token = daemon.token(&["issue", "alice"]);
    run(&daemon.data_dir(), &["hook", "add", "lobby", "--name", "ci"]);
    let dir = tempfile::tempdir().unwrap();
    let told = run(&daemon.data_dir(), &["backup", text(dir.path())]);
    assert!(told.contains("tokens.toml") && told.contains("hooks.toml"), "{told}");
    let copy = restored(dir.path());
    for name in ["tokens.toml", "hooks.toml"] {
        let file = copy.data_dir().join(name);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(file).unwrap(), std::fs::read(daemon.data_dir().join(name)).unwrap());
    }
    let mut lines = Lines::connect(copy.address());
    assert!(lines.ask(&format!("HELLO alice {token}"))[0].starts_with("OK "));
}

#[test]
fn redacted_messages_stay_redacted_whatever_is_imported() {
    let daemon = Daemon::start();
    let (data, dir) = (daemon.data_dir(), tempfile::tempdir().unwrap());
    let lines = dir.path().join("lines");
    let import = |body: &str| {
        std::fs::write(&lines, body).unwrap();
        run(&data, &["import", "lobby", text(&lines)])
    };
    let printed = "{\"client\":\"a\",\"seq\":1,\"text\":\"a secret\"}\n";
    import(printed);
    let backups = dir.path().join("backups");
    run(&data, &["backup", text(&backups)]);
    let redacted = format!("{printed}{{\"client\":\"a\",\"seq\":2,\"redacts\":1}}\n");
    let told = import(&format!("{redacted}{{\"client\":\"a\",\"seq\":3,\"redacts\":2}}\n"));
    assert!(told.contains("imported: 1, already there: 1, left out: 1"), "{told}");
    run(&data, &["backup", "--incremental", text(&backups)]);
    let expected = history(&daemon, "lobby");
    assert!(expected[0].contains("redacted=2"), "{expected:?}");
    assert_eq!(history(&restored(&backups), "lobby"), expected);
}

/// The texts of a room.
fn texts(daemon: &Daemon, room: &str) -> Vec<String> {
    history(daemon, room).iter().map(|line| line.splitn(6, ' ').last().unwrap().to_owned()).collect()
}

#[test]
fn a_restored_store_does_not_continue_a_chain_from_before_the_restore() {
    let mut daemon = furnished();
    let (data, dir) = (daemon.data_dir(), tempfile::tempdir().unwrap());
    assert!(daemon.terminate().success());
    let copy = dir.path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap().success());
    daemon.start_again();
    daemon.lines("alice/phone").expect("SEND lobby five", "OK 5");
    let backups = dir.path().join("backups");
    run(&data, &["backup", text(&backups)]);
    let told = run(&copy, &["backup", "--incremental", text(&backups)]);
    assert!(told.contains("was set back") && told.contains("epoch --renew"), "{told}");
    assert!(told.contains("this is a full one") && files(&backups).len() == 2, "{told}");
    run(&copy, &["epoch", "--renew"]);
    let told = run(&copy, &["backup", "--incremental", text(&backups)]);
    assert!(told.contains("this is a full one") && !told.contains("was set back"), "{told}");
}

#[test]
fn two_histories_never_become_one_chain_whatever_their_seqs() {
    let mut daemon = Daemon::start();
    let (data, dir) = (daemon.data_dir(), tempfile::tempdir().unwrap());
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN lobby");
    (1..=2).for_each(|n| alice.expect(&format!("SEND lobby A{n}"), &format!("OK {n}")));
    let snapshot = daemon.back_up();
    daemon.lines("alice").expect("SEND lobby A3", "OK 3");
    let backups = dir.path().join("backups");
    let to = text(&backups);
    run(&data, &["backup", to]);
    // Back to before the backup, and on past where it ends: by its numbers it would go on from it.
    daemon.go_back_to(&snapshot, false);
    let mut alice = daemon.lines("alice");
    (3..=5).for_each(|n| alice.expect(&format!("SEND lobby B{n}"), &format!("OK {n}")));
    drop(alice);
    let told = run(&data, &["backup", "--incremental", to]);
    assert!(told.contains("this is a full one") && told.contains("was set back"), "{told}");
    assert_eq!(texts(&restored(&backups), "lobby"), ["A1", "A2", "B3", "B4", "B5"]);
    // Each goes on from its own.
    daemon.lines("alice").expect("SEND lobby B6", "OK 6");
    let told = run(&data, &["backup", "--incremental", to]);
    assert!(told.contains("-incremental.backup: rooms: 1, messages: 1,"), "{told}");
    let place = tempfile::tempdir().unwrap();
    let told = run(&place.path().join("data"), &["restore", to]);
    assert!(told.contains("another history"), "{told}");
    assert_eq!(texts(&restored(&backups), "lobby"), ["A1", "A2", "B3", "B4", "B5", "B6"]);
    assert_eq!(texts(&restored(&files(&backups)[0]), "lobby"), ["A1", "A2", "A3"]);
}

#[test]
fn a_copied_directory_continues_only_backups_made_before_the_copy() {
    let mut daemon = Daemon::start();
    let (data, dir) = (daemon.data_dir(), tempfile::tempdir().unwrap());
    let backups = dir.path().join("backups");
    let to = text(&backups);
    let say = |daemon: &Daemon, text: &str, seq: u64| {
        let mut alice = daemon.lines("alice");
        alice.ask("JOIN lobby");
        alice.expect(&format!("SEND lobby {text}"), &format!("OK {seq}"));
    };
    say(&daemon, "A1", 1);
    run(&data, &["backup", to]);
    say(&daemon, "A2", 2);
    let snapshot = daemon.back_up();
    say(&daemon, "A3", 3);
    // The mark of this one is lost with A3.
    let told = run(&data, &["backup", "--incremental", to]);
    assert!(told.contains("messages: 2,"), "{told}");
    daemon.go_back_to(&snapshot, false);
    say(&daemon, "B3", 3);
    say(&daemon, "B4", 4);
    // After a kill too: a mark is as durable as a message.
    daemon.kill();
    daemon.start_again();
    let told = run(&data, &["backup", "--incremental", to]);
    assert!(told.contains("was set back") && told.contains("-incremental.backup: rooms: 1, messages: 3,"), "{told}");
    assert_eq!(texts(&restored(&backups), "lobby"), ["A1", "A2", "B3", "B4"]);
    assert_eq!(texts(&restored(&files(&backups)[1]), "lobby"), ["A1", "A2", "A3"]);
}

#[test]
fn a_chain_made_of_two_histories_is_not_restored() {
    use dantok::backup::chain::look_at;
    use dantok::backup::file::{Reader, Writer};
    let daemon = furnished();
    let dir = tempfile::tempdir().unwrap();
    let to = text(dir.path());
    run(&daemon.data_dir(), &["backup", to]);
    daemon.lines("alice/phone").expect("SEND lobby five", "OK 5");
    run(&daemon.data_dir(), &["backup", "--incremental", to]);
    // As before, but that it does not know of the full one's moment.
    let path = files(dir.path()).pop().unwrap();
    let mut header = look_at(&path).unwrap().header;
    header.marks.clear();
    let mut reader = Reader::open(&path).unwrap();
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    while let Some(block) = reader.block().unwrap() {
        writer.block(&block).unwrap();
    }
    let (_, _, bytes) = writer.finish(reader.end().unwrap().messages).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let told = fail(&dir.path().join("data"), &["restore", text(&path)]);
    assert!(told.contains("another history") && told.contains(text(&path)), "{told}");
}

#[test]
fn a_backup_into_the_data_directory_is_refused_by_any_path() {
    let daemon = furnished();
    let (data, dir) = (daemon.data_dir(), tempfile::tempdir().unwrap());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(data.join("segments"), &link).unwrap();
    let roundabout = data.join("sled/../../").join(data.file_name().unwrap()).join("backups");
    for to in [data.clone(), data.join("backups"), data.join("new/deeper"), link.clone(), link.join("b"), roundabout] {
        for args in [&["backup", text(&to)][..], &["backup", "--incremental", text(&to)]] {
            let told = fail(&data, args);
            assert!(told.contains(" the data directory") && told.contains(text(&data)), "{args:?}: {told}");
        }
        assert!(!data.join("backups").exists() && !data.join("new").exists());
    }
    // From there, by a relative path, and by what the shell opens.
    let output = dantok(&data, &["backup", "../data/b"]).current_dir(data.join("sled/..")).output().unwrap();
    assert!(
        !output.status.success() && printed(&output).contains("this is in the data directory"),
        "{}",
        printed(&output)
    );
    let file = std::fs::File::create(data.join("x.backup")).unwrap();
    let output = dantok(&data, &["backup", "-"]).stdout(file).output().unwrap();
    assert!(
        !output.status.success() && printed(&output).contains("this is in the data directory"),
        "{}",
        printed(&output)
    );
    std::fs::remove_file(data.join("x.backup")).unwrap();
    // Another's data directory is no better a place, nor is it one for what is restored.
    let backups = dir.path().join("backups");
    run(&data, &["backup", text(&backups)]);
    let other = Daemon::start();
    let told = fail(&data, &["backup", text(&other.data_dir().join("b"))]);
    assert!(told.contains("this is in the data directory"), "{told}");
    for into in [data.join("restored"), link.join("restored")] {
        let told = fail(&into, &["restore", text(&backups)]);
        assert!(told.contains("this is in the data directory") && !into.exists(), "{told}");
    }
    // One beside it, whose name begins alike, and the directory above.
    run(&data, &["backup", text(&data.with_file_name("data-backups"))]);
    run(&data, &["backup", text(data.parent().unwrap())]);
}
