//! Rate limits of a client, and service to others beside a client that exceeds them.

use std::io::Write;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use crate::common::{self, Daemon, Frames, Lines, has_tool};
use dantok_protocol::{Command, ErrorCode, Refusal, Reply, commands};

/// The longest body; where a byte a second is allowed, one of these is, and then nothing for hours.
const LONGEST: usize = 65_536;

fn send(body_bytes: usize) -> Command {
    Command::Send(commands::Send { room: "r".to_owned(), id: None, body: vec![b'x'; body_bytes].into(), reply: None })
}

fn send_line(body_bytes: usize) -> String {
    format!("SEND r {}", "x".repeat(body_bytes))
}

fn refused(reply: Reply) -> Option<Refusal> {
    if let Reply::Error(refusal) = reply { Some(refusal) } else { None }
}

/// How long an answer says to wait; `None` if it is not a refusal.
fn wait_of(answer: &str, sentence: &str) -> Option<Duration> {
    if answer.starts_with("OK") {
        return None;
    }
    let wait = answer.strip_prefix("ERR limit wait=").and_then(|rest| rest.strip_suffix(sentence));
    let ms = wait.and_then(|wait| wait.trim_end().strip_suffix("ms")?.parse().ok());
    Some(Duration::from_millis(ms.unwrap_or_else(|| panic!("neither done nor {sentence}: {answer}"))))
}

/// How many of these commands are granted; each gets one answer.
fn granted(lines: &mut Lines, commands: &[String], sentence: &str) -> usize {
    lines.send(&commands.join("\n"));
    let answers: Vec<String> = commands.iter().map(|_| lines.line().unwrap()).collect();
    answers.iter().filter(|answer| wait_of(answer, sentence).is_none()).count()
}

fn pings(count: usize) -> Vec<String> {
    vec!["PING".to_owned(); count]
}

#[test]
fn requests_are_counted_over_all_connections_and_devices_of_a_person() {
    let daemon = Daemon::start_with(&["--max-requests-per-second", "5"]);
    let start = Instant::now();
    let mut ours = [daemon.lines("alice"), daemon.lines("alice"), daemon.lines("alice/desk")];
    let mut all = 0;
    for lines in &mut ours {
        all += granted(lines, &pings(60), "at most 5 requests a second");
    }
    let mut frames = daemon.frames("alice/phone");
    for _ in 0..20 {
        match frames.ask(Command::Ping).1 {
            Reply::Pong => all += 1,
            reply => {
                let refusal = refused(reply).unwrap();
                assert_eq!((refusal.code, &*refusal.text), (ErrorCode::Limit, "at most 5 requests a second"));
                assert!((1..=200).contains(&refusal.wait_ms.unwrap()), "{refusal:?}");
            }
        }
    }
    let most = 6.0 + 5.0 * start.elapsed().as_secs_f64();
    assert!(all >= 5 && all as f64 <= most, "{all} of {most}");
    // Another one has as much.
    let mut bob = daemon.lines("bob");
    for _ in 0..5 {
        bob.expect("PING", "OK pong");
    }
}

#[test]
fn requests_refused_for_other_reasons_and_before_hello_count_too() {
    let daemon = Daemon::start_with(&["--max-requests-per-second", "5"]);
    for (mut lines, command) in [(daemon.lines("a"), "DANCE"), (Lines::connect(daemon.address()), "PING")] {
        let start = Instant::now();
        lines.send(&vec![command; 50].join("\n"));
        let answers: Vec<String> = (0..50).map(|_| lines.line().unwrap()).collect();
        let taken = answers.iter().filter(|answer| !answer.starts_with("ERR limit ")).count();
        let most = 6.0 + 5.0 * start.elapsed().as_secs_f64();
        assert!(taken >= 5 && taken as f64 <= most, "{taken} of {most}: {answers:?}");
    }
}

