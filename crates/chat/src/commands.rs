//! The lines that people enter: messages, and commands that begin with a slash.

use crate::app::{App, Overlay};
use crate::ask::{Ask, Change};
use crate::typed;

/// The lines of the help overlay: keys and commands, and what they do.
pub const HELP: &[(&str, &str)] = &[
    ("Tab, Shift-Tab", "next room, previous room"),
    ("Ctrl-N, Ctrl-P", "the same, including rooms that you have not joined"),
    ("Alt-1 … Alt-9", "go to a room by its number"),
    ("Enter", "send; with an empty line, join the open room if you have not joined it"),
    ("PageUp, PageDown", "scroll by a page; Shift-Up, Shift-Down: by a line"),
    ("Alt-Up, Alt-Down", "select a message for /reply or /redact"),
    ("Esc", "clear the selection; jump to the end; close this help"),
    ("Up, Down", "earlier lines that you typed"),
    ("Left, Right, Home, End", "move the cursor; with Ctrl or Alt: by words; also Ctrl-A, Ctrl-E"),
    ("Ctrl-W, Ctrl-U, Ctrl-K", "delete a word, to the start of the line, to its end"),
    ("Ctrl-C, Ctrl-D", "quit, if the line is empty"),
    ("", ""),
    ("/reply [SEQ] TEXT", "reply to the selected message, or to the last one that is not yours"),
    ("/redact [SEQ]", "take back the text of the selected message, or of your own last one"),
    ("/join ROOM", "become a member; creates the room if it does not exist"),
    (
        "/create [--private] ROOM [TOPIC]",
        "create a room; only people you invite see a private one, marked * in the list",
    ),
    ("/topic [TEXT|--clear]", "show this room's topic; set it; clear it"),
    ("/invite NAME", "let a person see and join this private room"),
    ("/kick NAME", "remove a person from this room"),
    ("/ban NAME, /unban NAME", "remove a person and keep them out; let them join again"),
    ("/leave", "stop being a member of this room"),
    ("/delete ROOM", "delete this room, if it is yours, and everything in it, for everybody; type its name to confirm"),
    ("/nick NAME", "set the name that others see"),
    ("/who", "this room's members, since when they have been here, and how far they have read"),
    ("/rooms", "list all rooms"),
    ("/help", "show this help"),
    ("/quit", "quit; unsent messages are kept"),
    ("//text", "send /text as a message"),
];

/// Sends the line, or carries it out as a command.
pub fn enter(app: &mut App) {
    let text = app.input.text().to_owned();
    if text.is_empty() {
        if let Some(name) = app.open.clone().filter(|_| app.room().is_some_and(|room| !room.joined)) {
            join(app, name);
        }
        return;
    }
    let message = match text.strip_prefix('/') {
        Some(rest) if !rest.starts_with('/') => {
            command(app, rest);
            app.input.done();
            return;
        }
        Some(rest) => rest,
        None => &text,
    };
    match (&app.open, app.room()) {
        (Some(name), Some(room)) if room.joined => {
            app.asks.push(Ask::Send(name.clone(), message.to_owned(), None));
            app.input.done();
        }
        // The line stays as typed.
        (Some(_), _) => app.notice = Some("you are not a member of this room; /join to become one".to_owned()),
        (None, _) => app.notice = Some("no room is open to send this to; /join ROOM".to_owned()),
    }
}

fn join(app: &mut App, name: String) {
    let name = app.kept(name);
    app.wanted = Some(name.clone());
    app.asks.push(Ask::Join(name));
    if !app.is_up() {
        app.notice = Some("no connection now; you will join once it is back".to_owned());
    }
}

/// Splits a leading number from the rest.
fn seq_first(text: &str) -> (Option<u64>, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    first.parse().map_or((None, text), |seq| (Some(seq), rest.trim_start()))
}

/// The name of the open room, if the client is a member of it; otherwise says what is missing.
fn member(app: &mut App) -> Option<String> {
    let name = app.open.clone().filter(|_| app.room().is_some_and(|room| room.joined));
    if name.is_none() {
        app.notice = Some("you can do this only in a room that you are a member of; /join to become one".to_owned());
    }
    name
}

