//! The full-screen chat client in real terminals, against the real daemon.

mod fake;

use crate::common::proxy::Proxy;
use crate::common::terminal::{Person, Said, Terminal};
use crate::common::{Daemon, has_tool, wait_until};
use dantok_protocol::{Command as Request, Item, commands};

/// What people say, where `DANTOK_TEST_LOGS` names no directory of real logs.
const TALK: [&str; 24] = [
    "좋은 아침이에요! 다들 출근하셨어요?",
    "morning :) just got in, trains were a mess",
    "오늘 배포는 세 시에 하는 걸로 할까요?",
    "3pm works for me, but is the migration tested on a copy of the data?",
    "어제 밤에 한 번 돌려 봤어요. 4분 걸렸어요",
    "nice, 4 minutes is fine. sudo apt-get install luck",
    "ㅋㅋㅋㅋ 그건 이미 설치돼 있어요",
    "\\o/",
    "혹시 롤백 계획도 적어 두셨나요?",
    "it's in the wiki: stop the writers, restore the snapshot, start again",
    "확인했습니다 👍",
    "has anybody seen the graph for disk latency? looks odd since 02:00",
    "네, 백업이 그때 돌아요. 평소랑 비슷해요",
    "ok then I'll not worry",
    "점심 뭐 먹을까요? 김치찌개 어때요 🍲",
    "kimchi-jjigae again? that's three times this week :D",
    "그럼 냉면 먹어요!",
    "naengmyeon it is. 12:30 at the lobby?",
    "12시 30분 좋아요. 민지 씨도 오세요?",
    "저는 오늘 도시락 싸 왔어요 ㅠㅠ",
    "then tomorrow. who has the keys for the meeting room?",
    "서준 씨 책상 위에 있어요",
    "thanks! 감사합니다 👩‍💻",
    "배포 시작할게요. here we go",
];

/// Lines that are typed; each is another one, and short enough for a row.
fn talk() -> Vec<String> {
    let Some(dir) = std::env::var_os("DANTOK_TEST_LOGS") else {
        return TALK.iter().map(|line| (*line).to_owned()).collect();
    };
    let mut lines: Vec<String> = Vec::new();
    for line in crate::irc::read_dir(dir.as_ref()).unwrap().into_iter().flat_map(|log| log.lines) {
        let Ok(text) = String::from_utf8(line.text) else { continue };
        let plain = text.len() <= 50 && text.split_whitespace().collect::<Vec<_>>().join(" ") == text;
        let typed = text.chars().all(|c| (' '..='~').contains(&c) || ('가'..='힣').contains(&c));
        // To tmux, a semicolon at the end is its own.
        let other = text.is_empty() || text.starts_with('/') || text.ends_with(';');
        if plain && typed && !other && !lines.contains(&text) {
            lines.push(text);
        }
    }
    assert!(lines.len() >= TALK.len(), "too few lines in the logs");
    lines.truncate(TALK.len());
    lines
}