#[test]
fn bytes_are_counted_over_all_connections_and_devices_of_a_person() {
    let daemon = Daemon::start_with(&["--max-bytes-per-second", "1"]);
    let mut alice = daemon.lines("alice");
    alice.expect("JOIN r", "OK cursor=0 last=0");
    alice.expect(&send_line(LONGEST), "OK 1");
    let (mut desk, mut phone) = (daemon.lines("alice/desk"), daemon.frames("alice/phone"));
    desk.expect("JOIN r", "OK cursor=0 last=1");
    phone.ask(Command::join("r"));
    for lines in [&mut alice, &mut desk] {
        let wait = wait_of(&lines.ask(&send_line(LONGEST))[0], "at most 1 bytes of messages a second").unwrap();
        assert!(wait > Duration::from_secs(3600), "{wait:?}");
        // Whatever else is asked for costs nothing.
        lines.expect("PING", "OK pong");
        assert_eq!(lines.ask("FETCH r after=1"), ["END r 1 1 1"]);
    }
    let refusal = refused(phone.ask(send(LONGEST)).1).unwrap();
    assert_eq!((refusal.code, &*refusal.text), (ErrorCode::Limit, "at most 1 bytes of messages a second"));
    assert!(refusal.wait_ms.unwrap() > 3_600_000, "{refusal:?}");
    // Reconnecting gains nothing.
    alice.expect("QUIT", "OK bye");
    desk.expect("QUIT", "OK bye");
    drop(phone);
    let mut again = daemon.lines("alice");
    assert!(again.ask(&send_line(LONGEST))[0].starts_with("ERR limit wait="));

    let mut bob = daemon.frames("bob");
    bob.ask(Command::join("r"));
    assert_eq!(bob.ask(send(LONGEST)).1, Reply::Sent { seq: 2, dup: false });
}

#[test]
fn the_wait_in_the_refusal_is_long_enough() {
    let limits = ["--max-requests-per-second", "40", "--max-bytes-per-second", "200KiB"];
    for flags in [&limits[..2], &limits[2..], &limits[..]] {
        let daemon = Daemon::start_with(flags);
        let (mut lines, mut frames) = (daemon.lines("a"), daemon.frames("b"));
        lines.expect("JOIN r", "OK cursor=0 last=0");
        frames.ask(Command::join("r"));
        // Either limit is reached with these, and never both at once.
        let body = if flags.len() == 2 && flags[0] == limits[0] { 10 } else { LONGEST };
        let mut waits = 0;
        while waits < 5 {
            let answer = &lines.ask(&send_line(body))[0];
            if let Some(answer) = answer.strip_prefix("ERR limit wait=") {
                waits += 1;
                let ms = answer.split_once("ms ").unwrap().0.parse().unwrap();
                std::thread::sleep(Duration::from_millis(ms));
                let again = &lines.ask(&send_line(body))[0];
                assert!(again.starts_with("OK "), "{again}");
            }
        }
        while waits < 10 {
            if let Some(refusal) = refused(frames.ask(send(body)).1) {
                waits += 1;
                std::thread::sleep(Duration::from_millis(refusal.wait_ms.unwrap()));
                assert!(matches!(frames.ask(send(body)).1, Reply::Sent { .. }));
            }
        }
    }
}

/// Requests of a flooder, some of them no messages.
fn flood(count: u64) -> impl Iterator<Item = (u64, &'static str)> {
    (0..count).map(|number| (number, if number % 10 == 9 { "PING" } else { "SEND r something" }))
}

#[test]
fn a_flooder_gets_one_answer_for_each_request_in_order() {
    const COUNT: u64 = 1000;
    let daemon = Daemon::start_with(&["--max-requests-per-second", "500", "--max-bytes-per-second", "4KiB"]);
    let mut lines = daemon.lines("a");
    lines.expect("JOIN r", "OK cursor=0 last=0");
    let mut other = lines.another();
    let writer = std::thread::spawn(move || {
        for (number, command) in flood(COUNT) {
            other.write_all(format!("@{number} {command}\n").as_bytes()).unwrap();
        }
    });
    let (mut stored, mut refused_ones) = (0, 0);
    for (number, command) in flood(COUNT) {
        let answer = lines.line().unwrap();
        let (tag, rest) = answer.split_once(' ').unwrap();
        assert_eq!(tag, format!("@{number}"));
        if rest.starts_with("ERR limit wait=") {
            refused_ones += 1;
        } else if command == "PING" {
            assert_eq!(rest, "OK pong");
        } else {
            stored += 1;
            assert_eq!(rest, format!("OK {stored}"));
        }
    }
    writer.join().unwrap();
    assert!(stored > 0 && refused_ones > 0, "{stored}, {refused_ones}");

    let mut frames = daemon.frames("b");
    frames.ask(Command::join("r"));
    // More than one read takes, with bodies.
    let ids: Vec<u64> = (0..100).map(|_| frames.send(send(1000))).collect();
    let answers: Vec<Reply> = ids.iter().map(|id| frames.try_answer(*id).unwrap().1).collect();
    let granted = answers.iter().filter(|reply| matches!(reply, Reply::Sent { .. })).count();
    let limited =
        answers.iter().filter(|reply| matches!(reply, Reply::Error(Refusal { wait_ms: Some(_), .. }))).count();
    assert!(granted > 0 && limited > 0 && granted + limited == 100, "{answers:?}");
}