fn reply(app: &mut App, text: &str) {
    let Some(name) = member(app) else { return };
    let (seq, text) = seq_first(text);
    if text.is_empty() {
        app.notice = Some("what is your reply? /reply [SEQ] TEXT".to_owned());
        return;
    }
    let own = app.own.clone();
    let Some(room) = app.room_mut() else { return };
    let last = || room.last_said(&own, false).map(|message| message.seq);
    match seq.or(room.selected).or_else(last) {
        Some(seq) if (1..=room.last).contains(&seq) => {
            room.unselect();
            app.asks.push(Ask::Send(name, text.to_owned(), Some(seq)));
        }
        Some(seq) => app.notice = Some(format!("this room has no message {seq} to reply to")),
        None => app.notice = Some("nobody else has written here yet, so there is nothing to reply to".to_owned()),
    }
}

fn redact(app: &mut App, text: &str) {
    let Some(name) = member(app) else { return };
    let own = app.own.clone();
    let Some(room) = app.room_mut() else { return };
    let seq = match text.parse() {
        Ok(seq) => Some(seq),
        Err(_) if !text.is_empty() => {
            app.notice = Some("which message? /redact SEQ, or select one with Alt-Up".to_owned());
            return;
        }
        Err(_) => room.selected,
    };
    // "Your last message" is the one typed last; it must not mean an earlier one just because the last is not stored yet.
    if seq.is_none() && !room.pending.is_empty() {
        app.notice = Some("your last message is not stored yet; /redact SEQ redacts another".to_owned());
        return;
    }
    match seq.or_else(|| room.last_said(&own, true).map(|message| message.seq)) {
        Some(seq) => {
            room.unselect();
            change(app, Change::Redact(name, seq));
        }
        None => app.notice = Some("you have no message here to redact; /redact SEQ".to_owned()),
    }
}

fn create(app: &mut App, text: &str) {
    match typed::create(text) {
        Ok((room, topic, private)) => {
            let room = app.kept(room);
            change(app, Change::Create { room, topic, private });
        }
        Err(notice) => app.notice = Some(notice),
    }
}

fn topic(app: &mut App, text: &str) {
    match typed::topic(text) {
        Ok(None) => {
            let topic = app.room().and_then(|room| room.info.as_ref()).map(|info| crate::draw::name(&info.topic));
            let none = "this room has no topic; /topic TEXT sets one".to_owned();
            app.notice = Some(topic.filter(|topic| !topic.is_empty()).unwrap_or(none));
        }
        Ok(Some(topic)) => match app.open.clone() {
            Some(name) => change(app, Change::Topic(name, topic)),
            None => app.notice = Some("no room is open for this; /join ROOM".to_owned()),
        },
        Err(notice) => app.notice = Some(notice),
    }
}

fn change(app: &mut App, change: Change) {
    if !app.is_up() {
        app.notice = Some("no connection now; this will be done once it is back".to_owned());
    }
    app.asks.push(Ask::Change(change));
}

/// A change in the open room that concerns a person.
fn change_here(app: &mut App, verb: &str, of: &str, make: impl FnOnce(String, String) -> Change) {
    match (app.open.clone(), typed::name(of, &format!("/{verb} NAME"))) {
        (Some(name), Ok(who)) => change(app, make(name, who)),
        (Some(_), Err(notice)) => app.notice = Some(notice),
        (None, _) => app.notice = Some("no room is open for this; /join ROOM".to_owned()),
    }
}

/// A command that takes the name of a room.
fn with_room(app: &mut App, verb: &str, of: &str, act: impl FnOnce(&mut App, String)) {
    match typed::name(of, &format!("/{verb} ROOM")) {
        Ok(room) => {
            let room = app.kept(room);
            act(app, room);
        }
        Err(notice) => app.notice = Some(notice),
    }
}

fn leave(app: &mut App, name: String) {
    if let Some(room) = app.rooms.get_mut(&name) {
        room.leaving = true;
    }
    app.asks.push(Ask::Leave(name));
}

/// Deletes the open room, but only if its name was typed, so that a slip deletes nothing.
fn delete(app: &mut App, name: &str) {
    match app.open.clone() {
        Some(open) if open == name => change(app, Change::Delete(open)),
        Some(open) => {
            app.notice = Some(format!(
                "this would delete {open} and everything in it, for everybody; to confirm, type /delete {open}"
            ));
        }
        None => app.notice = Some("no room is open to delete".to_owned()),
    }
}