/// What the daemon has of a room.
fn stored(daemon: &Daemon, room: &str) -> Vec<Said> {
    let mut reader = daemon.frames("reader");
    reader.ask(Request::join(room));
    let (items, _) = reader.ask(Request::Fetch(commands::Fetch { room: room.to_owned(), after: Some(0), max: None }));
    let said = |item| match item {
        Item::Message(message) => (message.client.to_string(), String::from_utf8(message.body.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    };
    items.into_iter().map(said).collect()
}

/// Whether the screen says that messages are waiting.
fn waits(screen: &str) -> bool {
    screen.contains("1 message waiting")
        || screen.contains(" messages waiting ·")
        || screen.contains(" messages waiting\n")
}

fn of(name: &str, lines: &[String]) -> Vec<Said> {
    lines.iter().map(|line| (name.to_owned(), line.clone())).collect()
}

#[test]
fn three_people_talk_in_two_rooms_over_a_bad_network_and_a_kill() {
    if !has_tool("tmux") {
        return;
    }
    let lines = talk();
    let daemon = Daemon::start();
    let direct = daemon.address().to_string();
    let (cable, train) = (Proxy::start(daemon.address()), Proxy::start(daemon.address()));
    let (minji, seojun, carol) = (Person::new("minji"), Person::new("seojun"), Person::new("carol"));
    let a = minji.chat(&direct, "단톡 lobby");
    let b = seojun.chat(&cable.address(), "단톡 lobby");
    let c = carol.chat(&train.address(), "단톡 lobby");
    for terminal in [&a, &b, &c] {
        terminal.wait("all three are here", |screen| screen.contains("3 of 3 here"));
    }
    // A talk in each room, in turn: each waits until it sees what the one before it said.
    let mut typed: Vec<Vec<Said>> = vec![Vec::new(), Vec::new()];
    let mut lines = lines.chunks(4);
    for (at, room) in ["단톡", "lobby"].into_iter().enumerate() {
        for terminal in [&a, &b, &c] {
            terminal.go(room);
        }
        for (line, (person, terminal)) in
            lines.next().unwrap().iter().zip([("minji", &a), ("seojun", &b), ("carol", &c), ("minji", &a)])
        {
            terminal.line(line);
            typed[at].push((person.to_owned(), line.clone()));
            for terminal in [&a, &b, &c] {
                terminal.wait(&format!("{typed:?}"), |_| terminal.said() == typed[at]);
            }
        }
    }
    for terminal in [&a, &b, &c] {
        wait_until("the lobby is read", || terminal.unread("lobby").is_none());
        terminal.go("단톡");
    }

    // Carol's train goes into a tunnel, and somebody trips over Seojun's cable.
    train.cut();
    cable.cut();
    let (tunnel, dark, meanwhile) = (lines.next().unwrap(), &lines.next().unwrap()[..3], lines.next().unwrap());
    for (terminal, lines) in [(&c, tunnel), (&b, dark)] {
        terminal.wait_for("no connection");
        lines.iter().for_each(|line| terminal.line(line));
        terminal.wait_for(&format!("{} messages waiting", lines.len()));
    }
    for line in meanwhile {
        a.line(line);
    }
    a.wait("what Minji said meanwhile", |_| a.said().ends_with(&of("minji", meanwhile)));
    let mut outsider = daemon.lines("outsider");
    outsider.ask("JOIN lobby");
    for n in 0..3 {
        outsider.ask(&format!("SEND lobby 소식 {n}"));
    }

    // Seojun's machine fails as well. Carol comes out of the tunnel; Seojun starts again.
    b.kill();
    train.restore();
    c.wait("nothing of Carol's waits", |screen| !waits(screen));
    let b = seojun.chat(&cable.address(), "단톡 lobby");
    b.wait_for("3 messages waiting");
    cable.restore();
    b.wait("nothing of Seojun's waits", |screen| !waits(screen) && screen.contains("3 of 3 here"));

    let all = [typed[0].clone(), of("minji", meanwhile), of("carol", tunnel), of("seojun", dark)].concat();
    wait_until("all of it is stored", || stored(&daemon, "단톡").len() >= all.len());
    assert_eq!(stored(&daemon, "단톡"), all);
    for (name, terminal) in [("minji", &a), ("seojun", &b), ("carol", &c)] {
        terminal.wait(&format!("what {name} sees is what there is"), |_| terminal.said() == all);
        terminal.wait(&format!("what {name} has not read"), |_| terminal.unread("lobby") == Some(3));
        terminal.wait(&format!("what {name} has read"), |_| terminal.unread("단톡").is_none());
        // The same as the daemon's own counts, once the last ACK is there.
        let mut listed = daemon.lines(name);
        wait_until("the daemon's counts", || {
            let rooms = listed.ask("ROOMS");
            ["ROOM lobby 4 7 3 ", "ROOM 단톡 4 15 0 "]
                .iter()
                .all(|room| rooms.iter().any(|line| line.starts_with(room)))
        });
    }
    a.go("lobby");
    a.wait("the new ones under their line", |screen| {
        screen.contains(" new ─") && a.said().ends_with(&[("outsider".to_owned(), "소식 2".to_owned())])
    });
    a.wait("they are read now", |_| a.unread("lobby").is_none());
    a.quit();
}

#[test]
fn typed_messages_are_stored_exactly_once_whoever_is_killed() {
    if !has_tool("tmux") {
        return;
    }
    let mut daemon = Daemon::start();
    let network = Proxy::start(daemon.address());
    let alice = Person::new("alice");
    let start = || {
        let terminal = alice.chat(&network.address(), "lobby");
        terminal.wait("the room", |screen| screen.contains("│ lobby"));
        terminal
    };
    let mut typed = Vec::new();
    let mut say = |terminal: &Terminal, text: &str| {
        terminal.line(text);
        typed.push(text.to_owned());
        // Not in the input line any more: it is on disk.
        terminal.wait(text, |_| terminal.shows(text));
    };

    // The daemon is away, and then the client is killed.
    let terminal = start();
    terminal.wait_for("1 of 1 here");
    daemon.kill();
    terminal.wait_for("no connection");
    say(&terminal, "서버가 죽었나요?");
    say(&terminal, "is anybody there?");
    terminal.wait_for("2 messages waiting");
    terminal.kill();
    // It can be typed into before there ever was a daemon, too.
    let terminal = start();
    terminal.wait_for("2 messages waiting");
    say(&terminal, "아직도 없네");
    terminal.wait_for("3 messages waiting");
    terminal.kill();
    daemon.start_again();
    let terminal = start();
    terminal.wait("they are stored", |screen| screen.contains("1 of 1 here") && !waits(screen));

    // The message is stored, but the client is killed before it hears of it.
    network.deafen();
    say(&terminal, "들려요? can you hear me");
    wait_until("it is stored", || stored(&daemon, "lobby").len() == 4);
    terminal.wait_for("1 message waiting");
    terminal.kill();
    network.restore();
    let mut terminal = start();
    terminal.wait("it is known to be stored", |screen| screen.contains("here: alice") && !waits(screen));

    // A second one with the same outbox would send the same.
    let second = Terminal::start(&format!("sh -c '{}; cat'", alice.command(&network.address(), "lobby")));
    second.wait_for("another chat is already");

    // At any moment.
    for n in 0..5 {
        say(&terminal, &format!("{n}번째 kill"));
        terminal.kill();
        terminal = start();
    }
    terminal.wait("all is stored", |screen| screen.contains("here: alice") && !waits(screen));
    assert_eq!(stored(&daemon, "lobby"), of("alice", &typed));
    terminal.wait("and shown", |_| terminal.said() == of("alice", &typed));

    // What will never be accepted is reported, and not retried for ever.
    let mut other = daemon.lines("alice");
    terminal.line("/leave");
    terminal.wait_for("not joined");
    wait_until("it is left", || !other.ask("FETCH lobby")[0].starts_with("END"));
    terminal.kill();
    let outbox = std::fs::read_to_string(alice.outbox()).unwrap();
    let line = r#"{"id":"o-left","room":"lobby","text":"너무 늦었다","time_ms":1795221000000}"#;
    std::fs::write(alice.outbox(), format!("{outbox}{line}\n")).unwrap();
    let terminal = alice.chat(&network.address(), "");
    terminal.wait("the refusal", |screen| screen.contains("not sent: not-joined"));
    terminal.kill();
    assert!(std::fs::read_to_string(alice.outbox()).unwrap().ends_with("{\"done\":\"o-left\"}\n"));
}

#[test]
fn a_text_is_on_disk_before_it_is_sent() {
    if !has_tool("tmux") || !has_tool("strace") {
        return;
    }
    let daemon = Daemon::start();
    let alice = Person::new("alice");
    let trace = alice.home().join("trace");
    let calls = "-f -s 400 -e trace=write,writev,fdatasync,sendto,sendmsg";
    let chat = alice.command(&daemon.address().to_string(), "lobby");
    let terminal = Terminal::start(&format!("strace {calls} -o {} {chat}", trace.display()));
    terminal.wait_for("1 of 1 here");
    terminal.line("on disk first");
    wait_until("it is stored", || stored(&daemon, "lobby").len() == 1);
    terminal.wait("it is shown", |_| terminal.said() == of("alice", &["on disk first".to_owned()]));
    terminal.quit();
    let text = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines.iter().position(|line| line.contains(r#",\"id\":"#)).expect("no write to the outbox");
    let id = &lines[kept][lines[kept].find("o-").expect("an id")..][..20];
    let sent = lines.iter().rposition(|line| line.contains(id) && !line.contains(r#"{\""#)).expect("not sent");
    let synced = |line: &&str| line.contains("fdatasync") && line.ends_with("= 0");
    assert!(kept < sent && lines[kept..sent].iter().any(synced), "{}", lines[kept..=sent].join("\n"));
}

#[test]
fn no_escape_reaches_the_terminal() {
    /// A title, a cleared screen in C1, and text from right to left.
    const EVIL: &str = "\u{1b}]0;pwned\u{7}\u{9b}2J\u{202e}x";
    const SHOWN: &str = r"\x1b]0;pwned\x07\xc2\x9b2J\xe2\x80\xaex";
    if !has_tool("tmux") {
        return;
    }
    let alice = Person::new("alice");
    let check = |address: &str, rooms: &str, shown: &dyn Fn(&Terminal)| {
        let raw = alice.home().join("raw");
        let chat = alice.command(address, rooms);
        // What the chat writes, before any terminal has understood it.
        let terminal = Terminal::start(&format!("script -qfec '{chat}' {}", raw.display()));
        shown(&terminal);
        assert!(!terminal.tmux(&["display-message", "-p", "#{pane_title}"]).contains("pwned"));
        terminal.quit();
        let raw = std::fs::read(raw).unwrap();
        assert!(raw.len() > 1000);
        for bad in ["\u{1b}]0;", "\u{7}", "\u{9b}", "\u{202e}"] {
            assert!(!raw.windows(bad.len()).any(|window| window == bad.as_bytes()), "{bad:?} came through");
        }
    };
    if has_tool("script") {
        // What a daemon would never tell: names, nicks and topics with escapes.
        check(&fake::start(EVIL).to_string(), "", &|terminal| {
            // The room in the list and its title, the topic, the message, and who is here.
            terminal.wait("the escaped form", |screen| screen.matches(r"\x1b]0;pwned").count() >= 5);
            terminal.line("/who");
            terminal.wait("who is here", |screen| screen.contains("who is in") && screen.contains(SHOWN));
            terminal.line("/rooms");
            terminal.wait("the rooms", |screen| screen.contains("1 message, "));
        });
        // And what anybody can send.
        let daemon = Daemon::start();
        let mut bob = daemon.lines("bob");
        bob.ask("JOIN lobby");
        bob.send_bytes(format!("SENDB lobby {}\n{EVIL}\n", EVIL.len()).as_bytes());
        assert_eq!(bob.line().as_deref(), Some("OK 1"));
        check(&daemon.address().to_string(), "lobby", &|terminal| {
            terminal.wait("the escaped form", |_| terminal.said() == [("bob".to_owned(), SHOWN.to_owned())]);
        });
    }
}

#[test]
fn every_action_works_by_keyboard_and_the_layout_lines_up() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let mut bob = daemon.lines("bob");
    for line in ["CREATE 저녁🍲모임 어디서 볼까요?", "CREATE random", "JOIN random", "SEND random 여기 아무도 없어요?"]
    {
        assert!(bob.ask(line)[0].starts_with("OK"));
    }
    let alice = Person::new("alice");
    let terminal = alice.chat(&daemon.address().to_string(), "");
    terminal.wait_for("You are in no room");
    terminal.wait_for("not joined");
    // The one that was active last stands first.
    terminal.keys(&["C-n"]);
    terminal.wait_for("You are not a member of this room");
    terminal.keys(&["Enter"]);
    terminal.wait("the talk there", |_| terminal.said() == of("bob", &["여기 아무도 없어요?".to_owned()]));
    terminal.keys(&["C-n"]);
    terminal.wait_for("저녁🍲모임 – 어디서 볼까요?");
    terminal.line("/join");
    terminal.wait_for("1 of 1 here: alice");
    terminal.line("/nick 앨리스 👩‍💻");
    terminal.wait_for("here: 앨리스 👩‍💻 (alice)");
    // Edited by what one sees, not by bytes.
    terminal.keys(&["-l", "두부김치찌개 👩‍💻"]);
    terminal.keys(&["BSpace", "BSpace", "C-Left", "Delete", "Delete", "End", "!", "Enter"]);
    terminal.wait("what was typed", |_| terminal.said() == of("alice", &["김치찌개!".to_owned()]));
    terminal.keys(&["Up", "?", "Enter"]);
    terminal.wait("it again", |_| terminal.said().last() == of("alice", &["김치찌개!?".to_owned()]).last());
    terminal.line("//slash");
    terminal.wait("a slash", |_| terminal.said().last() == of("alice", &["/slash".to_owned()]).last());
    terminal.line("/who");
    terminal.wait_for("alice – 앨리스 👩‍💻; here");
    terminal.line("/rooms");
    terminal.wait_for("random: 2 members, 1 message, 0 unread");
    terminal.line("/help");
    terminal.wait_for("Shift-Tab");
    terminal.keys(&["Enter"]);
    terminal.wait("a picture in which all lines up", |screen| {
        let mut lists = screen.lines().filter_map(|line| line.split_once('│')).map(|(left, _)| left);
        screen.contains("1 저녁🍲모임") && lists.all(|left| unicode_width::UnicodeWidthStr::width(left) == 22)
    });
    // What is pasted is one message, with its lines.
    terminal.tmux(&["set-buffer", "첫째 줄\n둘째 줄\n"]);
    terminal.tmux(&["paste-buffer", "-p"]);
    terminal.keys(&["Enter"]);
    terminal.wait("both lines", |screen| {
        terminal.said().last() == of("alice", &["첫째 줄".to_owned()]).last() && screen.contains("        둘째 줄")
    });
    terminal.keys(&["M-2"]);
    terminal.wait_for("│ random");
    terminal.keys(&["Tab"]);
    terminal.wait_for("│ 저녁🍲모임");
    terminal.line("/leave");
    terminal.wait_for("│ random");
    terminal.wait("it is left", |screen| screen.find("not joined") < screen.find("  저녁🍲모임"));
    let rooms = daemon.lines("alice").ask("ROOMS");
    assert!(rooms[0].starts_with("ROOM 저녁🍲모임 0 4 - "), "{rooms:?}");
    // Too long for the daemon: reported, and not retried.
    let long = "가".repeat(100);
    for _ in 0..250 {
        terminal.tmux(&["send-keys", "-l", &long]);
    }
    terminal.keys(&["Enter"]);
    terminal.wait("why it was not sent", |screen| screen.contains("was not sent: too-long"));
    terminal.keys(&["C-c"]);
    wait_until("its end", || terminal.screen().is_empty());
    let outbox = std::fs::read_to_string(alice.outbox()).unwrap_or_default();
    assert!(outbox.is_empty() || outbox.lines().last().unwrap().starts_with("{\"done\""));
}

#[test]
fn the_terminal_is_restored_on_exit() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let alice = Person::new("alice");
    let pid = alice.home().join("pid");
    let chat = alice.command(&daemon.address().to_string(), "lobby");
    for end in ["TERM", "HUP", "/quit", "C-c"] {
        let script = format!("sh -c \"sh -c 'echo \\$\\$ > {}; exec {chat}'; stty -a; echo END; cat\"", pid.display());
        let terminal = Terminal::start(&script);
        terminal.wait_for("1 of 1 here");
        assert_eq!(terminal.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "1");
        match end {
            "/quit" => terminal.line(end),
            "C-c" => terminal.keys(&[end]),
            signal => {
                let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
                let signal =
                    if signal == "TERM" { rustix::process::Signal::TERM } else { rustix::process::Signal::HUP };
                rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
            }
        }
        terminal.wait("the shell's screen", |screen| screen.contains("END"));
        let state = terminal.tmux(&["display-message", "-p", "#{alternate_on}#{cursor_flag}"]);
        let screen = terminal.screen();
        assert_eq!(state.trim(), "01", "{end}");
        assert!(
            screen.contains(" icanon") && screen.contains(" echo ") && !screen.contains("lobby"),
            "{end}: {screen}"
        );
    }
}

#[test]
fn a_long_history_can_be_scrolled_through() {
    if !has_tool("tmux") {
        return;
    }
    const MESSAGES: usize = 2500;
    let daemon = Daemon::start();
    let mut bob = daemon.lines("bob");
    bob.ask("JOIN lobby");
    let lines: String = (1..=MESSAGES).map(|n| format!("SEND lobby {n}번째 line\n")).collect();
    bob.send_bytes(lines.as_bytes());
    for n in 1..=MESSAGES {
        assert_eq!(bob.line().unwrap(), format!("OK {n}"));
    }
    let alice = Person::new("alice");
    let terminal = alice.chat(&daemon.address().to_string(), "lobby");
    // A new member has not read anything: it begins at the beginning, and nothing is taken for read.
    terminal.wait("the first", |screen| screen.contains(" new ─") && screen.contains(" 1번째 line"));
    terminal.wait("what is unread", |_| terminal.unread("lobby") == Some(MESSAGES as u64));
    // None while a picture is half drawn.
    let numbers = || -> Option<Vec<usize>> {
        let number = |(_, text): &Said| text.strip_suffix("번째 line")?.parse().ok();
        terminal.said().iter().map(number).collect()
    };
    for (key, number) in [("NPage", 700), ("NPage", MESSAGES), ("PPage", 400), ("PPage", 1)] {
        let reached =
            if key == "NPage" { |shown, wanted| shown >= wanted } else { |shown: usize, wanted| shown <= wanted };
        terminal.wait(&format!("line {number}"), |_| {
            terminal.keys(&[key]);
            numbers().is_some_and(|numbers| numbers.iter().any(|shown| reached(*shown, number)))
        });
        // Page by page, without a hole.
        terminal.wait("consecutive lines", |_| {
            numbers().is_some_and(|numbers| numbers.len() > 40 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1))
        });
        if number == MESSAGES {
            terminal.wait("all is read", |_| terminal.unread("lobby").is_none());
        }
    }
    bob.ask("SEND lobby 마지막 line");
    terminal.keys(&["Escape"]);
    terminal.wait("the end", |_| terminal.said().last().is_some_and(|(_, text)| text == "마지막 line"));
}
