//! Replays ten days of a chat channel into ten rooms as their original speakers, and reads them back line by line.
//!
//! `DANTOK_TEST_LOGS` names a directory of real logs; without it, the test generates similar ones.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Daemon, example};
use dantok_protocol::{Command as Request, Item, Reply, commands};

/// Logs with repeated, empty, wide and odd lines, and channel events between them.
fn make_logs(dir: &Path) {
    const WORDS: [&str; 8] = ["hello", "안녕하세요", "sudo apt-get", "\\o/", "  :)", "<b>", "👩‍💻", "\u{feff}is"];
    for day in 0..10 {
        let mut log = String::new();
        for line in 0..1250usize {
            let (hour, minute, nick) = (line / 60 % 24, line % 60, (line * line + day) % 97);
            let words: Vec<&str> =
                (0..line % 9).map(|word| WORDS[(line * (word + day) + word) % WORDS.len()]).collect();
            let words = words.join(" ");
            match line % 15 {
                3 => writeln!(log, "=== nick{nick} [~x@example]  has joined #channel"),
                7 => writeln!(log, "[{hour:02}:{minute:02}]  * nick{nick} waves {words}"),
                _ => writeln!(log, "[{hour:02}:{minute:02}] <|nick{nick}|> {words}"),
            }
            .unwrap();
        }
        std::fs::write(dir.join(format!("day-{day}.log")), log).unwrap();
    }
}

fn replay(daemon: &Daemon, logs: &Path) -> String {
    let output =
        Command::new(example("replay")).arg(logs).arg("--server").arg(daemon.address().to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_replayed_channel_comes_back_line_by_line() {
    let made = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("DANTOK_TEST_LOGS").map(PathBuf::from).unwrap_or_else(|| {
        make_logs(made.path());
        made.path().to_owned()
    });
    let logs = crate::irc::read_dir(&dir).unwrap();
    let lines: usize = logs.iter().map(|log| log.lines.len()).sum();
    assert!(logs.len() == 10 && lines > 11_000, "{} logs with {lines} lines", logs.len());
    let daemon = Daemon::start();
    assert_eq!(replay(&daemon, &dir), format!("{lines} lines in 10 rooms; 0 were already there\n"));
    assert_eq!(replay(&daemon, &dir), format!("{lines} lines in 10 rooms; {lines} were already there\n"));

    let mut reader = daemon.frames("reader");
    for log in logs {
        let room = || log.room.clone();
        let last = log.lines.len() as u64;
        let joined = reader.ask(Request::join(room())).1;
        assert!(
            matches!(joined, Reply::Joined { cursor: Some(0), last: of, created: false, .. } if of == last),
            "{joined:?}"
        );
        let (items, _) = reader.ask(Request::Fetch(commands::Fetch { room: room(), after: None, max: None }));
        assert_eq!(items.len(), log.lines.len());
        for ((seq, line), item) in (1..).zip(&log.lines).zip(items) {
            let Item::Message(message) = item else { panic!("{item:?}") };
            assert_eq!((message.seq, &*message.client, &message.body[..]), (seq, &*line.nick, &line.text[..]));
        }
        assert_eq!(
            reader.ask(Request::Ack(commands::Ack { room: room(), seq: None })).1,
            Reply::Acked { cursor: last }
        );
        let (items, end) = reader.ask(Request::Fetch(commands::Fetch { room: room(), after: None, max: None }));
        assert_eq!(items, []);
        assert_eq!(end, Reply::End { room: room().into(), handed: last, oldest: 1, last });
    }
}
