//! The description of a verb, and the text of HELP made from all of them. Each verb is next to its command, in `commands`.

use super::arguments::{Arguments, Rest, Wrong};
use crate::Command;
use crate::commands::VERBS;
use crate::json_request::usage;

/// The groups of verbs in HELP. Each is a chapter of protocol.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The connection and the daemon.
    Session,
    /// Rooms.
    Rooms,
    /// Who may be in a room.
    Members,
    /// Sending messages.
    Messages,
    /// Reading messages.
    Reading,
    /// Live updates.
    Streams,
    /// Cursors that workers share.
    Groups,
    /// Who is connected, and as what they are shown.
    Presence,
}

impl About {
    const ALL: [About; 8] = [
        About::Session,
        About::Rooms,
        About::Members,
        About::Messages,
        About::Reading,
        About::Streams,
        About::Groups,
        About::Presence,
    ];

    /// The chapter's title.
    pub fn title(self) -> &'static str {
        match self {
            About::Session => "Session",
            About::Rooms => "Rooms",
            About::Members => "Members",
            About::Messages => "Messages",
            About::Reading => "Reading",
            About::Streams => "Streams",
            About::Groups => "Groups",
            About::Presence => "Presence",
        }
    }
}

/// A verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// Its usage.
    pub usage: &'static str,
    /// What it does, as in the index of protocol.md.
    pub purpose: &'static str,
    /// Its group in HELP.
    pub about: About,
    /// Further lines of its HELP: options and answers.
    pub more: &'static [&'static str],
    /// Its options: `--word`, or `key=` before a value. They mean the same anywhere after the verb.
    pub options: &'static [&'static str],
    /// The least and most words it takes, without options and text.
    pub(crate) words: (usize, usize),
    /// The names of its words, and then of its text, as members of a request in JSON. An optional word that only repeats an option
    /// has none.
    pub(crate) names: &'static [&'static str],
    /// What follows the words.
    pub(crate) rest: Rest,
    /// Makes the command.
    pub(crate) read: fn(&Arguments<'_>) -> Result<Command, Wrong>,
}

/// The verb with this name, in upper case.
pub(crate) fn verb(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

impl Verb {
    /// Its usage, shortened to what a beginner needs.
    pub(crate) fn short(&self) -> String {
        let short = self.usage.split(" [").next().unwrap_or_default();
        let tail = self.usage.rsplit("] ").next().filter(|_| self.usage.contains("] <")).unwrap_or_default();
        format!("{short} {tail}").trim_end().to_owned()
    }

    /// Whether a request in JSON may have it: all except SENDB, since SEND takes any bytes there.
    pub fn is_in_json(&self) -> bool {
        self.name != "SENDB"
    }

    /// The sentence of a refusal.
    pub(crate) fn wrong(&self, wrong: Wrong) -> String {
        match wrong {
            Wrong::Usage => format!("usage: {}", self.usage),
            Wrong::Because(why) => format!("{why}; usage: {}", self.usage),
            Wrong::Value(what, why) => format!("{what} {why}; usage: {}", self.usage),
        }
    }
}

/// The verbs at the beginning of HELP: enough to chat.
const FIRST: [&str; 5] = ["HELLO", "JOIN", "SEND", "READ", "FOLLOW"];
/// The columns of a line of HELP, without `HELP` itself.
const HELP_COLUMNS: usize = 75;
/// The column of HELP in which purposes begin.
const PURPOSE_AT: usize = 26;

/// The lines of HELP, for all verbs or for one; `None` if there is no such verb.
pub fn help(name: Option<&str>) -> Option<Vec<String>> {
    let Some(name) = name else { return Some(overview()) };
    let verb = verb(&name.trim_start_matches('/').to_ascii_uppercase())?;
    let mut lines = vec![verb.usage.to_owned(), format!("  {}", verb.purpose)];
    lines.extend(verb.more.iter().map(|line| format!("  {line}")));
    if verb.is_in_json() {
        lines.extend(in_json(verb));
    }
    Some(lines)
}

/// A verb's usage in JSON, in lines that fit on a terminal.
fn in_json(verb: &Verb) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in usage(verb).split_inclusive(']') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + part.chars().count() <= HELP_COLUMNS => line.push_str(part),
            Some(_) => lines.push(format!("    {part}")),
            None => lines.push(format!("  {part}")),
        }
    }
    lines
}

fn overview() -> Vec<String> {
    let mut lines = vec!["These five are enough to chat:".to_owned()];
    for name in FIRST {
        let Some(verb) = verb(name) else { continue };
        lines.push(format!("  {:PURPOSE_AT$}{}", verb.short(), verb.purpose));
    }
    lines.push("All commands; HELP <verb> explains one:".to_owned());
    for about in About::ALL {
        let verbs: Vec<&str> = VERBS.iter().filter(|verb| verb.about == about).map(|verb| verb.name).collect();
        lines.push(format!("  {:14}{}", about.title(), verbs.join(" ")));
    }
    lines.extend(
        [
            "Options (key=value, --word) may stand anywhere after the verb; in SEND,",
            "they stand before the room. After a lone -- nothing is an option. Names",
            "have no spaces.",
            "Each can also be sent as JSON: {\"do\":\"send\",\"room\":\"a\",\"text\":\"hi\"}",
        ]
        .map(str::to_owned),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_on_a_terminal_and_names_everything() {
        let all = overview();
        assert!(all.len() < 24, "with the OK behind it: {}", all.len());
        for verb in VERBS {
            assert!(all.iter().any(|line| line.split_whitespace().any(|word| word == verb.name)), "{}", verb.name);
            let lines = help(Some(verb.name)).unwrap();
            assert!(lines.len() < 24 && lines.iter().any(|line| line.contains("answer:")), "{}", verb.name);
            let in_json: String = lines.iter().map(|line| line.trim_start()).collect();
            assert_eq!(in_json.contains(&usage(verb)), verb.is_in_json(), "{}", verb.name);
            for option in verb.options {
                assert!(verb.usage.contains(option), "{} does not show {option}", verb.usage);
            }
            for line in all.iter().chain(&lines) {
                // After "HELP ".
                assert!(line.chars().count() <= HELP_COLUMNS, "{line}");
            }
        }
    }
}
