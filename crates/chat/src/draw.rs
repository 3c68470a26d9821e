//! Draws the screen: rooms on the left, messages on the right, status and input line below.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Link};
use crate::overlay::overlay;
use crate::room::Room;
use crate::rows::Row;
use crate::text::{cut, shown, width};

/// Width of the list of rooms.
const LIST_CELLS: u16 = 24;
/// On narrower screens there is no list.
const LIST_FROM_CELLS: u16 = 64;

struct Areas {
    list: Rect,
    title: Rect,
    messages: Rect,
    status: Rect,
    input: Rect,
}

fn areas(screen: Rect) -> Areas {
    let [top, status, input] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)]).areas(screen);
    let list = if screen.width < LIST_FROM_CELLS { 0 } else { LIST_CELLS };
    let [list, right] = Layout::horizontal([Constraint::Length(list), Constraint::Min(0)]).areas(top);
    let [title, messages] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(right);
    Areas { list, title, messages, status, input }
}

/// The part of the screen that shows messages.
pub fn message_area(screen: Rect) -> Rect {
    areas(screen).messages
}

/// Other people's text on one line, made safe for the terminal.
pub fn name(text: &str) -> String {
    shown(text.as_bytes())
}

/// Draws everything. Call [`Room::look`] first.
pub fn draw(app: &App, frame: &mut Frame) {
    let areas = areas(frame.area());
    list(app, frame, areas.list);
    if let (Some(open), Some(room)) = (&app.open, app.room()) {
        title(open, room, frame, areas.title);
        messages(room, frame, areas.messages);
    } else {
        let text = if app.is_up() {
            "You are in no room. /join ROOM joins one, and creates it if it does not exist. /help lists keys and commands."
        } else {
            "Your rooms appear once there is a connection. /help lists keys and commands."
        };
        let lines: Vec<Line> =
            crate::text::wrap(text, usize::from(areas.messages.width)).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines), areas.messages);
    }
    status(app, frame, areas.status);
    input(app, frame, areas.input);
    if let Some((of, top)) = app.overlay {
        overlay(app, of, top, frame);
    }
}

fn list(app: &App, frame: &mut Frame, area: Rect) {
    let (names, joined) = app.list();
    let cells = usize::from(area.width).saturating_sub(2);
    let mut lines = Vec::new();
    let mut open = 0;
    for (at, of) in names.iter().enumerate() {
        let Some(room) = app.rooms.get(*of) else { continue };
        if at == joined {
            lines.push(Line::styled(cut("─ not joined", cells), Style::new().fg(Color::DarkGray)));
        }
        let number = if at < 9.min(joined) { (at + 1).to_string() } else { " ".to_owned() };
        let unread = if room.unread() > 0 { room.unread().to_string() } else { String::new() };
        let label = cut(&name(of), cells.saturating_sub(width(&unread) + 3));
        let pad = " ".repeat(cells.saturating_sub(width(&label) + width(&unread) + 2));
        let mut style = if room.joined { Style::new() } else { Style::new().fg(Color::DarkGray) };
        if room.unread() > 0 {
            style = style.bold();
        }
        if app.open.as_deref() == Some(of) {
            style = style.reversed();
            open = lines.len();
        }
        let mark = if room.info.as_ref().is_some_and(|info| info.private) { '*' } else { ' ' };
        lines.push(Line::styled(format!("{number}{mark}{label}{pad}{unread}"), style));
    }
    let skip = (open + 1).saturating_sub(usize::from(area.height));
    let lines: Vec<Line> = lines.into_iter().skip(skip).collect();
    let [text, rule] = Layout::horizontal([Constraint::Min(0), Constraint::Length(2)]).areas(area);
    frame.render_widget(Paragraph::new(lines), text);
    let bars: Vec<Line> = (0..rule.height).map(|_| Line::styled("│ ", Style::new().fg(Color::DarkGray))).collect();
    frame.render_widget(Paragraph::new(bars), rule);
}

