//! Every bound of the daemon, each with its reason. Those of the wire are in [`dantok_protocol::limits`], and those of the store in
//! [`dantok_store::limits`].
//!
//! Sizes are bytes, and a name ends in its unit. What an operator may change is a field of [`Limits`]; what
//! other constants or the formats on disk rely on is a constant, and the relations between them are asserted at compile time.

use std::time::Duration;

use dantok_net::Keepalive;
use dantok_protocol::limits::BODY_MAX_BYTES;
use dantok_store::limits::{JOURNAL_FILE_BYTES, SLED_VALUE_MAX_BYTES};

/// A message body, where `--max-body` is not given.
pub const BODY_DEFAULT_BYTES: usize = 64 * 1024;
/// When a HELLO is denied, counted from its arrival: later than any denial is ready, so that the time tells nothing, and seldom
/// enough for who tries tokens.
pub const DENIED_AFTER: Duration = Duration::from_millis(300);
/// How often the file of the tokens is looked at for the connections that are open.
pub const TOKENS_CHECKED_EVERY: Duration = Duration::from_millis(250);

/// Bytes of message bodies in one commit, past which no further request is taken into it.
pub const COMMIT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// The same where one person fills a commit alone, and others have come within [`SHARED_FOR`]: the next of them waits for it.
pub const COMMIT_SHARED_MAX_BYTES: usize = 1024 * 1024;
/// How long others are expected to come again.
pub const SHARED_FOR: Duration = Duration::from_secs(1);
/// Bytes of requests in one person's turn, past which the others come first.
pub const TURN_BYTES: usize = 256 * 1024;
/// Bytes of requests that a connection hands over at once; one request may be more.
pub const BATCH_MAX_BYTES: usize = 256 * 1024;
/// Requests in one commit: bounds how long the first of them waits for the last.
pub const COMMIT_MAX_REQUESTS: usize = 4096;
/// Bodies submitted by all connections and not yet answered: what the commit queue may hold in memory.
pub const IN_FLIGHT_MAX_BYTES: usize = 32 * 1024 * 1024;
/// The same of one person: so that nobody holds all of it while others wait.
pub const IN_FLIGHT_OF_ONE_MAX_BYTES: usize = IN_FLIGHT_MAX_BYTES / 4;
/// Commands of one connection that may wait for their commit; further ones stay in the socket.
pub const PIPELINE_MAX_REQUESTS: usize = 1024;

/// What a reader takes from the store at a time, in messages …
pub const PAGE_MAX_MESSAGES: usize = 1024;
/// … and in bytes of bodies (at least one message is always handed over).
pub const PAGE_MAX_BYTES: usize = 128 * 1024;
/// Pages that are kept as they were pushed, for other followers: a page is a few times [`PAGE_MAX_BYTES`] at the most.
pub const PUSHED_MAX_PAGES: usize = 32;
/// Persons that are invited to one room. Each member may invite …
pub const INVITED_MAX: usize = 10_000;
/// … so that its owner, or an admin, may invite so many more: whatever members do, they can.
pub const INVITED_BY_OWNER_MAX: usize = INVITED_MAX + 1000;
/// Persons that are banned from one room: no invitation takes their place.
pub const BANNED_MAX: usize = 10_000;
/// Groups that one room may have.
pub const GROUPS_MAX: usize = 100;
/// Messages beyond a group's cursor that may be taken or done: bounds its record, when the first of them is never done.
pub const GROUP_WINDOW: u64 = 2048;
/// How long a message that was taken is nobody else's, where GROUP does not say …
pub const GROUP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// … and the longest that it may say.
pub const GROUP_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes that are read while a TAKE waits: so that a key which interrupts it is found, and no more.
pub const TAKING_INPUT_MAX_BYTES: usize = 64 * 1024;
/// Messages that one TAKE hands over at the most.
pub const TAKE_MAX: usize = 256;
/// How long a TAKE may wait for messages.
pub const TAKE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Of every connection: two minutes are soon enough to show who is away, and cost an idle connection next to nothing.
pub const KEEPALIVE: Keepalive = Keepalive { idle: Duration::from_secs(60), every: Duration::from_secs(15), probes: 4 };
/// Of a connection from its first TAKE on: what it is handed when it is not there is kept from other workers.
pub const KEEPALIVE_TAKING: Keepalive =
    Keepalive { idle: Duration::from_secs(15), every: Duration::from_secs(5), probes: 3 };

/// Deleted rooms whose names are kept for those who WATCH: a connection that was not told of so many is closed. The list that it has
/// would be wrong for good.
pub const DELETED_KEPT: usize = 10_000;
/// Events of a room that are kept for those who listen; who is slower misses the oldest.
pub const EVENTS_MAX: usize = 256;
/// A TYPING that follows another on a connection sooner is not told again.
pub const TYPING_EVERY: Duration = Duration::from_secs(1);
/// Replies waiting to be written, past which a connection writes before it does anything else.
pub const OUTPUT_HIGH_WATER_BYTES: usize = 64 * 1024;

/// The promise that gives the daemon its name for keeping: no message is dropped before this age, in hours.
pub const RETENTION_FLOOR: Duration = Duration::from_secs(24 * 3600);

const _: () = {
    assert!(BODY_DEFAULT_BYTES <= BODY_MAX_BYTES);
    // A commit that is full but for one byte still takes one more batch, and that one more body.
    assert!(((COMMIT_MAX_BYTES + BATCH_MAX_BYTES + BODY_MAX_BYTES) * 2) as u64 <= JOURNAL_FILE_BYTES);
    // A group's record: at the worst, every other message of the window is done.
    assert!(GROUP_WINDOW as usize / 2 * 16 + 64 <= SLED_VALUE_MAX_BYTES);
    assert!(BATCH_MAX_BYTES + BODY_MAX_BYTES < IN_FLIGHT_OF_ONE_MAX_BYTES);
};

/// The bounds that an operator sets; each is a flag of `dantok serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message body, in bytes.
    pub body_max_bytes: usize,
    /// Connections at once; one more is told so and closed.
    pub connections_max: usize,
    /// Connections at once from one address; 0: no limit.
    pub connections_per_address_max: usize,
    /// Rooms that may exist.
    pub rooms_max: usize,
    /// Rooms that one person may own, who is no admin; 0: no limit of its own.
    pub rooms_of_person_max: usize,
    /// Rooms that one client (or device) may be a member of.
    pub joined_rooms_max: usize,
    /// Longest time that a RETAIN may keep a room's messages.
    pub room_retention_max: Duration,
    /// Requests a second of one person, over all its devices and connections; 0: no limit.
    pub requests_per_second: u32,
    /// Bytes of message bodies a second sent by one person, counted likewise; 0: no limit.
    pub bytes_per_second: u64,
    /// Time that a connection has to say HELLO.
    pub hello_timeout: Duration,
    /// Time that open connections have at shutdown to take their last answers.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_max_bytes: BODY_DEFAULT_BYTES,
            connections_max: 16_384,
            connections_per_address_max: 0,
            rooms_max: 100_000,
            rooms_of_person_max: 1000,
            joined_rooms_max: 10_000,
            room_retention_max: Duration::from_secs(365 * 24 * 3600),
            requests_per_second: 0,
            bytes_per_second: 0,
            hello_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
