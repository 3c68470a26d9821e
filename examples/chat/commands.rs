//! What keys and typed commands do.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::app::{App, Ask, Overlay};

/// What the help shows.
pub const HELP: &[(&str, &str)] = &[
    ("Tab, Shift-Tab", "the next room, the one before"),
    ("Ctrl-N, Ctrl-P", "the same, rooms that you have not joined among them"),
    ("Alt-1 … Alt-9", "a room by its number"),
    ("Enter", "send; on an empty line in a room that you have not joined: join it"),
    ("PageUp, PageDown", "scroll; Shift-Up and Shift-Down by a line"),
    ("Esc", "to the end; closes this"),
    ("Up, Down", "what you typed before"),
    ("Left, Right, Home, End", "move; with Ctrl or Alt by words; also Ctrl-A, Ctrl-E"),
    ("Ctrl-W, Ctrl-U, Ctrl-K", "remove a word, all before, all behind"),
    ("Ctrl-C, Ctrl-D", "on an empty line: quit"),
    ("", ""),
    ("/join ROOM", "become a member; the room is made if it is missing"),
    ("/leave", "end your membership in this room"),
    ("/nick NAME", "what you are shown as in /who"),
    ("/who", "the members of this room"),
    ("/rooms", "all rooms"),
    ("/help", "this"),
    ("/quit", "end; what waits to be sent is kept"),
    ("//text", "sends /text"),
];

/// Takes what the terminal tells.
pub fn event(app: &mut App, event: Event) {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            app.notice = None;
            if app.overlay.is_none() || !overlay_key(app, key) {
                self::key(app, key);
            }
        }
        Event::Paste(text) => {
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            app.input.insert(text.trim_end_matches('\n'));
        }
        _ => {}
    }
}

/// Whether the key was for the overlay.
fn overlay_key(app: &mut App, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::PageUp | KeyCode::PageDown => false,
        KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => false,
        KeyCode::Esc | KeyCode::Enter => {
            app.overlay = None;
            true
        }
        _ => {
            app.overlay = None;
            false
        }
    }
}

fn key(app: &mut App, key: KeyEvent) {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let shift = key.modifiers.contains(KeyModifiers::SHIFT);
    let input = &mut app.input;
    match key.code {
        KeyCode::Char(c) if control => control_key(app, c),
        KeyCode::Char('b') if alt => input.word_left(),
        KeyCode::Char('f') if alt => input.word_right(),
        KeyCode::Char(c @ '1'..='9') if alt => {
            let at = c.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(1);
            let (list, joined) = app.list();
            let name = list.get(at - 1).filter(|_| at <= joined).map(|name| (*name).to_owned());
            if let Some(name) = name {
                app.show(&name);
            }
        }
        KeyCode::Char(c) if !alt => input.insert(c.encode_utf8(&mut [0; 4])),
        KeyCode::Tab => app.step(1, false),
        KeyCode::BackTab => app.step(-1, false),
        KeyCode::Left if control || alt => input.word_left(),
        KeyCode::Right if control || alt => input.word_right(),
        KeyCode::Left => input.left(),
        KeyCode::Right => input.right(),
        KeyCode::Home => input.home(),
        KeyCode::End if control => go_to_end(app),
        KeyCode::End => input.end(),
        KeyCode::Backspace if alt => input.delete_word(),
        KeyCode::Backspace => input.backspace(),
        KeyCode::Delete => input.delete(),
        KeyCode::Up if shift => scroll(app, -1),
        KeyCode::Down if shift => scroll(app, 1),
        KeyCode::Up => input.older(),
        KeyCode::Down => input.newer(),
        KeyCode::PageUp => app.page(true),
        KeyCode::PageDown => app.page(false),
        KeyCode::Esc => go_to_end(app),
        KeyCode::Enter => enter(app),
        _ => {}
    }
}

fn scroll(app: &mut App, by: isize) {
    if let Some(room) = app.room_mut() {
        room.scroll(by);
    }
}

fn go_to_end(app: &mut App) {
    if let Some(room) = app.room_mut() {
        room.go_to_end();
    }
}

