//! Metrics and health checks: each metric changes for the right reason, and the health checks tell the truth.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::http::{ask, get};
use crate::common::scrape::{Watched, figures, listening};
use crate::common::{self, DEADLINE, Lines, connect, has_tool, inject, wait_until};
use dantok_protocol::ErrorCode;

const SHORT: [&str; 3] = ["--retention", "1s", "--allow-short-retention"];

/// What has changed of the figures that only clients change.
fn moved(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let own = |name: &&String| {
        ["process_", "dantok_tokio_", "dantok_disk_", "dantok_commit_fdatasync_", "dantok_oldest_"]
            .iter()
            .all(|prefix| !name.starts_with(prefix))
            && !name.contains("_memory_")
            && !name.contains("_network_")
            && !name.contains("_running_")
    };
    let moved = after.keys().filter(own).map(|name| (name.clone(), after[name] - before[name]));
    moved.filter(|(_, by)| *by != 0.0).collect()
}

fn of(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect()
}

/// The figures, once just these have moved: what is surveyed may be a moment old.
fn after_moves(
    watched: &Watched,
    before: &BTreeMap<String, f64>,
    wanted: &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    let start = std::time::Instant::now();
    loop {
        let after = watched.figures();
        if moved(before, &after) == *wanted {
            return after;
        }
        assert!(start.elapsed() < DEADLINE, "{:#?} and not {wanted:#?}", moved(before, &after));
    }
}

#[test]
fn each_metric_changes_only_for_its_own_reason() {
    let watched = Watched::start(&[]);
    let mut alice = watched.daemon.lines("alice");
    // Who asked whether it has started is gone.
    watched.wait_for("dantok_connections", |open| open == 1.0);
    watched.wait_for("dantok_clients", |clients| clients == 1.0);
    let before = watched.figures();
    alice.expect("JOIN lobby", "OK cursor=0 last=0");
    let no_messages = ["0", "1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024", "2048", "4096"]
        .map(|bound| (format!("dantok_commit_messages_bucket{{le=\"{bound}\"}}"), 1.0));
    let mut wanted = of(&[
        ("dantok_commits_total", 1.0),
        ("dantok_commit_messages_bucket{le=\"+Inf\"}", 1.0),
        ("dantok_commit_messages_count", 1.0),
        ("dantok_rooms", 1.0),
        ("dantok_memberships", 1.0),
    ]);
    wanted.extend(no_messages);
    let joined = after_moves(&watched, &before, &wanted);

    // One commit each, as each waits for the one before.
    for (seq, text) in [(1, "one"), (2, "twotwo"), (3, "three")] {
        alice.expect(&format!("SEND lobby {text}"), &format!("OK {seq}"));
    }
    watched.wait_for("dantok_messages", |messages| messages == 3.0);
    // A request's resources are released after its answer.
    watched.wait_for("dantok_commit_queue_bytes", |bytes| bytes == 0.0);
    let sent = watched.figures();
    let by = moved(&joined, &sent);
    for (name, wanted) in [
        ("dantok_commits_total", 3.0),
        ("dantok_messages_stored_total", 3.0),
        ("dantok_message_bytes_stored_total", 14.0),
        ("dantok_commit_messages_sum", 3.0),
        ("dantok_commit_messages_count", 3.0),
        ("dantok_commit_messages_bucket{le=\"1\"}", 3.0),
        ("dantok_messages", 3.0),
    ] {
        assert_eq!(by.get(name), Some(&wanted), "{name}: {by:#?}");
    }
    assert!(
        by["dantok_message_bytes"] >= 14.0 && !by.contains_key("dantok_commit_messages_bucket{le=\"0\"}"),
        "{by:?}"
    );
    assert!(!by.contains_key("dantok_messages_handed_total") && !by.contains_key("dantok_rooms"), "{by:?}");
    let syncs = |figures: &BTreeMap<String, f64>| figures["dantok_commit_fdatasync_seconds_count"];
    assert_eq!(syncs(&sent) - syncs(&joined), 3.0);
    assert!(sent["dantok_commit_fdatasync_seconds_sum"] > joined["dantok_commit_fdatasync_seconds_sum"]);
    assert_eq!(sent["dantok_commit_fdatasync_seconds_bucket{le=\"+Inf\"}"], syncs(&sent));

    assert_eq!(alice.ask("FETCH lobby").len(), 4);
    let handed = of(&[("dantok_messages_handed_total", 3.0), ("dantok_message_bytes_handed_total", 14.0)]);
    let fetched = after_moves(&watched, &sent, &handed);

    assert!(alice.ask("SEND nowhere x")[0].starts_with("ERR no-room "));
    assert!(alice.ask("BAKE cake")[0].starts_with("ERR bad-command "));
    let errors =
        of(&[("dantok_errors_total{code=\"no-room\"}", 1.0), ("dantok_errors_total{code=\"bad-command\"}", 1.0)]);
    let refused = after_moves(&watched, &fetched, &errors);

    drop(watched.daemon.lines("bob"));
    after_moves(&watched, &refused, &of(&[("dantok_connections_accepted_total", 1.0)]));
}

