//! Text on the screen: sanitised, measured and wrapped; colours for names; times and days; counts.

use dantok_protocol::text::{escape, is_unsafe};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::style::Color;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Colours that are readable on dark and light backgrounds, and easy to tell apart.
const COLOURS: [u8; 14] = [31, 33, 36, 67, 71, 97, 99, 130, 132, 136, 162, 166, 168, 172];

/// Other people's bytes as a line that is safe on a terminal. Unlike [`escape`], it leaves backslashes alone: this form is only for
/// reading, and need not be reversible.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        let mut bytes = [0; 4];
        for c in chunk.valid().chars() {
            if is_unsafe(c) {
                out.push_str(&escape(c.encode_utf8(&mut bytes).as_bytes()));
            } else {
                out.push(c);
            }
        }
        out.push_str(&escape(chunk.invalid()));
    }
    out
}

/// The lines of a message, each made safe by [`shown`]; at least one.
pub fn shown_lines(body: &[u8]) -> Vec<String> {
    body.split(|byte| *byte == b'\n').map(|line| shown(line.strip_suffix(b"\r").unwrap_or(line))).collect()
}

/// How many cells a text takes.
pub fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// A number of things, as `1 message` or `2 messages`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Cuts a text to at most this many cells; `…` marks the cut.
pub fn cut(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |grapheme: &&str| {
        used += grapheme.width();
        used <= max
    };
    let mut out: String = text.graphemes(true).take_while(fits).collect();
    out.push('…');
    out
}

/// Wraps a text into lines of at most this many cells, at a space if there is one near the end of the line.
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(2);
    let (mut lines, mut line, mut used, mut space) = (Vec::new(), String::new(), 0, None);
    for grapheme in text.graphemes(true) {
        let cells = grapheme.width();
        while used > 0 && used + cells > max {
            let rest = space.take().map(|at| line.get(at..).unwrap_or_default().to_owned());
            let rest = rest.filter(|rest| width(rest) <= max * 2 / 3).unwrap_or_default();
            line.truncate(line.len().saturating_sub(rest.len()));
            lines.push(line.trim_end_matches(' ').to_owned());
            used = width(&rest);
            line = rest;
        }
        if grapheme == " " && used == 0 && !lines.is_empty() {
            continue;
        }
        line.push_str(grapheme);
        used += cells;
        if grapheme == " " {
            space = Some(line.len());
        }
    }
    lines.push(line);
    lines
}

/// A name's colour, which is always the same.
pub fn colour(name: &str) -> Color {
    // FNV-1a, because the standard library's hash may change with a new version.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let at = usize::try_from((hash >> 32) % COLOURS.len() as u64).unwrap_or(0);
    Color::Indexed(COLOURS.get(at).copied().unwrap_or(7))
}

fn local(time_ms: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    Timestamp::from_millisecond(i64::try_from(time_ms).ok()?).ok().map(|time| time.to_zoned(zone.clone()))
}

/// The time of day, as `09:30`.
pub fn clock(time_ms: u64, zone: &TimeZone) -> String {
    local(time_ms, zone).map_or_else(|| "--:--".to_owned(), |time| time.strftime("%H:%M").to_string())
}

/// The date, with its day of the week.
pub fn day(time_ms: u64, zone: &TimeZone) -> String {
    local(time_ms, zone).map(|time| time.strftime("%A, %-d %B %Y").to_string()).unwrap_or_default()
}

/// The time of day, with the date unless that is today.
pub fn moment(time_ms: u64, zone: &TimeZone) -> String {
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    match local(time_ms, zone) {
        Some(time) if time.date() == today => time.strftime("%H:%M").to_string(),
        Some(time) => time.strftime("%-d %B %H:%M").to_string(),
        None => "--:--".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_others_never_reaches_the_terminal_raw() {
        assert_eq!(shown(b"\x1b[2J \xff C:\\dir"), r"\x1b[2J \xff C:\dir");
        assert_eq!(shown("\u{9b}1m \u{202e}안녕 \\o/".as_bytes()), r"\xc2\x9b1m \xe2\x80\xae안녕 \o/");
        assert_eq!(shown_lines(b"one\r\ntwo\tthree\n"), ["one", r"two\tthree", ""]);
        for byte in 0..=255 {
            assert!(!shown(&[byte, b'x']).chars().any(is_unsafe), "{byte}");
        }
    }

    #[test]
    fn lines_are_wrapped_by_cells() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("안녕하세요 반갑습니다", 12), ["안녕하세요", "반갑습니다"]);
        assert_eq!(wrap("단톡방단톡방", 5), ["단톡", "방단", "톡방"]);
        assert_eq!(wrap("👩‍💻👩‍💻👩‍💻", 4), ["👩‍💻👩‍💻", "👩‍💻"]);
        assert_eq!(wrap("x".repeat(7).as_str(), 3), ["xxx", "xxx", "x"]);
        assert_eq!(wrap("", 10), [""]);
        for max in 2..20 {
            for line in wrap("어제 deploy 했던 거 rollback 됐어요? 👍🏽 aaaaaaaaaaaaaaaaaaaaaa", max) {
                assert!(width(&line) <= max, "{max}: {line}");
            }
        }
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!(cut("단톡방", 6), "단톡방");
        assert_eq!(cut("단톡방", 5), "단톡…");
        assert_eq!(cut("단톡방", 4), "단…");
    }

    #[test]
    fn a_name_keeps_its_colour() {
        assert_eq!(colour("alice"), colour("alice"));
        let some: std::collections::BTreeSet<String> =
            ["alice", "bob", "carol", "민지", "서준"].iter().map(|name| format!("{:?}", colour(name))).collect();
        assert!(some.len() >= 4, "{some:?}");
    }

    #[test]
    fn days_and_times_follow_the_time_zone() {
        let seoul = TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(
            (clock(1_795_221_000_000, &TimeZone::UTC), clock(1_795_221_000_000, &seoul)),
            ("00:30".into(), "09:30".into())
        );
        assert_eq!(moment(1_495_221_000_000, &seoul), "20 May 04:10");
        assert_eq!(day(1_795_221_000_000, &seoul), "Saturday, 21 November 2026");
        assert_eq!(day(1_795_219_199_000 - 28_000_000, &TimeZone::UTC), "Friday, 20 November 2026");
    }
}