fn control_key(app: &mut App, c: char) {
    let input = &mut app.input;
    match c {
        'c' | 'd' if input.text().is_empty() => app.quit = true,
        'c' => input.clear(),
        'd' => input.delete(),
        'a' => input.home(),
        'e' => input.end(),
        'b' => input.left(),
        'f' => input.right(),
        'h' => input.backspace(),
        'w' => input.delete_word(),
        'u' => input.kill_before(),
        'k' => input.kill_after(),
        'n' => app.step(1, true),
        'p' => app.step(-1, true),
        _ => {}
    }
}

fn enter(app: &mut App) {
    let text = app.input.text().to_owned();
    if text.is_empty() {
        if let Some(name) = app.open.clone().filter(|_| app.room().is_some_and(|room| !room.joined)) {
            join(app, name);
        }
        return;
    }
    let said = match text.strip_prefix('/') {
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
            app.asks.push(Ask::Send(name.clone(), said.to_owned()));
            app.input.done();
        }
        // What was typed stays.
        (Some(_), _) => app.notice = Some("you are not a member of this room; /join makes you one".to_owned()),
        (None, _) => app.notice = Some("there is no room to send this to; /join ROOM".to_owned()),
    }
}

fn join(app: &mut App, name: String) {
    app.wanted = Some(name.clone());
    app.asks.push(Ask::Join(name));
    if !app.is_up() {
        app.notice = Some("there is no connection now; you join when there is".to_owned());
    }
}

fn command(app: &mut App, text: &str) {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
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
        ("join", room) => join(app, room.to_owned()),
        ("leave", "") => match app.open.clone() {
            Some(name) => app.asks.push(Ask::Leave(name)),
            None => app.notice = Some("there is no room to leave".to_owned()),
        },
        ("leave", room) => app.asks.push(Ask::Leave(room.to_owned())),
        ("nick", "") => app.notice = Some("which name? /nick NAME".to_owned()),
        ("nick", nick) => app.asks.push(Ask::Nick(nick.to_owned())),
        _ => app.notice = Some(format!("there is no /{verb}; /help lists what there is, and //{text} sends it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn app() -> App {
        let mut app = App::new("me", "s", TimeZone::UTC, &["lobby".to_owned(), "단톡".to_owned()], &[]);
        app.asks.clear();
        app
    }

    fn type_line(app: &mut App, text: &str) -> Vec<Ask> {
        event(app, Event::Paste(text.to_owned()));
        press(app, KeyCode::Enter, KeyModifiers::NONE);
        std::mem::take(&mut app.asks)
    }

    fn press(app: &mut App, code: KeyCode, modifiers: KeyModifiers) {
        event(app, Event::Key(KeyEvent::new(code, modifiers)));
    }

    #[test]
    fn a_line_is_a_message_or_a_command() {
        let mut app = app();
        let send = |text: &str| vec![Ask::Send("lobby".into(), text.into())];
        assert_eq!(type_line(&mut app, "안녕"), send("안녕"));
        assert_eq!(type_line(&mut app, "//help me"), send("/help me"));
        assert_eq!(type_line(&mut app, "/join #a"), [Ask::Join("#a".into())]);
        assert_eq!(type_line(&mut app, "/leave"), [Ask::Leave("lobby".into())]);
        assert_eq!(type_line(&mut app, "/nick 앨리스 in Wonderland"), [Ask::Nick("앨리스 in Wonderland".into())]);
        assert_eq!(type_line(&mut app, "/dance"), []);
        assert!(app.notice.as_ref().unwrap().contains("/dance") && !app.quit);
        type_line(&mut app, "/quit");
        assert!(app.quit);
    }

    #[test]
    fn rooms_are_reached_by_key_and_an_empty_line_quits() {
        let mut app = app();
        press(&mut app, KeyCode::Tab, KeyModifiers::NONE);
        assert_eq!(app.open.as_deref(), Some("단톡"));
        press(&mut app, KeyCode::Char('1'), KeyModifiers::ALT);
        assert_eq!(app.open.as_deref(), Some("lobby"));
        press(&mut app, KeyCode::Char('p'), KeyModifiers::CONTROL);
        assert_eq!(app.open.as_deref(), Some("단톡"));
        app.room_mut().unwrap().joined = false;
        assert_eq!(type_line(&mut app, ""), [Ask::Join("단톡".into())]);
        assert_eq!(type_line(&mut app, "x"), []);
        assert_eq!(app.input.text(), "x");
        press(&mut app, KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(!app.quit && app.input.text().is_empty());
        press(&mut app, KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(app.quit);
    }
}
