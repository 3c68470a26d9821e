//! Key bindings.

use std::time::Instant;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::app::App;
use crate::commands::enter;
use crate::room::Room;

/// Handles an event from the terminal.
pub fn event(app: &mut App, event: Event) {
    let before = app.input.text().to_owned();
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
    if app.input.text() != before {
        app.types(Instant::now());
    }
}

/// Closes the overlay, except for keys that scroll it or quit. Returns whether that was all the key did.
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
        KeyCode::Up if alt => select(app, true),
        KeyCode::Down if alt => select(app, false),
        KeyCode::Up => input.older(),
        KeyCode::Down => input.newer(),
        KeyCode::PageUp => app.page(true),
        KeyCode::PageDown => app.page(false),
        KeyCode::Esc => escape(app),
        KeyCode::Enter => enter(app),
        _ => {}
    }
}

fn scroll(app: &mut App, by: isize) {
    if let Some(room) = app.room_mut() {
        room.scroll(by);
    }
}

fn select(app: &mut App, up: bool) {
    if let Some(room) = app.room_mut() {
        room.select(up);
    }
}

/// Clears the selection, or else jumps to the end.
fn escape(app: &mut App) {
    if !app.room_mut().is_some_and(Room::unselect) {
        go_to_end(app);
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

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::ask::Ask;
    use dantok_client::News;
    use dantok_protocol::{Item, RoomInfo};
    use jiff::tz::TimeZone;

    pub fn app() -> App {
        let mut app = App::new("me", "s", TimeZone::UTC, &["lobby".to_owned(), "단톡".to_owned()], &[]);
        app.asks.clear();
        app
    }

    pub fn type_line(app: &mut App, text: &str) -> Vec<Ask> {
        event(app, Event::Paste(text.to_owned()));
        press(app, KeyCode::Enter, KeyModifiers::NONE);
        std::mem::take(&mut app.asks)
    }

    pub fn press(app: &mut App, code: KeyCode, modifiers: KeyModifiers) {
        event(app, Event::Key(KeyEvent::new(code, modifiers)));
    }

    #[test]
    fn keys_switch_rooms_and_quit_on_an_empty_line() {
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

    #[test]
    fn typing_is_announced_but_not_too_often() {
        let info = RoomInfo {
            room: "lobby".into(),
            members: 2,
            last: 0,
            unread: Some(0),
            active_ms: 0,
            topic: "".into(),
            private: false,
            cursor: Some(0),
        };
        let mut app = app();
        app.news(News::Item(Item::Room(info)));
        let typing = |app: &mut App, c| {
            press(app, KeyCode::Char(c), KeyModifiers::NONE);
            std::mem::take(&mut app.asks)
        };
        assert_eq!(typing(&mut app, 'a'), []);
        app.link = crate::app::Link::Up;
        assert_eq!(typing(&mut app, 'b'), [Ask::Typing("lobby".into())]);
        assert_eq!(typing(&mut app, 'c'), []);
        app.types(Instant::now() + std::time::Duration::from_secs(3));
        assert_eq!(app.asks, [Ask::Typing("lobby".into())]);
        app.asks.clear();
        app.input.clear();
        app.input.insert("/who");
        app.types(Instant::now() + std::time::Duration::from_secs(30));
        assert_eq!(app.asks, []);
    }
}
