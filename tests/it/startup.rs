//! How the daemon starts, how it refuses to, and how it stops.

use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Daemon, Lines, wait_until};

fn dantok(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(args).env_clear().envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A daemon that serves what it should refuse would do so for ever.
    let started = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > std::time::Duration::from_secs(60) {
            child.kill().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused() {
    let daemon = Daemon::start();
    let (status, printed) = daemon.try_start();
    assert_eq!(status.code(), Some(1), "{printed}");
    let last = printed.lines().last().unwrap();
    assert!(
        last.contains("another dantok is running") && last.contains(daemon.data_dir().to_str().unwrap()),
        "{printed}"
    );
    daemon.lines("a").expect("PING", "OK pong");
}

/// Calls it with everything below a directory, and with that itself.
fn each_file(path: &Path, see: &mut impl FnMut(&Path)) {
    see(path);
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| each_file(&entry.unwrap().path(), see));
    }
}

#[test]
fn stored_files_are_private_to_the_user() {
    let mut daemon = Daemon::start();
    daemon.lines("alice").ask("JOIN general");
    assert!(daemon.terminate().success());
    let mut files = 0;
    each_file(&daemon.data_dir(), &mut |path| {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        files += 1;
    });
    assert!(files > 5, "{files}");
}

#[test]
fn impossible_settings_are_refused_by_name_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for (args, env, named) in [
        (&["--retention", "23h"][..], &[][..], &["--retention", "24h", "--allow-short-retention"][..]),
        (&[], &[("DANTOK_RETENTION", "1s")], &["$DANTOK_RETENTION", "24h"]),
        (&["serve", "--max-body", "2MiB"], &[], &["--max-body", "1MiB"]),
        (&["config", "--config", "/nowhere/x.toml"], &[], &["/nowhere/x.toml"]),
        (&["--no-such-flag"], &[], &["--no-such-flag"]),
    ] {
        let mut env = env.to_vec();
        env.push(("DANTOK_DATA_DIR", data));
        let output = dantok(args, &env);
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {printed}");
        assert!(named.iter().all(|name| printed.contains(name)), "{args:?}: {printed}");
    }
    assert!(!dir.path().join("data").exists());
    // An address in use is not a usage error.
    let daemon = Daemon::start();
    let taken = daemon.address().to_string();
    let output = dantok(&["--listen", &taken, "--data-dir", data], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&taken), "{}", text(&output.stderr));
}

#[test]
fn config_shows_every_value_with_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dantok.toml");
    std::fs::write(&file, "max-rooms = 7\nmax-body = \"1KiB\"\nretention = \"48h\"\n").unwrap();
    let file = file.to_str().unwrap();
    let env = [("DANTOK_MAX_BODY", "2KiB"), ("DANTOK_RETENTION", "72h"), ("STATE_DIRECTORY", "/var/lib/dantok")];
    let output = dantok(&["config", "--config", file, "--retention", "4days"], &env);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for (name, value, source) in [
        ("retention", "\"4days\"", "--retention"),
        ("max-body", "2048", "$DANTOK_MAX_BODY"),
        ("max-rooms", "7", &format!("{file}: max-rooms")),
        ("data-dir", "\"/var/lib/dantok\"", "$STATE_DIRECTORY"),
        ("hello-timeout", "\"30s\"", "default"),
    ] {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        let (setting, comment) = line.split_once('#').unwrap();
        assert_eq!(setting.trim_end(), format!("{name} = {value}"));
        assert_eq!(comment.trim(), source);
    }
    // It is a file that is taken again.
    let again = dir.path().join("again.toml");
    std::fs::write(&again, shown).unwrap();
    let output = dantok(&["config", "--config", again.to_str().unwrap()], &[]);
    let bare = |shown: &str| {
        shown.lines().map(|line| line.split('#').next().unwrap().trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bare(text(&output.stdout)), bare(shown));
}

