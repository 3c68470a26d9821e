//! Lays out a room's messages as rows of the screen.

use dantok_protocol::{Kind, Message};
use jiff::tz::TimeZone;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::room::{Note, Room};
use crate::text::{clock, colour, cut, day, shown, shown_lines, width, wrap};
use crate::timeline::Entry;

/// The seq of rows that have no place in the room's order yet; they come last.
const AT_END: u64 = u64::MAX;
/// Shown instead of the time of a message that is not stored yet.
const NO_TIME: &str = "  …  ";
/// Shown instead of a redacted text.
const REDACTED: &str = "(redacted)";

/// A row of the screen.
#[derive(Clone, Debug)]
pub struct Row {
    /// The seq of the entry that it belongs to.
    pub seq: u64,
    /// What it shows.
    pub line: Line<'static>,
}

/// The width of the column for names.
fn name_cells(width: usize) -> usize {
    if width < 60 { 8 } else { 12 }
}

/// A horizontal rule with a text in its middle.
fn rule(text: &str, cells: usize, style: Style) -> Line<'static> {
    let text = cut(text, cells.saturating_sub(4));
    let left = cells.saturating_sub(width(&text) + 2) / 2;
    let right = cells.saturating_sub(width(&text) + 2 + left);
    Line::styled(format!("{} {text} {}", "─".repeat(left), "─".repeat(right)), style)
}

/// The lines of a message: the first one starts with the time and the name.
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

/// The line above a reply that quotes what it replies to.
fn quote(room: &Room, of: u64, cells: usize) -> Line<'static> {
    let quoted = room.timeline.as_ref().and_then(|timeline| timeline.get(of));
    let text = match quoted {
        Some(Message { kind: Kind::Redacted(_), client, .. }) => format!("{}: {REDACTED}", shown(client.as_bytes())),
        Some(Message { kind: Kind::Plain | Kind::Reply(_), client, body, .. }) => {
            let first = shown_lines(body).into_iter().next().unwrap_or_default();
            format!("{}: {first}", shown(client.as_bytes()))
        }
        Some(_) | None => format!("message {of}"),
    };
    let indent = 6 + name_cells(cells) + 1;
    let text = cut(&format!("↪ {text}"), cells.saturating_sub(indent).max(2));
    Line::styled(format!("{}{text}", " ".repeat(indent)), Style::new().fg(Color::DarkGray))
}

/// The lines of a stored message.
fn message_lines(room: &Room, message: &Message, cells: usize, zone: &TimeZone) -> Vec<Line<'static>> {
    let (time, client) = (clock(message.time_ms, zone), &message.client);
    let quiet = Style::new().fg(Color::DarkGray);
    match message.kind {
        Kind::Plain => said(&time, client, &message.body, cells, Style::new()),
        Kind::Reply(of) => {
            let mut lines = vec![quote(room, of, cells)];
            lines.extend(said(&time, client, &message.body, cells, Style::new()));
            lines
        }
        Kind::Redacted(_) => said(&time, client, REDACTED.as_bytes(), cells, quiet),
        Kind::Redaction(of) => told(&format!("{client} redacted message {of}"), cells, quiet),
    }
}

/// The lines of a text that is not a message.
fn told(text: &str, cells: usize, style: Style) -> Vec<Line<'static>> {
    let text = wrap(&shown(text.as_bytes()), cells.saturating_sub(6));
    text.into_iter().map(|line| Line::styled(format!("      {line}"), style)).collect()
}

fn note(note: &Note, cells: usize) -> Vec<Line<'static>> {
    let style = Style::new().fg(if note.quiet { Color::DarkGray } else { Color::Red });
    told(&note.text, cells, style)
}

fn selected(line: Line<'static>) -> Line<'static> {
    line.patch_style(Style::new().add_modifier(Modifier::REVERSED))
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
                let lines = message_lines(room, message, cells, zone);
                add(if room.selected == Some(seq) { lines.into_iter().map(selected).collect() } else { lines });
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
        add(pending.waiting.reply.map(|of| quote(room, of, cells)).into_iter().collect());
        add(said(NO_TIME, own, pending.waiting.text.as_bytes(), cells, quiet.italic()));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Pending;
    use crate::timeline::Timeline;
    use dantok_client::outbox::Waiting;
    use dantok_protocol::{GapReason, Item};

    #[test]
    fn days_gaps_and_new_messages_have_their_lines() {
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

    #[test]
    fn a_reply_quotes_and_redacted_text_is_not_shown() {
        let mut room = Room::default();
        room.timeline = Some(Timeline::starting(4));
        let texts = [
            ("민지", Kind::Plain, "오늘 배포는 세 시로 할까요? 아니면 네 시?\n둘째 줄"),
            ("bob", Kind::Reply(5), "세 시!"),
            ("bob", Kind::Reply(2), "그건 모르겠어요"),
            ("민지", Kind::Redaction(5), ""),
            ("bob", Kind::Reply(5), "왜요?"),
        ];
        let shown = |room: &Room| -> Vec<String> {
            rows(room, 40, &TimeZone::UTC, "me")
                .iter()
                .skip(1)
                .map(|row| row.line.to_string().trim().to_owned())
                .collect()
        };
        for (seq, (client, kind, text)) in (5..).zip(texts) {
            let (room_name, client, body) = ("r".into(), client.into(), text.to_owned().into());
            room.push(Item::Message(Message { room: room_name, seq, time_ms: 0, client, body, kind }), "me");
            if seq == 6 {
                let quoted = "↪ 민지: 오늘 배포는 세 …";
                assert_eq!(shown(&room)[3..], [quoted, "00:00 bob      세 시!"]);
            }
        }
        let waiting =
            Waiting { id: "a".into(), room: "r".into(), text: "ok".into(), time_ms: 0, reply: Some(6), epoch: None };
        room.pending.push(Pending { waiting, seq: None, seen: false });
        room.quiet_note("minji joined".to_owned());
        let expected = [
            "00:00 민지     (redacted)",
            "↪ 민지: (redacted)",
            "00:00 bob      세 시!",
            "↪ message 2",
            "00:00 bob      그건 모르겠어요",
            "민지 redacted message 5",
            "↪ 민지: (redacted)",
            "00:00 bob      왜요?",
            "minji joined",
            "↪ bob: 세 시!",
            "…   me       ok",
        ];
        assert_eq!(shown(&room), expected);
        assert!(rows(&room, 40, &TimeZone::UTC, "me").iter().all(|row| width(&row.line.to_string()) <= 40));
        room.selected = Some(6);
        let reversed = |row: &Row| row.line.style.add_modifier.contains(Modifier::REVERSED);
        assert_eq!(rows(&room, 40, &TimeZone::UTC, "me").iter().filter(|row| reversed(row)).count(), 2);
    }
}