fn command(app: &mut App, text: &str) {
    let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match (verb, rest) {
        ("help", "") => app.overlay = Some((Overlay::Help, 0)),
        ("rooms", "") => app.overlay = Some((Overlay::Rooms, 0)),
        ("who", "") => {
            app.overlay = Some((Overlay::Who, 0));
            if let Some(name) = app.open.clone() {
                app.asks.push(Ask::Who(name));
            }
        }
        ("quit", "") => app.quit = true,
        ("join", "") => match app.open.clone() {
            Some(name) => join(app, name),
            None => app.notice = Some("which room? /join ROOM".to_owned()),
        },
        ("join", room) => with_room(app, verb, room, join),
        ("leave", "") => match app.open.clone() {
            Some(name) => leave(app, name),
            None => app.notice = Some("no room is open to leave".to_owned()),
        },
        ("leave", room) => with_room(app, verb, room, leave),
        ("delete", name) => delete(app, name),
        ("nick", "") => app.notice = Some("which name? /nick NAME".to_owned()),
        ("nick", nick) => match typed::nick(nick) {
            Ok(nick) => app.asks.push(Ask::Nick(nick)),
            Err(notice) => app.notice = Some(notice),
        },
        ("reply", text) => reply(app, text),
        ("redact", seq) => redact(app, seq),
        ("create", text) => create(app, text),
        ("topic", text) => topic(app, text),
        ("invite", who) => change_here(app, verb, who, Change::Invite),
        ("kick", who) => change_here(app, verb, who, Change::Kick),
        ("ban", who) => change_here(app, verb, who, Change::Ban),
        ("unban", who) => change_here(app, verb, who, Change::Unban),
        _ => {
            app.notice = Some(format!(
                "there is no command /{verb}; /help lists all commands, and //{text} sends this as a message"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Told;
    use crate::keys::tests::{app, press, type_line};
    use crate::timeline::Timeline;
    use crossterm::event::{KeyCode, KeyModifiers};
    use dantok_client::News;
    use dantok_client::outbox::Waiting;
    use dantok_protocol::{Item, Kind, Message};

    #[test]
    fn a_line_is_a_message_or_a_command() {
        let mut app = app();
        let send = |text: &str| vec![Ask::Send("lobby".into(), text.into(), None)];
        assert_eq!(type_line(&mut app, "안녕"), send("안녕"));
        assert_eq!(type_line(&mut app, "//help me"), send("/help me"));
        assert_eq!(type_line(&mut app, "/join #a"), [Ask::Join("#a".into())]);
        assert_eq!(type_line(&mut app, "/leave"), [Ask::Leave("lobby".into())]);
        for slip in ["/delete", "/delete lobb", "/delete 단톡"] {
            assert_eq!(type_line(&mut app, slip), []);
            assert!(app.notice.as_deref().is_some_and(|notice| notice.contains("to confirm, type /delete lobby")));
        }
        assert_eq!(type_line(&mut app, "/delete lobby"), [Ask::Change(Change::Delete("lobby".into()))]);
        assert_eq!(type_line(&mut app, "/nick 앨리스 in Wonderland"), [Ask::Nick("앨리스 in Wonderland".into())]);
        assert_eq!(type_line(&mut app, "/dance"), []);
        assert!(app.notice.as_ref().unwrap().contains("/dance") && !app.quit);
        type_line(&mut app, "/quit");
        assert!(app.quit);
    }

    fn said(app: &mut App, seq: u64, client: &str) {
        let (room, body) = ("lobby".into(), "text".into());
        let message = Message { room, seq, time_ms: 0, client: client.into(), body, kind: Kind::Plain };
        app.news(News::Item(Item::Message(message)));
    }

    #[test]
    fn replies_and_redactions_apply_to_the_selected_message_or_the_last() {
        let mut app = app();
        app.room_mut().unwrap().timeline = Some(Timeline::default());
        assert_eq!(type_line(&mut app, "/reply x"), []);
        for (seq, client) in (1..).zip(["you", "me", "you", "me"]) {
            said(&mut app, seq, client);
        }
        let answer = |seq, text: &str| vec![Ask::Send("lobby".into(), text.into(), Some(seq))];
        assert_eq!(type_line(&mut app, "/reply 그래요"), answer(3, "그래요"));
        assert_eq!(type_line(&mut app, "/reply 2 no"), answer(2, "no"));
        assert_eq!(type_line(&mut app, "/reply 5 no"), []);
        assert_eq!(type_line(&mut app, "/reply"), []);
        let redact = |seq| vec![Ask::Change(Change::Redact("lobby".into(), seq))];
        assert_eq!(type_line(&mut app, "/redact"), redact(4));
        assert_eq!(type_line(&mut app, "/redact 2"), redact(2));
        assert_eq!(type_line(&mut app, "/redact all"), []);
        for _ in 0..3 {
            press(&mut app, KeyCode::Up, KeyModifiers::ALT);
        }
        press(&mut app, KeyCode::Down, KeyModifiers::ALT);
        assert_eq!(type_line(&mut app, "/reply it"), answer(3, "it"));
        assert_eq!(app.room().unwrap().selected, None);
        press(&mut app, KeyCode::Up, KeyModifiers::ALT);
        assert_eq!(type_line(&mut app, "/redact"), redact(4));
        press(&mut app, KeyCode::Up, KeyModifiers::ALT);
        press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(app.room().unwrap().selected, None);
        app.wait(Waiting {
            id: "a".into(),
            room: "lobby".into(),
            text: "x".into(),
            time_ms: 0,
            reply: None,
            epoch: None,
        });
        assert_eq!(type_line(&mut app, "/redact"), []);
    }

    #[test]
    fn rooms_are_managed_by_command() {
        let mut app = app();
        let create = |room: &str, topic: &str, private| {
            vec![Ask::Change(Change::Create { room: room.into(), topic: topic.into(), private })]
        };
        assert_eq!(type_line(&mut app, "/create plans"), create("plans", "", false));
        assert_eq!(
            type_line(&mut app, "/create --private plans 점심 and so on"),
            create("plans", "점심 and so on", true)
        );
        for private in ["/create plans --private", "/create plans talk --private", "/create plans --private talk"] {
            let topic = if private.contains("talk") { "talk" } else { "" };
            assert_eq!(type_line(&mut app, private), create("plans", topic, true), "{private}");
        }
        assert_eq!(type_line(&mut app, "/create plans -- --private"), create("plans", "--private", false));
        for wrong in ["/create --private", "/create plans --privat", "/create --x plans", "/join --x", "/join a b"] {
            app.notice = None;
            assert_eq!(type_line(&mut app, wrong), [], "{wrong}");
            assert!(app.notice.is_some(), "{wrong}");
        }
        for wrong in
            ["/nick --x", "/topic --x", "/kick --x", "/leave a b", "/topic a --clear", "/create plans —private"]
        {
            app.notice = None;
            assert_eq!(type_line(&mut app, wrong), [], "{wrong}");
            assert!(app.notice.is_some(), "{wrong}");
        }
        assert_eq!(type_line(&mut app, "/topic"), []);
        assert!(app.notice.as_ref().unwrap().contains("no topic"));
        assert_eq!(
            type_line(&mut app, "/topic --clear"),
            vec![Ask::Change(Change::Topic("lobby".into(), String::new()))]
        );
        let here =
            |change: fn(String, String) -> Change, of: &str| vec![Ask::Change(change("lobby".into(), of.into()))];
        assert_eq!(type_line(&mut app, "/topic 무엇이든"), here(Change::Topic, "무엇이든"));
        assert_eq!(type_line(&mut app, "/invite bob"), here(Change::Invite, "bob"));
        assert_eq!(type_line(&mut app, "/kick bob"), here(Change::Kick, "bob"));
        assert_eq!(type_line(&mut app, "/ban bob"), here(Change::Ban, "bob"));
        assert_eq!(type_line(&mut app, "/unban bob"), here(Change::Unban, "bob"));
        assert_eq!(type_line(&mut app, "/kick"), []);
        let plans = Change::Create { room: "plans".into(), topic: String::new(), private: true };
        app.told(Told::Change(plans, Ok(())));
        assert_eq!(app.asks, [Ask::Join("plans".into())]);
    }
}