#[test]
fn a_half_closing_flooder_gets_all_its_answers() {
    let daemon = Daemon::start_with(&["--max-requests-per-second", "200"]);
    let input = format!("HELLO a\n{}\n", vec!["PING"; 600].join("\n"));
    let mut lines = Lines::connect(daemon.address());
    lines.send_bytes(input.as_bytes());
    lines.done();
    let check = |answers: &str| {
        assert_eq!(answers.lines().count(), 601);
        let rest = || answers.lines().skip(1);
        assert!(
            rest().all(|answer| wait_of(answer, "at most 200 requests a second").is_none_or(|wait| !wait.is_zero()))
        );
        assert!(rest().filter(|answer| *answer == "OK pong").count() >= 200);
    };
    check(&lines.rest());
    if has_tool("nc") {
        let address = daemon.address();
        let mut nc = Process::new("nc");
        nc.arg("-N").args([address.ip().to_string(), address.port().to_string()]);
        let mut nc = nc.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        nc.stdin.take().unwrap().write_all(input.replace("HELLO a", "HELLO b").as_bytes()).unwrap();
        check(&String::from_utf8(nc.wait_with_output().unwrap().stdout).unwrap());
    }
}

#[test]
fn a_stop_answers_what_arrived_and_does_not_wait_for_a_flooder() {
    let mut daemon = Daemon::start_with(&["--max-requests-per-second", "1", "--drain-timeout", "20s"]);
    for half_closed in [false, true] {
        let mut lines = daemon.lines("a");
        lines.send(&vec!["PING"; 5000].join("\n"));
        if half_closed {
            lines.done();
        }
        // It has started, and would take more than a minute for everything.
        let first = lines.line().unwrap();
        assert!(first.starts_with("OK pong") || first.starts_with("ERR limit wait="), "{first}");
        assert!(daemon.terminate().success());
        assert_eq!(lines.rest().lines().count(), 4999);
        assert!(!daemon.log().contains("did not read their answers in time"));
        daemon.start_again();
    }
}

#[test]
fn a_flooder_is_slowed_down_and_others_are_not() {
    let daemon = Daemon::start_with(&["--max-requests-per-second", "50"]);
    let (mut flooder, mut other) = (daemon.lines("flooder"), daemon.frames("other"));
    let start = Instant::now();
    let asked = 400;
    granted(&mut flooder, &pings(asked), "at most 50 requests a second");
    // 64 refusals at a time, followed by a pause of a tenth of a second.
    let pauses = (asked - 50) / 64 - 1;
    assert!(start.elapsed() > Duration::from_millis(90) * pauses as u32 / 2, "{:?}", start.elapsed());
    assert_eq!(other.ask(Command::Ping).1, Reply::Pong);
    // The pause ends.
    common::wait_until("it goes on", || flooder.ask("PING")[0] == "OK pong");
}

#[test]
fn a_quiet_client_is_served_beside_a_flood_without_limits() {
    let daemon = Daemon::start();
    let mut floods: Vec<Frames> = (0..4).map(|_| daemon.frames("flooder")).collect();
    floods[0].ask(Command::join("r"));
    let mut quiet = daemon.lines("quiet");
    quiet.expect("JOIN q", "OK cursor=0 last=0");
    std::thread::scope(|scope| {
        let flooding: Vec<_> = floods
            .iter_mut()
            .map(|frames| {
                scope.spawn(|| {
                    let ids: Vec<u64> = (0..64).map(|_| frames.send(send(LONGEST))).collect();
                    ids.iter().all(|id| matches!(frames.try_answer(*id).unwrap().1, Reply::Sent { .. }))
                })
            })
            .collect();
        for seq in 1..=20 {
            quiet.expect("SEND q anybody", &format!("OK {seq}"));
        }
        assert!(flooding.into_iter().all(|flooder| flooder.join().unwrap()));
    });
}