#[test]
fn network_bytes_are_counted() {
    let watched = Watched::start(&[]);
    watched.wait_for("dantok_connections", |open| open == 0.0);
    let before = watched.figures();
    let mut lines = Lines::connect(watched.daemon.address());
    let mut sent = 0;
    for _ in 0..100 {
        lines.expect("PING", "OK pong");
        sent += "PING\n".len();
    }
    let received = before["dantok_network_received_bytes_total"] + sent as f64;
    assert_eq!(watched.figure("dantok_network_received_bytes_total"), received);
    let answered = before["dantok_network_sent_bytes_total"] + (100 * "OK pong\n".len()) as f64;
    // The last one is counted after its answer.
    watched.wait_for("dantok_network_sent_bytes_total", |sent| sent == answered);
}

#[test]
fn every_error_code_is_there_from_the_start() {
    let watched = Watched::start(&[]);
    let figures = watched.figures();
    for code in ErrorCode::ALL {
        assert_eq!(figures[&format!("dantok_errors_total{{code=\"{}\"}}", code.as_str())], 0.0);
    }
    let version = format!("dantok_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(figures[&version], 1.0);
}

#[test]
fn limits_and_connections_that_are_turned_away_are_counted() {
    let watched = Watched::start(&["--max-connections", "2", "--max-rooms", "1"]);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN one");
    assert!(alice.ask("JOIN two")[0].starts_with("ERR limit "));
    assert_eq!(watched.figure("dantok_errors_total{code=\"limit\"}"), 1.0);
    let _bob = watched.daemon.lines("bob");
    let mut carol = Lines::connect(watched.daemon.address());
    carol.send("HELLO carol");
    assert!(carol.answer()[0].starts_with("ERR limit "));
    let figures = watched.figures();
    assert_eq!(figures["dantok_connections_refused_total{reason=\"connections\"}"], 1.0);
    assert_eq!(figures["dantok_connections_refused_total{reason=\"address\"}"], 0.0);
    assert_eq!(figures["dantok_errors_total{code=\"limit\"}"], 2.0);
    assert_eq!((figures["dantok_connections"], figures["dantok_connections_max"]), (2.0, 2.0));
    watched.wait_for("dantok_clients", |clients| clients == 2.0);
    // Something that is not a protocol at all is an error as well.
    drop(_bob);
    watched.wait_for("dantok_connections", |open| open == 1.0);
    let mut stranger = Lines::connect(watched.daemon.address());
    stranger.send_bytes(b"\x80\n");
    assert!(stranger.rest().starts_with("ERR bad-command "));
    assert_eq!(watched.figure("dantok_errors_total{code=\"bad-command\"}"), 1.0);
}

#[test]
fn a_follower_that_stops_reading_lags() {
    let watched = Watched::start(&[]);
    let mut alice = watched.daemon.frames("alice");
    let room = || "lobby".to_owned();
    use dantok_protocol::{Command, commands};
    alice.ask(Command::join(room()));
    let mut bob = watched.daemon.lines("bob");
    bob.ask("JOIN lobby");
    bob.expect("FOLLOW lobby", "OK after=0");
    watched.wait_for("dantok_followers", |followers| followers == 1.0);
    assert_eq!(watched.figure("dantok_follower_lag_max_messages"), 0.0);
    let mut seq = 0;
    let mut send = |count| {
        for _ in 0..count {
            let body = vec![b'x'; 60_000].into();
            alice.ask(Command::Send(commands::Send { room: room(), id: None, body, reply: None }));
            seq += 1;
        }
        seq
    };
    send(3);
    for _ in 0..3 {
        assert!(bob.line().unwrap().starts_with("MSG lobby "));
    }
    watched.wait_for("dantok_follower_lag_max_messages", |lag| lag == 0.0);
    // More than sockets and buffers hold.
    let mut lag = 0.0;
    while lag <= 110.0 {
        send(100);
        lag = watched.figure("dantok_follower_lag_max_messages");
    }
    assert_eq!(watched.figure("dantok_followers_behind{more_than=\"100\"}"), 1.0);
    assert_eq!(watched.figure("dantok_followers_behind{more_than=\"10000\"}"), 0.0);
    let last = send(0);
    while !bob.line().unwrap().starts_with(&format!("MSG lobby {last} ")) {}
    watched.wait_for("dantok_follower_lag_max_messages", |lag| lag == 0.0);
    bob.expect("UNFOLLOW lobby", "OK");
    watched.wait_for("dantok_followers", |followers| followers == 0.0);
}

#[test]
fn the_oldest_unread_ages_until_it_is_acknowledged() {
    const MEMBER: &str = "dantok_oldest_unread_age_seconds{kind=\"member\"}";
    const GROUP: &str = "dantok_oldest_unread_age_seconds{kind=\"group\"}";
    let watched = Watched::start(&[]);
    let (mut alice, mut bob) = (watched.daemon.lines("alice"), watched.daemon.lines("bob"));
    alice.ask("JOIN lobby");
    bob.ask("JOIN lobby");
    alice.ask("GROUP lobby workers");
    assert_eq!((watched.figure(MEMBER), watched.figure(GROUP)), (0.0, 0.0));
    // One's own is not unread, whether or not it was acknowledged.
    bob.expect("SEND lobby one", "OK 1");
    bob.expect("SEND lobby two", "OK 2");
    watched.wait_for(MEMBER, |age| age > 0.5);
    watched.wait_for(GROUP, |age| age > 0.5);
    // The second is younger by next to nothing, and the third by all that has passed since.
    alice.expect("ACK lobby 2", "OK 2");
    watched.wait_for(MEMBER, |age| age == 0.0);
    assert!(watched.figure(GROUP) > 0.5);
    let before = watched.figure(GROUP);
    bob.expect("SEND lobby three", "OK 3");
    watched.wait_for(MEMBER, |age| age > 0.0);
    assert!(watched.figure(MEMBER) < watched.figure(GROUP));
    assert_eq!(alice.ask("TAKE lobby workers 3").len(), 4);
    // What is taken is not done.
    watched.wait_for(GROUP, |age| age > before);
    alice.ask("DONE lobby workers 2");
    alice.ask("DONE lobby workers 1");
    watched.wait_for(GROUP, |age| age < before);
    alice.ask("DONE lobby workers 3");
    watched.wait_for(GROUP, |age| age == 0.0);
    assert!(watched.figure("dantok_oldest_message_age_seconds") > 0.5);
}

#[test]
fn a_room_that_a_client_only_writes_to_has_no_unread_messages() {
    const MEMBER: &str = "dantok_oldest_unread_age_seconds{kind=\"member\"}";
    let watched = Watched::start(&[]);
    let mut cron = watched.daemon.lines("cron");
    cron.expect("JOIN lobby from=none", "OK cursor=- last=0");
    cron.expect("SEND lobby noon", "OK 1");
    watched.wait_for("dantok_oldest_message_age_seconds", |age| age > 0.2);
    assert_eq!(watched.figure(MEMBER), 0.0);
    watched.daemon.lines("alice").expect("JOIN lobby", "OK cursor=0 last=1");
    watched.wait_for(MEMBER, |age| age > 0.2);
}

#[test]
fn the_oldest_unread_is_known_after_a_restart() {
    const MEMBER: &str = "dantok_oldest_unread_age_seconds{kind=\"member\"}";
    let mut watched = Watched::start(&[]);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    let mut bob = watched.daemon.lines("bob");
    bob.ask("JOIN lobby");
    bob.expect("SEND lobby one", "OK 1");
    assert!(watched.daemon.terminate().success());
    watched.daemon.start_again();
    // On another port.
    watched.address = listening(&watched.daemon.log()).unwrap();
    let age = watched.figure(MEMBER);
    assert!(age > 0.0);
    watched.wait_for(MEMBER, |later| later > age);
    watched.daemon.lines("alice").expect("ACK lobby 1", "OK 1");
    watched.wait_for(MEMBER, |age| age == 0.0);
}

#[test]
fn expired_messages_are_counted() {
    let watched = Watched::start(&SHORT);
    assert_eq!(watched.figure("dantok_retention_seconds"), 1.0);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    for seq in 1..=5 {
        alice.expect(&format!("SEND id={seq} lobby old"), &format!("OK {seq}"));
    }
    watched.wait_for("dantok_messages_expired_total", |expired| expired >= 5.0);
    let figures = watched.figures();
    assert_eq!(figures["dantok_messages_expired_total"], 5.0);
    // 25 bytes, the client, the id and the body of each.
    assert_eq!(figures["dantok_message_bytes_expired_total"], 5.0 * (25 + 5 + 1 + 3) as f64);
    watched.wait_for("dantok_messages", |stored| stored == 0.0);
    assert_eq!(watched.figure("dantok_oldest_message_age_seconds"), 0.0);
    assert_eq!(watched.figure("dantok_oldest_unread_age_seconds{kind=\"member\"}"), 0.0);
}

#[test]
fn the_metrics_cover_the_disk_and_the_process() {
    let watched = Watched::start(&[]);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    let figures = watched.figures();
    let free = rustix::fs::statvfs(watched.daemon.data_dir()).unwrap();
    let free = (free.f_bavail * free.f_frsize) as f64;
    assert!((figures["dantok_disk_free_bytes"] / free - 1.0).abs() < 0.5, "{free}: {figures:#?}");
    assert!(figures["dantok_disk_used_bytes"] > 1e6);
    assert!(figures["dantok_disk_free_min_bytes"] > 1e6);
    for name in ["dantok_store_refuses_writes", "dantok_store_failed", "dantok_commit_queue_requests"] {
        assert_eq!(figures[name], 0.0, "{name}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", watched.daemon.pid())).unwrap();
    let of_status = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let resident = of_status("VmRSS:") * 1024.0;
    assert!((figures["process_resident_memory_bytes"] / resident - 1.0).abs() < 0.5, "{resident}: {figures:#?}");
    assert!(figures["process_threads"] >= 3.0 && figures["process_open_fds"] > 5.0);
    assert!(figures["process_max_fds"] >= figures["process_open_fds"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - figures["process_start_time_seconds"];
    assert!((-5.0..600.0).contains(&age), "{age}");
    assert!(figures["dantok_tokio_workers"] >= 1.0 && figures["dantok_tokio_tasks"] >= 1.0);
}

/// A process that a test has started; killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn health_checks_answer_before_the_store_is_open_and_while_the_daemon_stops() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // What the start reads once, and nobody writes yet.
    std::fs::write(data.join("FORMAT"), "2\n").unwrap();
    std::fs::write(data.join("dantok.lock"), "clean \n").unwrap();
    let epoch = data.join("EPOCH");
    assert!(Command::new("mkfifo").arg(&epoch).status().unwrap().success());
    let log = dir.path().join("log");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_dantok"))
        .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--drain-timeout", "60s", "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .map(Killed)
        .unwrap();
    let printed = || std::fs::read_to_string(&log).unwrap();
    let mut address = None;
    wait_until("metrics", || {
        address = listening(&printed());
        address.is_some()
    });
    let address = address.unwrap();
    let ready = get(address, "/readyz");
    assert_eq!((ready.status, &*ready.body), (503, "the store is opening\n"));
    assert_eq!(get(address, "/healthz").status, 200);
    let opening = figures(&get(address, "/metrics").body);
    assert_eq!(opening["dantok_ready"], 0.0);
    assert!(opening["process_resident_memory_bytes"] > 0.0 && !opening.contains_key("dantok_rooms"));

    std::fs::write(&epoch, "0123456789abcdef\n").unwrap();
    wait_until("the daemon is ready", || get(address, "/readyz").status == 200);
    assert_eq!(get(address, "/readyz").body, "ready\n");
    assert_eq!(figures(&get(address, "/metrics").body)["dantok_ready"], 1.0);

    // A client that does not read its answers keeps it from ending.
    let listen = printed().lines().find_map(|line| line.split_once("listening address=")?.1.parse().ok()).unwrap();
    let mut slow = Lines::connect(listen);
    slow.ask("HELLO slow");
    slow.ask("JOIN lobby");
    for _ in 0..50 {
        let body = "x".repeat(60_000);
        slow.ask(&format!("SEND lobby {body}"));
    }
    let mut stream = slow.another();
    let asking = std::thread::spawn(move || while stream.write_all(b"FETCH lobby\n".repeat(100).as_slice()).is_ok() {});
    wait_until("it reads no more", || {
        let sent = |page: &str| figures(page)["dantok_network_sent_bytes_total"];
        let before = sent(&get(address, "/metrics").body);
        std::thread::sleep(Duration::from_millis(300));
        before > 1e6 && sent(&get(address, "/metrics").body) == before
    });
    let pid = rustix::process::Pid::from_child(&daemon.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    wait_until("it stops", || get(address, "/readyz").status == 503);
    assert_eq!(get(address, "/readyz").body, "the daemon is stopping\n");
    assert_eq!(get(address, "/healthz").status, 200);
    slow.stream().shutdown(Shutdown::Both).unwrap();
    asking.join().unwrap();
    drop(slow);
    let mut status = None;
    wait_until("it ends", || {
        status = daemon.0.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{}", printed());
}

#[test]
fn a_hanging_disk_is_reported_until_it_recovers() {
    let watched = Watched::start(&[]);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    assert_eq!(get(watched.address, "/healthz").body, "ok\n");
    // Longer than the test; by turns with and without anybody who sends.
    let Some(mut strace) = inject(&watched.daemon, "fdatasync:delay_enter=600000000") else { return };
    // strace may not have seen the committer's thread yet.
    wait_until("it is told", || get(watched.address, "/healthz").status == 503);
    assert_eq!(get(watched.address, "/healthz").body, "no commit has completed for 5 s\n");
    alice.send("SEND lobby one");
    watched.wait_for("dantok_commit_queue_requests", |waiting| waiting == 1.0);
    assert!(watched.figure("dantok_commit_queue_bytes") > 0.0);
    // It hangs, and is not at its end: clients would be served, if it did not.
    assert_eq!(get(watched.address, "/readyz").status, 200);
    let _ = strace.kill();
    strace.wait().unwrap();
    assert_eq!(alice.answer(), ["OK 1"]);
    wait_until("it is told no more", || get(watched.address, "/healthz").status == 200);
    watched.wait_for("dantok_commit_queue_requests", |waiting| waiting == 0.0);
    watched.wait_for("dantok_commit_queue_bytes", |bytes| bytes == 0.0);
}

#[test]
fn the_duration_of_a_commit_is_visible_while_it_runs() {
    let watched = Watched::start(&[]);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    let Some(mut strace) = inject(&watched.daemon, "fdatasync:delay_enter=600000000") else { return };
    wait_until("a commit hangs", || {
        alice.send("SEND lobby one");
        std::thread::sleep(Duration::from_millis(50));
        watched.figure("dantok_commit_running_seconds") > 0.1
    });
    watched.wait_for("dantok_commit_running_seconds", |takes| takes > 2.0);
    let _ = strace.kill();
    strace.wait().unwrap();
    watched.wait_for("dantok_commit_running_seconds", |takes| takes == 0.0);
    let figures = watched.figures();
    let slow = |bound: &str| figures[&format!("dantok_commit_fdatasync_seconds_bucket{{le=\"{bound}\"}}")];
    assert_eq!(slow("+Inf") - slow("0.5"), 1.0);
}

#[test]
fn a_failed_store_is_reported_as_long_as_the_daemon_runs() {
    // A client that does not read its answers keeps it from ending at once.
    let watched = Watched::start(&["--drain-timeout", "60s"]);
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    let mut slow = watched.daemon.lines("slow");
    slow.ask("JOIN lobby");
    slow.expect("FOLLOW lobby", "OK after=0");
    while watched.figure("dantok_follower_lag_max_messages") < 20.0 {
        alice.ask(&format!("SEND lobby {}", "x".repeat(60_000)));
    }
    let Some(mut strace) = inject(&watched.daemon, "fdatasync:error=EIO") else { return };
    while alice.ask("SEND lobby y")[0].starts_with("OK ") {}
    let ready = get(watched.address, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.starts_with("the store has failed: "), "{ready:?}");
    let alive = get(watched.address, "/healthz");
    assert_eq!(alive.status, 503);
    assert!(alive.body.starts_with("nothing is written any more: "), "{alive:?}");
    let figures = watched.figures();
    assert_eq!((figures["dantok_store_failed"], figures["dantok_ready"]), (1.0, 0.0));
    assert!(figures["dantok_errors_total{code=\"storage\"}"] >= 1.0);
    let _ = strace.kill();
    strace.wait().unwrap();
}

#[test]
fn the_metrics_socket_may_be_passed_in() {
    if !has_tool("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "import os, socket, sys
for fd in (3, 4):
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    os.dup2(listener.detach(), fd + 10)
for fd in (3, 4):
    os.dup2(fd + 10, fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='dantok-metrics.socket:plain')
os.execv(sys.argv[1], sys.argv[1:])";
    let mut daemon = Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_dantok"), "--data-dir"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Killed)
        .unwrap();
    let mut ports = BufReader::new(daemon.0.stdout.take().unwrap()).lines();
    let mut address = || std::net::SocketAddr::from(([127, 0, 0, 1], ports.next().unwrap().unwrap().parse().unwrap()));
    let (metrics, plain) = (address(), address());
    assert_eq!(Lines::connect(plain).ask("PING"), ["OK pong"]);
    assert_eq!(get(metrics, "/readyz").body, "ready\n");
}

#[test]
fn only_three_paths_answer_and_only_to_get_and_head() {
    let watched = Watched::start(&[]);
    let address = watched.address;
    let page = get(address, "/metrics");
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4");
    assert_eq!(page.headers["connection"], "close");
    for path in ["/", "/metrics/", "/favicon.ico", "//metrics", "/..%2fmetrics"] {
        assert_eq!(get(address, path).status, 404, "{path}");
    }
    assert_eq!(get(address, "/metrics?name=x").status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(address, &format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!((answer.status, &*answer.headers["allow"]), (405, "GET, HEAD"), "{method}");
    }
    let head = ask(address, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.status, &*head.headers["content-length"], &*head.body), (200, "3", ""));
    assert_eq!(get(address, "/healthz").body, "ok\n");
    let large = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "c".repeat(100_000));
    assert_eq!(ask(address, &large).status, 431);
    assert_eq!(ask(address, "SSH-2.0-x\r\n\r\n").status, 400);
}

#[test]
fn an_unfinished_http_request_times_out() {
    let watched = Watched::start(&[]);
    let mut idle: Vec<_> = (0..9)
        .map(|_| {
            let mut stream = connect(watched.address);
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(get(watched.address, "/readyz").status, 200);
    for stream in &mut idle {
        // Closed, with or without a word about it.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    watched.daemon.lines("alice").expect("PING", "OK pong");
}

#[test]
fn a_half_closed_http_request_is_answered() {
    let watched = Watched::start(&[]);
    // As `nc -N` does. The answer of this one waits for the disk.
    for _ in 0..20 {
        let mut stream = connect(watched.address);
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 ") && answer.ends_with("ok\n"), "{answer:?}");
    }
}

#[test]
fn many_silent_http_connections_do_not_block_a_request() {
    let watched = Watched::start(&[]);
    // They are closed after a while; where that comes first, it is tried again.
    wait_until("somebody is answered while they are there", || {
        let silent: Vec<_> = (0..40).map(|_| connect(watched.address)).collect();
        assert_eq!(get(watched.address, "/readyz").status, 200);
        silent.iter().all(|stream| {
            stream.set_nonblocking(true).unwrap();
            matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        })
    });
}

#[test]
fn without_the_option_nothing_listens() {
    let daemon = common::Daemon::start();
    assert_eq!(listening(&daemon.log()), None);
}
