//! The connection itself: who the client is, the form of answers, and information about the daemon.

use serde::{Deserialize, Serialize};

use super::{Ask, Command, Local, Names, Request, Work};
use crate::limits::NAME_MAX_BYTES;
use crate::line::{About, Line, Rest, Verb};
use crate::name::{check_client, check_not_hook};
use crate::{ErrorCode, Refusal, VERSION};

/// Identifies the client. Required before anything except HELP, PING and QUIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The highest version that the client speaks, from 1. A line does not state it, and means this build's version.
    pub version: u16,
    /// The client's name: `NAME` or `NAME/DEVICE`.
    pub client: String,
    /// The client's secret; ignored unless the daemon uses tokens.
    pub token: Option<String>,
    /// The epoch of the seqs that the client remembers from earlier connections; refused if the rooms have another.
    pub epoch: Option<String>,
}

impl Request for Hello {
    const VERB: Verb = Verb {
        name: "HELLO",
        usage: "HELLO <client>[/<device>] [<token>] [epoch=<epoch>]",
        purpose: "say who you are",
        about: About::Session,
        more: &[
            "<client>   your name, one word; alice/phone is alice on her phone",
            "<token>    your secret from the operator, if the daemon uses tokens",
            "epoch=     the epoch of the seqs that you remember, if any",
            "answer: OK <daemon> version=… client=… …, or ERR denied",
        ],
        options: &["epoch="],
        words: (1, 2),
        names: &["client", "token"],
        rest: Rest::Nothing,
        read: |of| {
            let (token, epoch) = (of.word(1).map(str::to_owned), of.option("epoch=").map(str::to_owned));
            Ok(Command::Hello(Hello { version: VERSION, client: of.name(0)?, token, epoch }))
        },
    };

    fn write(&self, line: &mut Line) {
        line.word(&self.client);
        if let Some(token) = &self.token {
            line.word(token);
        }
        line.option("epoch=", self.epoch.as_ref());
    }

    fn check(&self) -> Result<(), Refusal> {
        check_client(&self.client).and_then(|()| check_not_hook(&self.client))
    }

    fn names(&mut self) -> Names<'_> {
        Names::default()
    }

    fn introduces(&self) -> Option<&str> {
        Some(&self.client)
    }

    fn work(self) -> Work {
        Work::Ask(Ask::Hello(self))
    }
}

/// Checks that the daemon answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping;

impl Request for Ping {
    const VERB: Verb = Verb {
        name: "PING",
        usage: "PING",
        purpose: "check that the daemon answers",
        about: About::Session,
        more: &["answer: OK pong"],
        options: &[],
        words: (0, 0),
        names: &[],
        rest: Rest::Nothing,
        read: |_| Ok(Command::Ping),
    };

    fn write(&self, _: &mut Line) {}

    named!();

    fn work(self) -> Work {
        Work::Ask(Ask::Ping)
    }
}

/// Sets the form of the line protocol's answers; refused in a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Whether to answer in JSON rather than in text.
    pub json: bool,
}

impl Request for Format {
    const VERB: Verb = Verb {
        name: "FORMAT",
        usage: "FORMAT json|text",
        purpose: "choose whether answers are text or JSON",
        about: About::Session,
        more: &["json       each line of an answer is an object", "answer: OK, in the new format"],
        options: &[],
        words: (1, 1),
        names: &["format"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Format(Format { json: of.either("json", "text")? })),
    };

    fn write(&self, line: &mut Line) {
        line.word(if self.json { "json" } else { "text" });
    }

    named!();

    fn work(self) -> Work {
        Work::Local(Local::Format(self))
    }
}

/// Returns the daemon's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats;

impl Request for Stats {
    const VERB: Verb = Verb {
        name: "STATS",
        usage: "STATS",
        purpose: "get the daemon's figures",
        about: About::Session,
        more: &["answer: OK <name>=<value> …"],
        options: &[],
        words: (0, 0),
        names: &[],
        rest: Rest::Nothing,
        read: |_| Ok(Command::Stats),
    };

    fn write(&self, _: &mut Line) {}

    named!();

    fn work(self) -> Work {
        Work::Ask(Ask::Stats)
    }
}

/// Lists the commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Help {
    /// Only this verb.
    pub verb: Option<String>,
}

impl Request for Help {
    const VERB: Verb = Verb {
        name: "HELP",
        usage: "HELP [<verb>]",
        purpose: "list the commands, or explain one",
        about: About::Session,
        more: &["answer: HELP lines, then OK <how many>"],
        options: &[],
        words: (0, 1),
        names: &["verb"],
        rest: Rest::Nothing,
        read: |of| Ok(Command::Help(Help { verb: of.word(0).map(str::to_owned) })),
    };

    fn write(&self, line: &mut Line) {
        if let Some(verb) = &self.verb {
            line.word(verb);
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        match &self.verb {
            Some(verb) if verb.len() > NAME_MAX_BYTES => {
                Err(Refusal::new(ErrorCode::BadArgument, "no such verb; HELP lists them"))
            }
            _ => Ok(()),
        }
    }

    fn names(&mut self) -> Names<'_> {
        Names::default()
    }

    fn work(self) -> Work {
        Work::Ask(Ask::Help(self))
    }
}

/// Ends the connection after all answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quit;

impl Request for Quit {
    const VERB: Verb = Verb {
        name: "QUIT",
        usage: "QUIT",
        purpose: "end the connection after all answers",
        about: About::Session,
        more: &["answer: OK bye, after all other answers"],
        options: &[],
        words: (0, 0),
        names: &[],
        rest: Rest::Nothing,
        read: |_| Ok(Command::Quit),
    };

    fn write(&self, _: &mut Line) {}

    named!();

    fn work(self) -> Work {
        Work::Local(Local::Quit)
    }
}
