//! All commands. The list in this file names them in the order of the framed protocol. Everything else about a command is in the file
//! named after its chapter in `protocol.md`: its fields, its help, how it is read from and written to a line, how its names are checked,
//! and who carries it out.
//!
//! To add a command:
//!
//! 1. Write its struct and its `Request` in the file of its chapter.
//! 2. Add its name at the end of the list, since the order is the numbering on the wire.
//! 3. Add a variant to [`Write`], [`Ask`] or [`Local`] in `work.rs`: it says who carries the command out. The compiler then names the
//!    `match` in the committer, the session or the connection that misses it.
//! 4. If no [`Reply`](crate::Reply) or [`Item`](crate::Item) fits, add one, with its line and its JSON, in `reply.rs` or `item.rs`.
//! 5. Describe it in `protocol.md` and add vectors of it; tests find what is missing there.

/// The two methods of a [`Request`] about names, for one in which there are these and no others to check. What is checked is what
/// is settled.
macro_rules! named {
    () => {
        fn check(&self) -> Result<(), $crate::Refusal> {
            Ok(())
        }

        fn names(&mut self) -> $crate::commands::Names<'_> {
            $crate::commands::Names::default()
        }
    };
    (room) => {
        fn check(&self) -> Result<(), $crate::Refusal> {
            $crate::name::check_room(&self.room)
        }

        fn names(&mut self) -> $crate::commands::Names<'_> {
            $crate::commands::Names { room: Some(&mut self.room), ..Default::default() }
        }
    };
    (room, client) => {
        fn check(&self) -> Result<(), $crate::Refusal> {
            $crate::name::check_room(&self.room).and_then(|()| $crate::name::check_person(&self.client))
        }

        fn names(&mut self) -> $crate::commands::Names<'_> {
            $crate::commands::Names { room: Some(&mut self.room), person: Some(&mut self.client), ..Default::default() }
        }
    };
    (room, group) => {
        fn check(&self) -> Result<(), $crate::Refusal> {
            $crate::name::check_room(&self.room).and_then(|()| $crate::name::check_group(&self.group))
        }

        fn names(&mut self) -> $crate::commands::Names<'_> {
            $crate::commands::Names { room: Some(&mut self.room), group: Some(&mut self.group), ..Default::default() }
        }
    };
}

mod groups;
mod members;
mod messages;
mod presence;
mod reading;
mod rooms;
mod session;
mod streams;
mod work;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::line::{FIRST_VERBS, Line, Verb};
use crate::{Begin, ErrorCode, Refusal};
pub use groups::{Done, Group, Groups, Pending, Take, Ungroup};
pub use members::{Access, Ban, Invite, Join, Kick, Leave, Unban};
use messages::SENDB;
pub(crate) use messages::sendb_line;
pub use messages::{Redact, Send};
pub use presence::{Events, Nick, Typing, Who};
pub use reading::{Ack, Fetch, History, Read, Seek};
pub use rooms::{Create, Delete, Retain, Rooms, Topic};
pub use session::{Format, Hello, Help, Ping, Quit, Stats};
pub use streams::{Follow, Unfollow, Unwatch, Watch};
pub use work::{Ask, Local, Work, Write};

/// A command, as the protocol knows it.
pub(crate) trait Request {
    /// How it is typed and parsed, and its text in HELP.
    const VERB: Verb;

    /// The verb that begins its line.
    fn verb(&self) -> &'static Verb {
        &Self::VERB
    }

    /// Writes its arguments.
    fn write(&self, line: &mut Line);

    /// Checks the names and texts in it.
    ///
    /// # Errors
    /// `bad-argument`, with a sentence that says what is wrong.
    fn check(&self) -> Result<(), Refusal>;

    /// The names in it.
    fn names(&mut self) -> Names<'_>;

    /// The client or person that it may introduce: a name that the daemon has not seen before.
    fn introduces(&self) -> Option<&str> {
        None
    }

    /// Whether it names a seq or a room's number that its client remembers.
    fn names_a_seq(&self) -> bool {
        false
    }

    /// Whether a refusal with this code means, for a repeated request, that it was carried out the first time.
    fn refusal_means_done(&self, _: ErrorCode) -> bool {
        false
    }

    /// Sorts it by who carries it out.
    fn work(self) -> Work;
}

/// The names in a command that must be brought into the form in which they are stored.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// The room.
    pub room: Option<&'a mut String>,
    /// A group in it.
    pub group: Option<&'a mut String>,
    /// A person.
    pub person: Option<&'a mut String>,
}

