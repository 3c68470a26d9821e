//! The full-screen chat client while other people are connected, in real terminals, against the real daemon.

use crate::common::terminal::{Person, Said, Terminal};
use crate::common::{Daemon, has_tool, wait_until};

/// Two people who see each other in a room, where the first has come first.
fn two(daemon: &Daemon, people: [&Person; 2]) -> [Terminal; 2] {
    let address = daemon.address().to_string();
    let [first, second] = people.map(|person| person.command(&address, "단톡"));
    let first = Terminal::start(&first);
    first.wait_for("1 of 1 here");
    let terminals = [first, Terminal::start(&second)];
    for terminal in &terminals {
        terminal.wait("both are here", |screen| screen.contains("2 of 2 here"));
    }
    terminals
}

fn said(lines: &[(&str, &str)]) -> Vec<Said> {
    lines.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Waits until both have the same talk.
fn wait_said(terminals: [&Terminal; 2], lines: &[(&str, &str)]) {
    for terminal in terminals {
        terminal.wait(&format!("{lines:?}"), |_| terminal.said() == said(lines));
    }
}

#[test]
fn joins_departures_and_typing_are_shown() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let (minji, seojun) = (Person::new("minji"), Person::new("seojun"));
    let [a, b] = two(&daemon, [&minji, &seojun]);
    // Who was there first sees that the other has joined.
    a.wait_for("seojun joined");
    let mut carol = daemon.lines("carol");
    carol.ask("JOIN 단톡");
    for terminal in [&a, &b] {
        terminal.wait("Carol", |screen| screen.contains("carol joined") && screen.contains("3 of 3 here"));
    }
    carol.ask("NICK 캐롤");
    a.wait("her nick", |screen| screen.contains("carol is now shown as 캐롤") && screen.contains("캐롤 (carol)"));
    carol.ask("LEAVE 단톡");
    for terminal in [&a, &b] {
        terminal.wait("that she left", |screen| {
            screen.contains("캐롤 (carol) left") && screen.contains("2 of 2 here: minji, seojun")
        });
    }

    // A command is nobody's business; a line is, until it is sent.
    a.keys(&["-l", "/nick 민지"]);
    a.wait_for("> /nick 민지");
    a.keys(&["Enter"]);
    b.wait_for("minji is now shown as 민지");
    assert!(!b.screen().contains("is typing"), "{}", b.screen());
    a.keys(&["-l", "점심 뭐"]);
    b.wait_for("민지 is typing…");
    assert!(!a.screen().contains("is typing"), "{}", a.screen());
    a.keys(&["-l", " 먹을까요?"]);
    a.keys(&["Enter"]);
    b.wait("the message, and no typing", |screen| {
        b.said() == said(&[("minji", "점심 뭐 먹을까요?")]) && !screen.contains("is typing")
    });
    // And it ends on its own.
    let mut lines = daemon.lines("minji");
    // What she has typed on her screen may have been told less than a second ago.
    wait_until("she is typing again", || {
        lines.ask("TYPING 단톡");
        b.screen().contains("민지 is typing…")
    });
    b.wait("that it ends", |screen| !screen.contains("is typing"));

    // Being away adds no note, and the status says who has read what.
    a.wait_for("✓ read by 1 of 1");
    a.line("/who");
    a.wait("how far each has read", |screen| {
        let row = |name: &str| screen.lines().find(|line| line.contains(&format!(" {name} – "))).map(str::to_owned);
        let reads =
            |name: &str| row(name).is_some_and(|row| row.contains("; here since ") && row.contains("; all read"));
        reads("minji") && reads("seojun")
    });
    a.keys(&["Escape"]);
    b.keys(&["C-d"]);
    a.wait("that Seojun is away", |screen| {
        screen.contains("1 of 2 here: 민지 (minji)") && !screen.contains("seojun left")
    });
    a.line("아무도 없네요");
    a.wait_for("✓ read by 0 of 1");
    a.line("/who");
    a.wait("how far seojun has read", |screen| {
        screen.lines().any(|line| line.contains(" seojun – seojun; away since ") && line.contains("; 1 behind"))
    });
}

#[test]
fn a_reply_shows_its_quote_and_a_redaction_applies_everywhere() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let (minji, seojun) = (Person::new("minji"), Person::new("seojun"));
    let [a, b] = two(&daemon, [&minji, &seojun]);
    a.line("배포는 세 시에 할까요?");
    b.wait_for("세 시에");
    a.line("비밀번호는 1234예요");
    wait_said([&a, &b], &[("minji", "배포는 세 시에 할까요?"), ("minji", "비밀번호는 1234예요")]);
    // To the last of the other; to one by its seq; to one that is selected.
    b.line("/reply 그건 여기 쓰면 안 돼요!");
    a.wait("the answer", |screen| screen.contains("↪ minji: 비밀번호는 1234예요") && screen.contains("안 돼요!"));
    b.line("/reply 1 세 시 좋아요");
    a.wait("the other", |screen| screen.contains("↪ minji: 배포는 세 시에 할까요?") && screen.contains("세 시 좋아요"));
    a.keys(&["M-Up", "M-Up"]);
    a.wait_for("message 3 is selected");
    a.keys(&["M-Down", "M-Up", "M-Up"]);
    a.wait_for("message 2 is selected");
    a.line("/redact");
    let lines = [
        ("minji", "배포는 세 시에 할까요?"),
        ("minji", "(redacted)"),
        ("seojun", "그건 여기 쓰면 안 돼요!"),
        ("seojun", "세 시 좋아요"),
    ];
    wait_said([&a, &b], &lines);
    for terminal in [&a, &b] {
        terminal.wait("nothing of the text, nor in the quote", |screen| {
            !screen.contains("1234")
                && screen.contains("↪ minji: (redacted)")
                && screen.contains("minji redacted message 2")
                && !screen.contains("is selected")
        });
    }
    // What is not one's own stays.
    b.line("/redact 1");
    b.wait_for("only the sender of a message, or an admin, may redact it");
    // The last of one's own; a new screen has it from the daemon.
    b.line("/redact");
    a.wait_for("seojun redacted message 4");
    b.quit();
    let b = seojun.chat(&daemon.address().to_string(), "단톡");
    let lines = [&lines[..3], &[("seojun", "(redacted)")]].concat();
    wait_said([&a, &b], &lines);
}

