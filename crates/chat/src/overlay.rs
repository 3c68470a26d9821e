//! The windows over the messages: the help, the list of rooms, and the members of a room.

use dantok_protocol::MemberInfo;
use dantok_protocol::name::person;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Padding, Paragraph};

use crate::app::{App, Overlay};
use crate::commands::HELP;
use crate::draw::name;
use crate::text::{colour, counted, cut, moment, width};

/// The title and lines of an overlay.
fn overlay_lines(app: &App, of: Overlay) -> (String, Vec<Line<'static>>) {
    match of {
        Overlay::Help => {
            let line = |(key, what): &(&str, &str)| {
                let pad = " ".repeat(34_usize.saturating_sub(width(key)));
                Line::from(vec![
                    Span::styled(format!("{key}{pad}"), Style::new().bold()),
                    Span::raw((*what).to_owned()),
                ])
            };
            ("help".to_owned(), HELP.iter().map(line).collect())
        }
        Overlay::Rooms => {
            let (names, _) = app.list();
            let line = |of: &&str| {
                let room = app.rooms.get(*of)?;
                let info = room.info.as_ref()?;
                let state = if room.joined { format!("{} unread", room.unread()) } else { "not joined".to_owned() };
                let private = if info.private { ", private" } else { "" };
                let topic = if info.topic.is_empty() { String::new() } else { format!(" – {}", name(&info.topic)) };
                Some(Line::from(format!(
                    "{}: {}, {}, {state}{private}{topic}",
                    name(of),
                    counted(info.members, "member"),
                    counted(info.last, "message")
                )))
            };
            ("rooms".to_owned(), names.iter().filter_map(line).collect())
        }
        Overlay::Who => {
            let last = app.room().map_or(0, |room| room.info.as_ref().map_or(0, |info| info.last).max(room.last));
            let line = |member: &MemberInfo| {
                let client = Span::styled(name(&member.client), Style::new().fg(colour(person(&member.client))));
                let since = member.since_ms.map(|time_ms| format!(" since {}", moment(time_ms, &app.zone)));
                let since = since.unwrap_or_default();
                let state = match member.connections {
                    0 => format!("away{since}"),
                    1 => format!("here{since}"),
                    many => format!("here{since}, {many} connections"),
                };
                let read = match member.cursor.map(|cursor| last.saturating_sub(cursor)) {
                    None => "does not read".to_owned(),
                    Some(0) => "all read".to_owned(),
                    Some(behind) => format!("{behind} behind"),
                };
                Line::from(vec![client, Span::raw(format!(" – {}; {state}; {read}", name(&member.nick)))])
            };
            let members = app.room().map(|room| room.presence.members.iter().map(line).collect()).unwrap_or_default();
            (format!("who is in {}", app.open.as_deref().map(name).unwrap_or_default()), members)
        }
    }
}

/// Draws an overlay from its line `top` on.
pub fn overlay(app: &App, of: Overlay, top: usize, frame: &mut Frame) {
    let (title, lines) = overlay_lines(app, of);
    let screen = frame.area();
    let wanted = lines.iter().map(|line| width(&line.to_string())).max().unwrap_or(0).max(30) + 4;
    let cells = u16::try_from(wanted).unwrap_or(u16::MAX).min(screen.width);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(screen.height.saturating_sub(2));
    let area = Rect {
        x: (screen.width - cells) / 2,
        y: screen.height.saturating_sub(2).saturating_sub(rows) / 2,
        width: cells,
        height: rows,
    };
    let inner = usize::from(rows.saturating_sub(2));
    let top = top.min(lines.len().saturating_sub(inner));
    let room = usize::from(cells).saturating_sub(4);
    let fit = |line: Line<'static>| {
        if width(&line.to_string()) <= room { line } else { Line::from(cut(&line.to_string(), room)) }
    };
    let lines: Vec<Line> = lines.into_iter().skip(top).take(inner).map(fit).collect();
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(format!(" {title} ")).padding(Padding::horizontal(1));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