/// Makes the enum of all commands and the table of all verbs. A command without fields becomes a variant without fields: in JSON it
/// is its name alone.
macro_rules! commands {
    (@bind $request:ident $name:ident) => { Command::$name };
    (@bind $request:ident $name:ident $of:ident) => { Command::$name($request) };
    (@value $request:ident $name:ident) => { $name };
    (@value $request:ident $name:ident $of:ident) => { $request };
    (@names $request:ident $name:ident) => { Names::default() };
    (@names $request:ident $name:ident $of:ident) => { $request.names() };
    (@first $request:ident $name:ident) => { None };
    (@first $request:ident $name:ident $of:ident) => { $request.introduces() };
    (@from $name:ident) => {};
    (@from $name:ident $of:ident) => {
        impl From<$of> for Command {
            fn from(request: $of) -> Command {
                Command::$name(request)
            }
        }
    };
    ($($name:ident $(($of:ident))? $(and $also:ident)?,)*) => {
        /// A request of a client.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($name), "`](struct@", stringify!($name), ").")] $name $(($of))?,)*
        }

        /// Every verb there is. SEND has another form, SENDB; every other command has one verb.
        pub const VERBS: &[Verb] = &[$(<$name as Request>::VERB, $($also,)?)*];

        impl Command {
            /// The verb that begins its line.
            pub(crate) fn verb(&self) -> &'static Verb {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@value request $name $($of)?).verb(),)*
                }
            }

            /// Writes its arguments.
            pub(crate) fn write(&self, line: &mut Line) {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@value request $name $($of)?).write(line),)*
                }
            }

            /// Checks the names and texts in it.
            ///
            /// # Errors
            /// `bad-argument`, with a sentence that says what is wrong.
            pub fn check(&self) -> Result<(), Refusal> {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@value request $name $($of)?).check(),)*
                }
            }

            /// The names in it that must be brought into the form in which they are stored.
            pub fn names(&mut self) -> Names<'_> {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@names request $name $($of)?),)*
                }
            }

            /// The client or person that it may introduce: a name that the daemon has not seen before.
            pub fn introduces(&self) -> Option<&str> {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@first request $name $($of)?),)*
                }
            }

            /// Whether it names a seq or a room's number that its client remembers: in another epoch it would mean something else.
            pub fn names_a_seq(&self) -> bool {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@value request $name $($of)?).names_a_seq(),)*
                }
            }

            /// Whether a refusal with this code means, for a repeated request, that it was carried out the first time.
            pub fn refusal_means_done(&self, code: ErrorCode) -> bool {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@value request $name $($of)?).refusal_means_done(code),)*
                }
            }

            /// Sorts it by who carries it out.
            pub fn work(self) -> Work {
                match self {
                    $(commands!(@bind request $name $($of)?) => commands!(@value request $name $($of)?).work(),)*
                }
            }
        }

        $(commands!(@from $name $($of)?);)*
    };
}

commands! {
    Hello(Hello),
    Nick(Nick),
    Create(Create),
    Join(Join),
    Leave(Leave),
    Send(Send) and SENDB,
    Fetch(Fetch),
    Read(Read),
    Ack(Ack),
    Follow(Follow),
    Unfollow(Unfollow),
    Rooms(Rooms),
    Watch,
    Unwatch,
    Who(Who),
    Stats,
    Ping,
    Help(Help),
    Quit,
    Topic(Topic),
    Invite(Invite),
    Kick(Kick),
    Ban(Ban),
    Unban(Unban),
    Access(Access),
    Retain(Retain),
    History(History),
    Seek(Seek),
    Redact(Redact),
    Events(Events),
    Typing(Typing),
    Format(Format),
    Group(Group),
    Ungroup(Ungroup),
    Groups(Groups),
    Take(Take),
    Done(Done),
    Pending(Pending),
    Delete(Delete),
}

impl Command {
    /// A JOIN whose cursor begins with everything that is stored.
    pub fn join(room: impl Into<String>) -> Command {
        Command::Join(Join { room: room.into(), from: Begin::Start })
    }

    /// A SEND of a message that is not a reply.
    pub fn send(room: impl Into<String>, id: Option<&str>, body: impl Into<Bytes>) -> Command {
        Command::Send(Send { room: room.into(), id: id.map(str::to_owned), body: body.into(), reply: None })
    }

    /// Whether a client may send it before HELLO.
    pub fn is_allowed_before_hello(&self) -> bool {
        FIRST_VERBS.contains(&self.verb().name)
    }

    /// How many bytes of a message it carries.
    pub fn body_bytes(&self) -> usize {
        if let Command::Send(Send { body, .. }) = self { body.len() } else { 0 }
    }

    /// Whether it changes what is stored.
    pub fn is_write(&self) -> bool {
        matches!(self.clone().work(), Work::Write(_) | Work::Ask(Ask::Ack { .. }))
    }
}
