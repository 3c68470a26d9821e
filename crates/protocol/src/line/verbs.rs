//! What a verb is, and what HELP makes of all of them. Each stands with its command, in `commands`.

use super::arguments::{Arguments, Rest, Wrong};
use crate::Command;
use crate::commands::VERBS;

/// What a verb is about, as HELP groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Who speaks on the connection, and how it is answered.
    Connection,
    /// The daemon.
    Daemon,
    /// Rooms and who is in them.
    Rooms,
    /// What a room's owner and members may do.
    Access,
    /// Sending.
    Sending,
    /// Reading.
    Reading,
    /// Shared cursors.
    Sharing,
}

impl About {
    /// The lines of HELP.
    const ALL: [(&[About], &str); 6] = [
        (&[About::Connection, About::Daemon], "connection"),
        (&[About::Rooms], "rooms"),
        (&[About::Access], "access"),
        (&[About::Sending], "sending"),
        (&[About::Reading], "reading"),
        (&[About::Sharing], "sharing work"),
    ];
}

/// A verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// What it is about.
    pub about: About,
    /// What HELP says of it beside that: its options and answers.
    pub more: &'static [&'static str],
    /// Its options: `--word`, or `key=` before a value. They mean the same wherever they stand behind the verb.
    pub options: &'static [&'static str],
    /// How many words it has at least and at most, without options and text.
    pub(crate) words: (usize, usize),
    /// What stands behind them.
    pub(crate) rest: Rest,
    /// Makes the command.
    pub(crate) read: fn(&Arguments<'_>) -> Result<Command, Wrong>,
}

/// The verb of this name, which is in upper case.
pub(crate) fn verb(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

impl Verb {
    /// How it is written, without what a beginner can do without.
    pub(crate) fn short(&self) -> String {
        let short = self.usage.split(" [").next().unwrap_or_default();
        let tail = self.usage.rsplit("] ").next().filter(|_| self.usage.contains("] <")).unwrap_or_default();
        format!("{short} {tail}").trim_end().to_owned()
    }

    /// A refusal's sentence.
    pub(crate) fn wrong(&self, wrong: Wrong) -> String {
        match wrong {
            Wrong::Usage => format!("usage: {}", self.usage),
            Wrong::Because(why) => format!("{why}; usage: {}", self.usage),
        }
    }
}

/// What HELP begins with: enough to talk to each other.
const FIRST: [&str; 5] = ["HELLO", "JOIN", "SEND", "READ", "FOLLOW"];
/// The column of HELP in which a purpose begins.
const PURPOSE_AT: usize = 26;

/// The lines of a HELP; none where the verb is not one.
pub fn help(name: Option<&str>) -> Option<Vec<String>> {
    let Some(name) = name else { return Some(overview()) };
    let verb = verb(&name.trim_start_matches('/').to_ascii_uppercase())?;
    let about = [verb.usage.to_owned(), format!("  {}", verb.purpose)];
    Some(about.into_iter().chain(verb.more.iter().map(|line| format!("  {line}"))).collect())
}

fn overview() -> Vec<String> {
    let mut lines = vec!["These five are enough to talk:".to_owned()];
    for name in FIRST {
        let Some(verb) = verb(name) else { continue };
        lines.push(format!("  {:PURPOSE_AT$}{}", verb.short(), verb.purpose));
    }
    lines.push("All there are; HELP <verb> tells the rest of each:".to_owned());
    for (about, name) in About::ALL {
        let verbs: Vec<&str> = about
            .iter()
            .flat_map(|about| VERBS.iter().filter(move |verb| verb.about == *about))
            .map(|verb| verb.name)
            .collect();
        lines.push(format!("  {name:14}{}", verbs.join(" ")));
    }
    lines.extend(
        [
            "Options (key=value, --word) may stand anywhere behind the verb, but in",
            "SEND only before the room. After a lone -- there are no options. Names",
            "have no spaces.",
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
            for option in verb.options {
                assert!(verb.usage.contains(option), "{} does not show {option}", verb.usage);
            }
            for line in all.iter().chain(&lines) {
                // Behind "HELP ".
                assert!(line.chars().count() <= 75, "{line}");
            }
        }
    }
}