fn title(of: &str, room: &Room, frame: &mut Frame, area: Rect) {
    let mut spans = vec![Span::styled(name(of), Style::new().bold())];
    if room.info.as_ref().is_some_and(|info| info.private) {
        spans.push(Span::styled(" (private)", Style::new().fg(Color::DarkGray)));
    }
    let topic = room.info.as_ref().map(|info| name(&info.topic)).unwrap_or_default();
    if !topic.is_empty() {
        spans.push(Span::raw(format!(" – {topic}")));
    }
    let line = Line::from(spans);
    // Cut here rather than by ratatui, which would leave half of a wide character.
    let fits = width(&line.to_string()) <= usize::from(area.width);
    let line = if fits { line } else { Line::from(cut(&line.to_string(), usize::from(area.width))) };
    frame.render_widget(Paragraph::new(line), area);
}

fn messages(room: &Room, frame: &mut Frame, area: Rect) {
    if !room.joined {
        let text = "You are not a member of this room. Press Enter on an empty line to join.";
        let lines: Vec<Line> = crate::text::wrap(text, usize::from(area.width)).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let height = usize::from(area.height);
    let (top, _) = room.visible;
    let rows: &[Row] = room.shown_rows();
    let lines: Vec<Line> = rows.iter().skip(top).take(height).map(|row| row.line.clone()).collect();
    // A few messages stand at the bottom, right above the input line.
    let up = u16::try_from(height.saturating_sub(lines.len())).unwrap_or(0);
    let area = Rect { y: area.y + up, height: area.height.saturating_sub(up), ..area };
    frame.render_widget(Paragraph::new(lines), area);
}

/// How many of the others have read this person's last message.
fn read_by(app: &App, room: &Room) -> Option<String> {
    let (have, others) = room.presence.read_by(&app.own, room.last_said(&app.own, true)?.seq);
    (others > 0).then(|| format!("✓ read by {have} of {others}"))
}

fn status(app: &App, frame: &mut Frame, area: Rect) {
    let style = Style::new().bg(Color::Indexed(236)).fg(Color::Indexed(252));
    let mut parts = Vec::new();
    match &app.link {
        Link::Up => parts.push(format!("● {} as {}", name(&app.server), name(&app.me))),
        Link::Down(since, why) => {
            let seconds = since.elapsed().as_secs();
            parts.push(format!("○ no connection to {} for {seconds} s ({})", name(&app.server), name(why)));
        }
    }
    match app.waiting() {
        0 => {}
        1 => parts.push("1 message waiting".to_owned()),
        many => parts.push(format!("{many} messages waiting")),
    }
    if app.room().is_some_and(|room| room.joined && room.top.is_some()) {
        parts.push("↓ more; Esc jumps to the end".to_owned());
    }
    if let Some(room) = app.room().filter(|room| room.joined) {
        if let Some(seq) = room.selected {
            parts.insert(0, format!("message {seq} is selected: /reply TEXT or /redact; Esc clears the selection"));
        }
        if app.is_up() && !room.presence.members.is_empty() {
            parts.extend(room.presence.typing(&app.own).map(|typing| name(&typing)));
            parts.extend(read_by(app, room));
            parts.push(name(&room.presence.people()));
        }
    }
    if let Some(notice) = &app.notice {
        parts.insert(0, name(notice));
    }
    let style = if app.notice.is_some() { style.fg(Color::Yellow) } else { style };
    let text = cut(&format!(" {}", parts.join(" · ")), usize::from(area.width));
    frame.render_widget(Paragraph::new(Line::from(text)).style(style), area);
}

fn input(app: &App, frame: &mut Frame, area: Rect) {
    let prompt = "> ";
    let cells = usize::from(area.width).saturating_sub(prompt.len());
    let (text, cursor) = app.input.view(cells);
    frame.render_widget(Paragraph::new(Line::from(format!("{prompt}{text}"))), area);
    let x = area.x.saturating_add(u16::try_from(prompt.len() + cursor).unwrap_or(0));
    frame.set_cursor_position(Position::new(x.min(area.right().saturating_sub(1)), area.y));
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok_client::News;
    use dantok_protocol::text::is_unsafe;
    use dantok_protocol::{Event, Item, Kind, MemberInfo, Message, RoomInfo};
    use jiff::tz::TimeZone;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use crate::app::Overlay;
    use crate::ask::Told;
    use crate::timeline::Timeline;

    const EVIL: &str = "a\u{1b}[2J\u{9b}1m\u{202e}b";

    fn text(app: &mut App, cells: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(cells, rows)).unwrap();
        let area = message_area(Rect::new(0, 0, cells, rows));
        let (zone, own) = (app.zone.clone(), app.own.clone());
        if let Some(room) = app.room_mut() {
            room.look(area.width.into(), area.height.into(), &zone, &own);
        }
        terminal.draw(|frame| draw(app, frame)).unwrap();
        let cells = terminal.backend().buffer().content();
        cells.iter().map(|cell| cell.symbol()).collect()
    }

    #[test]
    fn nothing_that_others_wrote_reaches_a_cell_raw() {
        let mut app = App::new("me", EVIL, TimeZone::UTC, &[], &[]);
        let info = RoomInfo {
            room: EVIL.into(),
            members: 1,
            last: 1,
            unread: Some(0),
            active_ms: 0,
            topic: EVIL.into(),
            private: false,
            cursor: Some(1),
        };
        app.told(Told::Rooms(Ok(vec![info])));
        let room = app.room_mut().unwrap();
        room.timeline = Some(Timeline::default());
        room.note(EVIL.to_owned());
        let message = Message {
            room: EVIL.into(),
            seq: 1,
            time_ms: 0,
            client: EVIL.into(),
            body: EVIL.as_bytes().to_vec().into(),
            kind: Kind::Plain,
        };
        let answer = Message { seq: 2, kind: Kind::Reply(1), ..message.clone() };
        let redaction = Message { seq: 3, kind: Kind::Redaction(2), ..message.clone() };
        for message in [message, answer, redaction] {
            app.news(News::Item(Item::Message(message)));
        }
        let member = MemberInfo {
            room: EVIL.into(),
            client: EVIL.into(),
            connections: 1,
            cursor: Some(0),
            nick: EVIL.into(),
            since_ms: None,
        };
        app.told(Told::Who(EVIL.to_owned(), Ok(vec![member])));
        for event in [Event::Joined, Event::Nick(EVIL.into()), Event::Typing] {
            app.news(News::Item(Item::Event { room: EVIL.into(), time_ms: 0, client: EVIL.into(), event }));
        }
        for overlay in [None, Some((Overlay::Rooms, 0)), Some((Overlay::Who, 0)), Some((Overlay::Help, 0))] {
            for link in [Link::Up, Link::Down(std::time::Instant::now(), EVIL.to_owned())] {
                for notice in [None, Some(EVIL.to_owned())] {
                    (app.overlay, app.link, app.notice) = (overlay, link.clone(), notice);
                    let text = text(&mut app, 110, 30);
                    assert!(!text.chars().any(is_unsafe));
                    // It is not silently dropped either.
                    assert!(text.contains(r"\x1b[2J\xc2\x9b1m\xe2\x80\xae"), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_terminal_may_have_any_size() {
        let named = ["저녁🍲모임".to_owned(), "lobby".to_owned()];
        let mut app = App::new("me", "s", TimeZone::UTC, &named, &[]);
        app.room_mut().unwrap().timeline = Some(Timeline::default());
        for seq in 1..40 {
            let body = "가나다 라마바사 👩‍💻 some words".repeat(seq as usize % 5).into();
            let message = Message {
                room: named[0].clone().into(),
                seq,
                time_ms: seq,
                client: "민지".into(),
                body,
                kind: Kind::Plain,
            };
            app.news(News::Item(Item::Message(message)));
        }
        for overlay in [None, Some((Overlay::Help, 3)), Some((Overlay::Who, 0)), Some((Overlay::Rooms, 9))] {
            app.overlay = overlay;
            for (cells, rows) in (0..70).flat_map(|cells| [0, 1, 2, 3, 4, 9].map(|rows| (cells, rows))) {
                app.page(rows % 2 == 0);
                text(&mut app, cells, rows);
            }
        }
    }
}
