//! A room's messages as rows of the screen.

use jiff::tz::TimeZone;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::room::{Note, Room};
use crate::text::{clock, colour, cut, day, shown, shown_lines, width, wrap};
use crate::timeline::Entry;

/// Behind every seq: what is not in the room's order yet.
const AT_END: u64 = u64::MAX;
/// What stands in the place of the time of a message that is not stored yet.
const NO_TIME: &str = "  …  ";

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The entry that it belongs to.
    pub seq: u64,
    /// What it shows.
    pub line: Line<'static>,
}

/// How the name's column and the text's share a width.
fn name_cells(width: usize) -> usize {
    if width < 60 { 8 } else { 12 }
}

/// A text in the middle of a rule.
fn rule(text: &str, cells: usize, style: Style) -> Line<'static> {
    let text = cut(text, cells.saturating_sub(4));
    let left = cells.saturating_sub(width(&text) + 2) / 2;
    let right = cells.saturating_sub(width(&text) + 2 + left);
    Line::styled(format!("{} {text} {}", "─".repeat(left), "─".repeat(right)), style)
}

/// The lines of something said: the time and who at the left of the first.
fn said(time: &str, client: &str, body: &[u8], cells: usize, style: Style) -> Vec<Line<'static>> {
    let column = name_cells(cells);
    let name = cut(&shown(client.as_bytes()), column);
    let pad = " ".repeat(column.saturating_sub(width(&name)));
    let indent = 6 + column + 1;
    let name_style = if style.fg.is_some() { style } else { Style::new().fg(colour(client)).bold() };
    let mut lines = Vec::new();
    for text in shown_lines(body).iter().flat_map(|line| wrap(line, cells.saturating_sub(indent))) {
        let mut spans = if lines.is_empty() {
            vec![
                Span::styled(format!("{time} "), Style::new().fg(Color::DarkGray)),
                Span::styled(name.clone(), name_style),
                Span::raw(format!("{pad} ")),
            ]
        } else {
            vec![Span::raw(" ".repeat(indent))]
        };
        spans.push(Span::styled(text, style));
        lines.push(Line::from(spans));
    }
    lines
}

fn note(note: &Note, cells: usize) -> Vec<Line<'static>> {
    let style = Style::new().fg(Color::Red);
    let text = wrap(&shown(note.text.as_bytes()), cells.saturating_sub(6));
    text.into_iter().map(|line| Line::styled(format!("      {line}"), style)).collect()
}

/// All rows of a room.
pub fn rows(room: &Room, cells: usize, zone: &TimeZone, own: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut notes = room.notes.iter().peekable();
    let mut days = String::new();
    let mut is_new = room.new_after.is_none();
    let quiet = Style::new().fg(Color::DarkGray);
    for entry in room.timeline.iter().flat_map(|timeline| timeline.entries()) {
        let seq = entry.to();
        let mut add = |lines: Vec<Line<'static>>| rows.extend(lines.into_iter().map(|line| Row { seq, line }));
        while let Some(before) = notes.next_if(|note| note.after < entry.from()) {
            add(note(before, cells));
        }
        if let Entry::Message(message) = entry {
            let today = day(message.time_ms, zone);
            if today != days {
                add(vec![rule(&today, cells, quiet)]);
                days = today;
            }
        }
        if !is_new && room.new_after.is_some_and(|after| seq > after) {
            add(vec![rule("new", cells, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD))]);
            is_new = true;
        }
        match entry {
            Entry::Message(message) => {
                let time = clock(message.time_ms, zone);
                add(said(&time, &message.client, &message.body, cells, Style::new()));
            }
            Entry::Gap { from, to } if from == to => {
                add(vec![rule(&format!("message {from} has expired"), cells, quiet)]);
            }
            Entry::Gap { from, to } => {
                add(vec![rule(&format!("messages {from}–{to} have expired"), cells, quiet)]);
            }
        }
    }
    let mut add = |lines: Vec<Line<'static>>| rows.extend(lines.into_iter().map(|line| Row { seq: AT_END, line }));
    notes.for_each(|one| add(note(one, cells)));
    for pending in room.pending.iter().filter(|pending| !pending.seen) {
        add(said(NO_TIME, own, pending.waiting.text.as_bytes(), cells, quiet.italic()));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Timeline;
    use dantok::protocol::{GapReason, Item, Kind, Message};

    #[test]
    fn days_gaps_and_what_is_new_have_their_lines() {
        let mut timeline = Timeline::default();
        timeline.push(Item::Gap { room: "r".into(), from: 1, to: 41, reason: GapReason::Expired });
        for (seq, time_ms, text) in
            [(42, 1_795_132_799_000, "늦었네요"), (43, 1_795_132_801_000, "a\nb"), (44, 1_795_132_802_000, "좋은 아침")]
        {
            let body = text.to_owned().into();
            timeline.push(Item::Message(Message {
                room: "r".into(),
                seq,
                time_ms,
                client: "민지".into(),
                body,
                kind: Kind::Plain,
            }));
        }
        let mut room = Room::default();
        (room.timeline, room.new_after) = (Some(timeline), Some(43));
        let text: Vec<String> = rows(&room, 40, &TimeZone::UTC, "me")
            .iter()
            .map(|row| row.line.to_string().trim_matches(['─', ' ']).to_owned())
            .collect();
        assert_eq!(
            text,
            [
                "messages 1–41 have expired",
                "Thursday, 19 November 2026",
                "23:59 민지     늦었네요",
                "Friday, 20 November 2026",
                "00:00 민지     a",
                "b",
                "new",
                "00:00 민지     좋은 아침"
            ]
        );
        assert!(rows(&room, 40, &TimeZone::UTC, "me").iter().all(|row| width(&row.line.to_string()) <= 40));
    }
}
