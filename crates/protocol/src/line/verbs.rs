//! Every verb of the line protocol, in one table: how it is written, which options it has, how it is read, and what HELP says.

use super::arguments::{Rest, Wrong};
use super::request::{self, Read};

/// What a verb is about, as HELP groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The connection.
    Connection,
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
    const ALL: [(About, &str); 6] = [
        (About::Connection, "connection"),
        (About::Rooms, "rooms"),
        (About::Access, "access"),
        (About::Sending, "sending"),
        (About::Reading, "reading"),
        (About::Sharing, "sharing work"),
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
    pub(super) words: (usize, usize),
    /// What stands behind them.
    pub(super) rest: Rest,
    /// Makes the command.
    pub(super) read: Read,
}

/// The verb of this name, which is in upper case.
pub(super) fn verb(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

impl Verb {
    /// How it is written, without what a beginner can do without.
    pub(super) fn short(&self) -> String {
        let short = self.usage.split(" [").next().unwrap_or_default();
        let tail = self.usage.rsplit("] ").next().filter(|_| self.usage.contains("] <")).unwrap_or_default();
        format!("{short} {tail}").trim_end().to_owned()
    }

    /// A refusal's sentence.
    pub(super) fn wrong(&self, wrong: Wrong) -> String {
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
        let verbs: Vec<&str> = VERBS.iter().filter(|verb| verb.about == about).map(|verb| verb.name).collect();
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

/// Every verb there is.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "HELLO",
        usage: "HELLO <client>[/<device>] [<token>] [epoch=<epoch>]",
        purpose: "say who you are; first of all",
        about: About::Connection,
        more: &[
            "<client>   your name, one word; alice/phone is alice on her phone",
            "<token>    as the operator has given it to you, if there are any",
            "epoch=     the epoch of what you remember; none: you remember nothing",
            "answer: OK <daemon> version=… client=… …, or ERR denied",
        ],
        options: &["epoch="],
        words: (1, 2),
        rest: Rest::Nothing,
        read: request::hello,
    },
    Verb {
        name: "NICK",
        usage: "NICK <name>",
        purpose: "what you are shown as",
        about: About::Connection,
        more: &["<name>     the rest of the line, 1 to 32 characters", "answer: OK"],
        options: &[],
        words: (0, 0),
        rest: Rest::Text,
        read: request::nick,
    },
    Verb {
        name: "CREATE",
        usage: "CREATE [--private] <room> [<topic>]",
        purpose: "make a room",
        about: About::Rooms,
        more: &[
            "<room>     its name, one word",
            "<topic>    the rest of the line: what the room is about",
            "--private  only those see it and may JOIN whom you INVITE",
            "answer: OK, or ERR room-exists",
        ],
        options: &["--private"],
        words: (1, 1),
        rest: Rest::Text,
        read: request::create,
    },
    Verb {
        name: "JOIN",
        usage: "JOIN <room> [from=start|now|none]",
        purpose: "join for good; makes the room if it is missing",
        about: About::Rooms,
        more: &[
            "from=      start: with all that is stored (so it is if nothing is said);",
            "           now: with what comes from now on; none: only to write",
            "answer: OK cursor=<seq> last=<seq>, or ERR denied",
        ],
        options: &["from="],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::join,
    },
    Verb {
        name: "LEAVE",
        usage: "LEAVE <room>",
        purpose: "forget the membership and the cursor",
        about: About::Rooms,
        more: &["answer: OK; the room and its messages stay"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::leave,
    },
    Verb {
        name: "SEND",
        usage: "SEND [id=<id>] [reply=<seq>] <room> <text>",
        purpose: "append a message; OK <seq> once it is on disk",
        about: About::Sending,
        more: &[
            "<text>     everything behind the room and one space, as it stands",
            "id=        a name that you make up: said again, it is the same message",
            "reply=     the seq of the message that this one answers",
            "Options stand before the room: what is behind it is text.",
            "answer: OK <seq>, or OK <seq> dup where the id was there already",
        ],
        options: &["id=", "reply="],
        words: (1, 1),
        rest: Rest::Body,
        read: request::send,
    },
    Verb {
        name: "SENDB",
        usage: "SENDB [id=<id>] [reply=<seq>] <room> <bytes>",
        purpose: "the same with that many raw bytes and a line end behind it",
        about: About::Sending,
        more: &["<bytes>    how many; they follow on the line, and a line end on them", "answer: as SEND"],
        options: &["id=", "reply="],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::sendb,
    },
    Verb {
        name: "REDACT",
        usage: "REDACT <room> <seq>",
        purpose: "take the text of your message back; its place stays",
        about: About::Sending,
        more: &["answer: OK <seq>, of the message that says so"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::redact,
    },
    Verb {
        name: "FETCH",
        usage: "FETCH <room> [after=<seq>] [max=<n>]",
        purpose: "what came after your cursor (or seq); moves nothing",
        about: About::Reading,
        more: &[
            "after=     begin after this seq instead of the cursor; 0 is the start",
            "max=       at most so many messages; a bare number means the same",
            "answer: MSG and GAP lines, then END <room> <handed> <oldest> <last>",
        ],
        options: &["after=", "max="],
        words: (1, 2),
        rest: Rest::Nothing,
        read: request::fetch,
    },
    Verb {
        name: "READ",
        usage: "READ <room> [max=<n>]",
        purpose: "what is new; the next READ acknowledges it",
        about: About::Reading,
        more: &["max=       at most so many messages; a bare number means the same", "answer: as FETCH"],
        options: &["max="],
        words: (1, 2),
        rest: Rest::Nothing,
        read: request::read,
    },
    Verb {
        name: "ACK",
        usage: "ACK <room> [<seq>]",
        purpose: "read up to seq; without it, all that this connection was handed",
        about: About::Reading,
        more: &["answer: OK <seq>, where your cursor is now"],
        options: &[],
        words: (1, 2),
        rest: Rest::Nothing,
        read: request::ack,
    },
    Verb {
        name: "FOLLOW",
        usage: "FOLLOW <room>",
        purpose: "FETCH that goes on live; ACK acknowledges",
        about: About::Reading,
        more: &["answer: OK after=<seq>, then MSG and GAP lines as they come"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::follow,
    },
    Verb {
        name: "UNFOLLOW",
        usage: "UNFOLLOW <room>",
        purpose: "end it",
        about: About::Reading,
        more: &["answer: OK"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::unfollow,
    },
    Verb {
        name: "HISTORY",
        usage: "HISTORY <room> [before=<seq>] [since=<time>] [max=<n>]",
        purpose: "a part of the room again; moves nothing",
        about: About::Reading,
        more: &[
            "before=    only what came before this seq",
            "since=     only what came since: 90m, or 2026-11-21T09:30:00Z",
            "max=       at most so many; a bare number means the same",
            "answer: as FETCH",
        ],
        options: &["before=", "since=", "max="],
        words: (1, 2),
        rest: Rest::Nothing,
        read: request::history,
    },
    Verb {
        name: "SEEK",
        usage: "SEEK <room> <seq>|start|now",
        purpose: "move your cursor, back as well",
        about: About::Reading,
        more: &["answer: OK <seq>, where your cursor is now"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::seek,
    },
    Verb {
        name: "ROOMS",
        usage: "ROOMS",
        purpose: "the rooms that you see",
        about: About::Rooms,
        more: &[
            "answer: ROOM <room> <members> <last> <unread> <time> <access> [<topic>]",
            "for each, the latest first, then OK <how many>",
        ],
        options: &[],
        words: (0, 0),
        rest: Rest::Nothing,
        read: request::rooms,
    },
    Verb {
        name: "WATCH",
        usage: "WATCH",
        purpose: "the rooms, live",
        about: About::Rooms,
        more: &["answer: OK, then a ROOM line for each, and one whenever one changes"],
        options: &[],
        words: (0, 0),
        rest: Rest::Nothing,
        read: request::watch,
    },
    Verb {
        name: "UNWATCH",
        usage: "UNWATCH",
        purpose: "end it",
        about: About::Rooms,
        more: &["answer: OK"],
        options: &[],
        words: (0, 0),
        rest: Rest::Nothing,
        read: request::unwatch,
    },
    Verb {
        name: "WHO",
        usage: "WHO <room>",
        purpose: "members, which are connected, and how far they have read",
        about: About::Rooms,
        more: &[
            "answer: MEMBER <room> <client> <connections> <cursor> <since> <nick>",
            "for each, by name, then OK <how many>",
        ],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::who,
    },
    Verb {
        name: "TOPIC",
        usage: "TOPIC <room> [<topic>|--clear]",
        purpose: "what the room is about; with a topic, say it",
        about: About::Rooms,
        more: &[
            "<topic>    the rest of the line",
            "--clear    the room has no topic any more",
            "answer: OK <topic>, or OK where there is none",
        ],
        options: &["--clear"],
        words: (1, 1),
        rest: Rest::Text,
        read: request::topic,
    },
    Verb {
        name: "INVITE",
        usage: "INVITE <room> <client>",
        purpose: "let somebody join a private room",
        about: About::Access,
        more: &["answer: OK; each member may"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::invite,
    },
    Verb {
        name: "KICK",
        usage: "KICK <room> <client>",
        purpose: "end somebody's membership",
        about: About::Access,
        more: &["answer: OK; for the room's owner and admins"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::kick,
    },
    Verb {
        name: "BAN",
        usage: "BAN <room> <client>",
        purpose: "end it, and keep him out",
        about: About::Access,
        more: &["answer: OK; for the room's owner and admins"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::ban,
    },
    Verb {
        name: "UNBAN",
        usage: "UNBAN <room> <client>",
        purpose: "let him in again",
        about: About::Access,
        more: &["answer: OK; for the room's owner and admins"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::unban,
    },
    Verb {
        name: "ACCESS",
        usage: "ACCESS <room>",
        purpose: "who owns it, is invited, or banned",
        about: About::Access,
        more: &["answer: ACCESS <room> <client> owner|invited|banned, then OK <how many>"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::access,
    },
    Verb {
        name: "RETAIN",
        usage: "RETAIN <room> [<time>|default] [cap=<size>|cap=none]",
        purpose: "how long, and how much of, it is kept; what is not said stays",
        about: About::Access,
        more: &[
            "<time>     like 30d or 1y; default: as long as the daemon keeps messages",
            "cap=       like 1GiB: past that, SEND is refused; none: no bound",
            "answer: OK retention=<seconds>s cap=<bytes>|none stored=<bytes>",
        ],
        options: &["cap="],
        words: (1, 2),
        rest: Rest::Nothing,
        read: request::retain,
    },
    Verb {
        name: "DELETE",
        usage: "DELETE <room> [number=<n>]",
        purpose: "delete the room, with all that is in it; for its owner",
        about: About::Access,
        more: &["number=    only where the room has this number, as JOIN tells it", "answer: OK"],
        options: &["number="],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::delete,
    },
    Verb {
        name: "GROUP",
        usage: "GROUP <room> <group> [from=start|now] [timeout=<time>]",
        purpose: "make a cursor that workers share",
        about: About::Sharing,
        more: &[
            "from=      where a new group begins: start, or now",
            "timeout=   how long a worker has for a message; 30s if nothing is said",
            "answer: OK cursor=<seq> last=<seq> timeout=<seconds>s",
        ],
        options: &["from=", "timeout="],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::group,
    },
    Verb {
        name: "UNGROUP",
        usage: "UNGROUP <room> <group>",
        purpose: "end it",
        about: About::Sharing,
        more: &["answer: OK"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::ungroup,
    },
    Verb {
        name: "GROUPS",
        usage: "GROUPS <room>",
        purpose: "the room's groups: cursor, taken, waiting, timeout",
        about: About::Sharing,
        more: &["answer: GROUP <room> <group> <cursor> <pending> <waiting> <timeout>"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::groups,
    },
    Verb {
        name: "TAKE",
        usage: "TAKE <room> <group> [max=<n>] [wait=<time>]",
        purpose: "messages that no other worker has",
        about: About::Sharing,
        more: &[
            "max=       at most so many, 1 if nothing is said; or a bare number",
            "wait=      how long to wait for the first, 60s at the most",
            "answer: MSG and GAP lines, then OK <how many>",
        ],
        options: &["max=", "wait="],
        words: (2, 3),
        rest: Rest::Nothing,
        read: request::take,
    },
    Verb {
        name: "DONE",
        usage: "DONE <room> <group> <seq>",
        purpose: "one of them is dealt with",
        about: About::Sharing,
        more: &["answer: OK <seq>: everything up to it is done"],
        options: &[],
        words: (3, 3),
        rest: Rest::Nothing,
        read: request::done,
    },
    Verb {
        name: "PENDING",
        usage: "PENDING <room> <group>",
        purpose: "what is taken and not done, by whom, since when",
        about: About::Sharing,
        more: &["answer: PENDING <room> <group> <seq> <client> <time> <deliveries>, OK <n>"],
        options: &[],
        words: (2, 2),
        rest: Rest::Nothing,
        read: request::pending,
    },
    Verb {
        name: "EVENTS",
        usage: "EVENTS on|off",
        purpose: "be told who comes, goes and types in the rooms that you FOLLOW",
        about: About::Reading,
        more: &["answer: OK"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::events,
    },
    Verb {
        name: "TYPING",
        usage: "TYPING <room>",
        purpose: "let the others know that you are typing",
        about: About::Sending,
        more: &["answer: OK"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::typing,
    },
    Verb {
        name: "FORMAT",
        usage: "FORMAT json|text",
        purpose: "how you are answered: as JSON, an object a line, or as here",
        about: About::Connection,
        more: &["answer: OK, in the new format"],
        options: &[],
        words: (1, 1),
        rest: Rest::Nothing,
        read: request::format,
    },
    Verb {
        name: "STATS",
        usage: "STATS",
        purpose: "the daemon's figures",
        about: About::Connection,
        more: &["answer: OK <name>=<value> …"],
        options: &[],
        words: (0, 0),
        rest: Rest::Nothing,
        read: request::stats,
    },
    Verb {
        name: "PING",
        usage: "PING",
        purpose: "is anybody there",
        about: About::Connection,
        more: &["answer: OK pong"],
        options: &[],
        words: (0, 0),
        rest: Rest::Nothing,
        read: request::ping,
    },
    Verb {
        name: "HELP",
        usage: "HELP [<verb>]",
        purpose: "what there is, or all about one verb",
        about: About::Connection,
        more: &["answer: HELP lines, then OK <how many>"],
        options: &[],
        words: (0, 1),
        rest: Rest::Nothing,
        read: request::help_of,
    },
    Verb {
        name: "QUIT",
        usage: "QUIT",
        purpose: "bye",
        about: About::Connection,
        more: &["answer: OK bye, behind all other answers"],
        options: &[],
        words: (0, 0),
        rest: Rest::Nothing,
        read: request::quit,
    },
];

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