#[test]
fn a_reply_typed_while_the_daemon_is_down_is_sent_as_a_reply() {
    if !has_tool("tmux") {
        return;
    }
    let mut daemon = Daemon::start();
    let (minji, seojun) = (Person::new("minji"), Person::new("seojun"));
    let [a, b] = two(&daemon, [&minji, &seojun]);
    a.line("들려요?");
    b.wait("the question", |_| b.said() == said(&[("minji", "들려요?")]));
    daemon.kill();
    b.wait_for("no connection");
    b.line("/reply 네, 잘 들려요");
    b.wait("that it waits", |screen| screen.contains("1 message waiting") && screen.contains("↪ minji: 들려요?"));
    b.kill();
    daemon.start_again();
    let b = seojun.chat(&daemon.address().to_string(), "단톡");
    wait_said([&a, &b], &[("minji", "들려요?"), ("seojun", "네, 잘 들려요")]);
    for terminal in [&a, &b] {
        terminal.wait("the quote, once", |screen| screen.matches("↪ minji: 들려요?").count() == 1);
    }
}

#[test]
fn a_private_room_is_shown_to_invited_people() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let (minji, seojun) = (Person::new("minji"), Person::new("seojun"));
    let [a, b] = two(&daemon, [&minji, &seojun]);
    a.line("/create --private 깜짝파티 서준 씨 생일");
    a.wait("the room", |screen| {
        screen.contains("깜짝파티 (private) – 서준 씨 생일")
            && screen.contains("*깜짝파티")
            && screen.contains("1 of 1 here")
    });
    // A message is a reason for everybody's list to be told what there is.
    a.line("쉿");
    a.go("단톡");
    a.line("아무 일도 없어요");
    b.wait("a message", |_| b.said() == said(&[("minji", "아무 일도 없어요")]));
    assert!(!b.screen().contains("깜짝파티"), "{}", b.screen());
    a.line("/join 깜짝파티");
    a.wait_for("깜짝파티 (private)");
    a.line("/invite seojun");
    a.wait_for("seojun was invited to 깜짝파티");
    b.wait_for("*깜짝파티");
    b.line("/join 깜짝파티");
    b.wait("what was said in it", |_| b.said() == said(&[("minji", "쉿")]));
    a.line("/topic 이제 다 알아요");
    b.wait_for("깜짝파티 (private) – 이제 다 알아요");
    b.line("/kick minji");
    b.wait_for("only the room's owner or an admin may do this");
    a.line("/kick seojun");
    b.wait("that seojun is out", |screen| {
        screen.contains("you are no longer a member of 깜짝파티") && !screen.contains("*깜짝파티")
    });
    a.wait("that seojun left", |screen| screen.contains("seojun left") && screen.contains("1 of 1 here"));
    b.wait("the one room that is left", |screen| screen.contains("│ 단톡"));
    b.line("여기는 되네요");
    b.wait("that seojun can write there", |_| b.said().last() == said(&[("seojun", "여기는 되네요")]).last());
    // Out of an open room: it stays in the list.
    a.go("단톡");
    b.line("/leave");
    b.wait_for("not joined");
    let mut admin = daemon.lines("seojun");
    admin.ask("JOIN 단톡");
    b.wait("that seojun is in again", |screen| !screen.contains("not joined"));
    admin.ask("LEAVE 단톡");
    b.wait_for("not joined");
}

#[test]
fn messages_read_in_one_terminal_are_read_in_the_other() {
    if !has_tool("tmux") {
        return;
    }
    let daemon = Daemon::start();
    let address = daemon.address().to_string();
    // The same client in two places; each has an outbox of its own.
    let (desk, sofa) = (Person::new("minji"), Person::new("minji"));
    let (a, b) = (desk.chat(&address, "lobby 단톡"), sofa.chat(&address, "lobby 단톡"));
    for terminal in [&a, &b] {
        terminal.wait("the rooms", |screen| screen.contains("1 of 1 here") && screen.contains("단톡"));
    }
    let mut seojun = daemon.lines("seojun");
    seojun.ask("JOIN 단톡");
    for n in 1..=3 {
        seojun.ask(&format!("SEND 단톡 소식 {n}"));
    }
    for terminal in [&a, &b] {
        terminal.wait("what is unread", |_| terminal.unread("단톡") == Some(3));
    }
    a.go("단톡");
    a.wait("it is read", |_| a.unread("단톡").is_none());
    b.wait("it is read there as well", |_| b.unread("단톡").is_none());
    // The daemon says it: not a script's ACK, nor a SEEK, is missed.
    a.go("lobby");
    seojun.ask("SEND 단톡 소식 4");
    b.wait("a new one", |_| b.unread("단톡") == Some(1));
    let mut script = daemon.lines("minji");
    script.expect("ACK 단톡 4", "OK 4");
    b.wait("it is read", |_| b.unread("단톡").is_none() && a.unread("단톡").is_none());
    script.expect("SEEK 단톡 1", "OK 1");
    for terminal in [&a, &b] {
        terminal.wait("it is unread again", |_| terminal.unread("단톡") == Some(3));
    }
}