#[test]
fn sigterm_ends_a_daemon_whose_store_takes_long_to_open() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    // Nobody writes to it, so that reading it never ends.
    let format = dir.path().join("data/FORMAT");
    rustix::fs::mknodat(rustix::fs::CWD, &format, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let mut daemon = Daemon::start_opening(dir);
    daemon.signal("HUP");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.log().contains("stopped while the store opened"), "{}", daemon.log());
    std::fs::remove_file(format).unwrap();
    daemon.start_again();
}

/// Pipelines all of it, stops the daemon at once, and checks that every command was answered.
fn stop_under(daemon: &mut Daemon, commands: &str, expected: &[String]) {
    let mut lines = daemon.lines("a");
    lines.ask("JOIN r");
    // What is written to a socket on this machine has arrived when the write returns.
    lines.send_bytes(commands.as_bytes());
    daemon.signal("TERM");
    let rest = lines.rest();
    let answers: Vec<&str> = rest.lines().collect();
    assert_eq!(answers.len(), expected.len(), "of {} answers, the last is {:?}", expected.len(), answers.last());
    assert_eq!(answers, expected);
    drop(lines);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn sigterm_answers_everything_that_was_received() {
    const SENDS: u64 = 3000;
    let mut daemon = Daemon::start();
    let sends: String = (1..=SENDS).map(|n| format!("SEND r {n}\n")).collect();
    let oks: Vec<String> = (1..=SENDS).map(|seq| format!("OK {seq}")).collect();
    stop_under(&mut daemon, &format!("{sends}SEND r half a comma"), &oks);
    daemon.start_again();
    let fetched = daemon.lines("a").ask("FETCH r");
    assert_eq!(fetched.len() as u64, SENDS + 1);
    assert_eq!(*fetched.last().unwrap(), format!("END r {SENDS} 1 {SENDS}"));
    assert!(fetched[fetched.len() - 2].ends_with(&format!(" a {SENDS}")));
}

#[test]
fn sigterm_answers_requests_that_wait_for_their_turn() {
    const SENDS: u64 = 1500;
    let mut daemon = Daemon::start();
    // A PING waits until the SEND before it is answered; so almost all of this waits in the socket.
    let commands: String = (1..=SENDS).map(|n| format!("SEND r {n}\n@{n} PING\n")).collect();
    let answers: Vec<String> = (1..=SENDS).flat_map(|n| [format!("OK {n}"), format!("@{n} OK pong")]).collect();
    stop_under(&mut daemon, &commands, &answers);
    daemon.start_again();
    assert_eq!(daemon.lines("a").ask("FETCH r").len() as u64, SENDS + 1);
}

#[test]
fn sigterm_answers_all_that_it_stores_while_more_keeps_coming() {
    let mut daemon = Daemon::start();
    let mut lines = daemon.lines("a");
    lines.ask("JOIN r");
    let mut socket = lines.another();
    let answered = Arc::new(AtomicU64::new(0));
    let seen = answered.clone();
    let sender = std::thread::spawn(move || {
        // A hundred are always under way, until nobody is there any more.
        let mut sent = 0;
        loop {
            while sent >= seen.load(Ordering::Relaxed) + 100 {
                std::thread::yield_now();
            }
            sent += 1;
            if socket.write_all(format!("SEND r {sent}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
    let mut next = || {
        let line = lines.line()?;
        assert_eq!(line, format!("OK {}", answered.fetch_add(1, Ordering::Relaxed) + 1));
        Some(())
    };
    (0..1000).for_each(|_| next().unwrap());
    daemon.signal("TERM");
    while next().is_some() {}
    let count = answered.swap(u64::MAX / 2, Ordering::Relaxed);
    drop(lines);
    sender.join().unwrap();
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.start_again();
    let end = daemon.lines("a").ask("FETCH r").pop().unwrap();
    assert_eq!(end, format!("END r {count} 1 {count}"));
}

#[test]
fn sigint_stops_idle_connections_too() {
    let mut daemon = Daemon::start();
    let (mut known, mut silent) = (daemon.lines("a"), Lines::connect(daemon.address()));
    daemon.signal("INT");
    assert_eq!((known.rest(), silent.rest()), (String::new(), String::new()));
    drop((known, silent));
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.start_again();
}

#[test]
fn sighup_does_not_stop_the_daemon() {
    let mut daemon = Daemon::start();
    let mut lines = daemon.lines("a");
    daemon.signal("HUP");
    wait_until("it says so", || daemon.log().contains("SIGHUP: the configuration has not changed"));
    lines.expect("PING", "OK pong");
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// A daemon that was killed after five messages, each a commit of its own behind that of the JOIN.
fn killed_after_five() -> Daemon {
    let mut daemon = Daemon::start();
    let mut lines = daemon.lines("a");
    lines.expect("JOIN r", "OK cursor=0 last=0");
    for n in 1..=5 {
        lines.expect(&format!("SEND r message {n}"), &format!("OK {n}"));
    }
    daemon.kill();
    daemon
}

/// The journal's file with records, and where in it each record begins and what is behind the last.
fn journal(daemon: &Daemon) -> (PathBuf, Vec<u64>, u64) {
    for entry in std::fs::read_dir(daemon.data_dir().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let mut records = Vec::new();
        let mut at = 64;
        while bytes.get(at..at + 4).is_some_and(|magic| magic == b"DTKR") {
            records.push(at as u64);
            let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
            at += (24 + length).next_multiple_of(16);
        }
        if path.extension().is_some_and(|end| end == "journal") && !records.is_empty() {
            return (path, records, at as u64);
        }
    }
    panic!("no journal with records");
}

fn flip(path: &PathBuf, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_damaged_record_in_the_middle_stops_the_start() {
    let mut daemon = killed_after_five();
    let (path, records, _) = journal(&daemon);
    assert_eq!(records.len(), 6);
    for (what, at) in [("magic", 0), ("length", 4), ("commit", 8), ("checksum", 16), ("payload", 26)] {
        flip(&path, records[2] + at);
        let before = std::fs::read(&path).unwrap();
        let (status, printed) = daemon.try_start();
        assert_eq!(status.code(), Some(2), "{what}: {printed}");
        let last = printed.lines().last().unwrap();
        assert!(last.contains(path.to_str().unwrap()) && last.contains("damaged"), "{what}: {printed}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{what}: the damaged file was touched");
        flip(&path, records[2] + at);
    }
    daemon.start_again();
    assert_eq!(daemon.lines("a").ask("FETCH r").len(), 6);
}

#[test]
fn a_torn_commit_is_cut_off() {
    let mut daemon = killed_after_five();
    let (path, records, end) = journal(&daemon);
    // A sixth, of which the first half got to the disk: nobody was told that it is stored.
    let bytes = std::fs::read(&path).unwrap();
    let last = &bytes[records[5] as usize..end as usize];
    let mut torn = last[..last.len() / 2].to_vec();
    torn[8] += 1;
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&torn, end).unwrap();
    daemon.start_again();
    let fetched = daemon.lines("a").ask("FETCH r");
    assert_eq!(fetched.len(), 6, "{fetched:?}");
    assert_eq!(fetched[5], "END r 5 1 5");
    assert!(daemon.log().contains("cut"), "it says nothing of the cut");
    daemon.lines("a").expect("SEND r message 6", "OK 6");
    daemon.start_again();
    assert_eq!(daemon.lines("a").ask("FETCH r").len(), 7);
}

#[test]
fn a_damaged_last_record_is_cut_off_too() {
    let mut daemon = killed_after_five();
    let (path, records, _) = journal(&daemon);
    flip(&path, records[5] + 26);
    daemon.start_again();
    // From the journal alone it can't be told from a torn one. The last message may have been in the store already.
    let fetched = daemon.lines("a").ask("FETCH r");
    assert!(fetched.len() >= 5 && fetched[3].ends_with(" a message 4"), "{fetched:?}");
}

/// Exit code 2 is for what only the operator can fix, so that nobody retries; what may pass on its own is 1.
#[test]
fn errors_that_only_the_operator_can_fix_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, file, tokens) = (path("data"), path("a-file"), path("tokens.toml"));
    std::fs::write(&file, "text").unwrap();
    std::fs::write(&tokens, "[[token]]\nid = 1").unwrap();
    let free = "127.0.0.1:0";
    for args in [
        &["--listen", "7420"][..],
        &["--listen", ""],
        &["--listen", ","],
        &["--listen", "127.0.0.1"],
        &["--listen", "127.0.0.1:99999"],
        &["--listen", "::1:7420"],
        &["--listen", "none"],
        &["--listen", "0.0.0.0:0"],
        &["--metrics", "9420"],
        #[cfg(feature = "web")]
        &["--web", "7480"],
        #[cfg(feature = "web")]
        &["--web", "0.0.0.0:0"],
        #[cfg(feature = "web")]
        &["--web", free, "--web-host", "chat.example.org:80"],
        #[cfg(feature = "web")]
        &["--web", free, "--web-path", "chat"],
        #[cfg(feature = "web")]
        &["--web", free, "--web-trusted-proxy", "proxy"],
        #[cfg(all(feature = "web", feature = "tls"))]
        &["--web-tls", free],
        &["--log", "warning"],
        &["--log", "verbose"],
        &["--log", ""],
        &["--log", "dantok=loud"],
        &["--log", "info,"],
        &["--retention", "18446744073709551615s1000000000ns"],
        &["--max-body", "99999999999999999999EiB"],
        &["--listen", free, "--tokens", &tokens],
        &["--listen", free, "--data-dir", &file],
        &["--listen", free, "--data-dir", &format!("{file}/data")],
        &["--listen-tls", free, "--tls-cert", &path("none.pem"), "--tls-key", &path("none.key")],
    ] {
        let args = if args.contains(&"--data-dir") { args.to_vec() } else { [args, &["--data-dir", &data]].concat() };
        let output = dantok(&args, &[]);
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {printed}");
        assert!(!printed.is_empty(), "{args:?}");
        // And all of it is found without a start.
        for before in [&["config", "--check"][..], &["-t"]] {
            let output = dantok(&[before, &args].concat(), &[]);
            assert_eq!(output.status.code(), Some(2), "{before:?} {args:?}: {}", text(&output.stdout));
            assert!(!output.stderr.is_empty(), "{args:?}");
        }
    }
    assert!(!PathBuf::from(data).exists());
}

#[test]
fn a_check_finds_everything_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, tokens) = (path("data"), path("tokens.toml"));
    std::fs::write(&tokens, "nonsense").unwrap();
    std::fs::write(path("cert.pem"), "nonsense").unwrap();
    let wrong = ["config", "-t", "--data-dir", &path("cert.pem"), "--tokens", &tokens, "--listen-tls", "127.0.0.1:0"];
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let output =
        dantok(&[&wrong[..], &["--tls-cert", &cert, "--tls-key", &key, "--listen", "192.0.2.1:7420"]].concat(), &[]);
    let printed = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{printed}");
    for named in
        ["cert.pem: can't list the directory", "tokens.toml, line 1", "cert.pem: has no certificate", "192.0.2.1:7420"]
    {
        assert!(printed.contains(named), "{named}: {printed}");
    }
    // Everything in the file, too.
    std::fs::write(path("dantok.toml"), "max-romms = 1\n[limits]\nmax-rooms = 2").unwrap();
    let output = dantok(&["config", "--config", &path("dantok.toml"), "--max-body", "0"], &[("DANTOK_LOG", "verbose")]);
    let printed = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{printed}");
    for named in [
        "dantok.toml, line 1: max-romms: no such setting; did you mean max-rooms?",
        "dantok.toml, line 2: limits: no such setting",
        "--max-body takes",
        "$DANTOK_LOG takes",
    ] {
        assert!(printed.lines().any(|line| line.contains(named)), "{named}: {printed}");
    }
    // A running daemon keeps nobody from a check, and is not disturbed by one.
    let mut daemon = Daemon::start();
    let (running, address) = (daemon.data_dir(), daemon.address().to_string());
    let valid = ["--data-dir", running.to_str().unwrap(), "--listen", &address];
    for before in [&["config", "--check"][..], &["-t"], &["serve", "-t"]] {
        let output = dantok(&[before, &valid].concat(), &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    daemon.lines("alice").expect("PING", "OK pong");
    assert!(daemon.terminate().success());
    assert!(dantok(&["config", "--check", "--data-dir", &data, "--listen", &address], &[]).status.success());
    assert!(!PathBuf::from(data).exists());
}

#[test]
fn an_unknown_variable_is_reported() {
    let daemon =
        Daemon::start_as(tempfile::tempdir().unwrap(), &[], &[("DANTOK_MAX_ROOM", "5"), ("DANTOK_MAX_BODY", "1KiB")]);
    let warned = |text: &str, name: &str| {
        text.lines().any(|line| line.contains(&format!("${name} is set, but nothing reads it")))
    };
    assert!(warned(&daemon.log(), "DANTOK_MAX_ROOM") && !warned(&daemon.log(), "DANTOK_MAX_BODY"), "{}", daemon.log());
    let output = dantok(&["config"], &[("DANTOK_LISTENN", "none")]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("$DANTOK_LISTENN is set, but nothing reads it; did you mean DANTOK_LISTEN?"));
}

#[test]
fn the_example_configuration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let example = dantok(&["config", "--example"], &[]);
    let file = dir.path().join("dantok.toml");
    std::fs::write(&file, &example.stdout).unwrap();
    let with = dantok(&["config", "--config", file.to_str().unwrap()], &[]);
    assert!(with.status.success() && with.stdout == dantok(&["config"], &[]).stdout, "{}", text(&with.stderr));
    for setting in dantok::config::SETTINGS {
        assert!(text(&example.stdout).contains(&format!("\n#{} = ", setting.name)), "{}", setting.name);
    }
}

/// Addresses that have others in them, or are them.
#[test]
fn each_address_is_bound_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (all, loopback) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"));
    for (args, named) in [
        (&["--listen", &loopback, "--listen", &loopback][..], "are the same address"),
        (&["--listen", &format!("{loopback},{loopback}")], "are the same address"),
        (&["--listen", &loopback, "--metrics", &loopback], "are the same address"),
        #[cfg(feature = "web")]
        (&["--listen", &loopback, "--web", &loopback], "are the same address"),
        (&["--listen", &format!("localhost:{port}"), "--listen", &loopback], "are the same address"),
        (&["--listen", &format!("[::ffff:127.0.0.1]:{port}"), "--listen", &loopback], "are the same address"),
        (&["--listen", &all, "--listen", &loopback], "covers all addresses"),
        (&["--listen", &loopback, "--metrics", &all], "covers all addresses"),
    ] {
        let output = dantok(&[args, &["--open", "--data-dir", data.to_str().unwrap()]].concat(), &[]);
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {printed}");
        assert!(printed.contains(named), "{args:?}: {printed}");
    }
}

#[test]
fn ipv4_and_ipv6_addresses_work_side_by_side() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reaches = |address: &str| std::net::TcpStream::connect(address).is_ok();
    for options in [["--listen", "--listen"], ["--listen", "--metrics"], ["--metrics", "--listen"]] {
        let port = port();
        let (four, six) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
        let daemon = Daemon::start_with(&["--open", options[0], &four, options[1], &six]);
        assert!(reaches(&format!("127.0.0.1:{port}")) && reaches(&format!("[::1]:{port}")), "{}", daemon.log());
    }
    // By itself it has both.
    let port = port();
    let daemon = Daemon::start_with(&["--open", "--listen", &format!("[::]:{port}")]);
    assert!(reaches(&format!("127.0.0.1:{port}")) && reaches(&format!("[::1]:{port}")), "{}", daemon.log());
    // Any free port, as often as is wanted; and a name with all that it has.
    Daemon::start_with(&["--listen", "127.0.0.1:0,127.0.0.1:0", "--listen", "localhost:0"]).lines("alice");
}
