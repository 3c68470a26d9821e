//! Every bound of the daemon, each with its reason. Those of the wire are in [`dantok_protocol::limits`], and those of the store in
//! [`dantok_store::limits`].
//!
//! Sizes are bytes, and a name ends in its unit. What an operator may change is a field of [`Limits`]; what
//! other constants or the formats on disk rely on is a constant, and the relations between them are asserted at compile time.

use std::time::Duration;

use dantok_net::Keepalive;
use dantok_protocol::limits::BODY_MAX_BYTES;
use dantok_store::limits::{JOURNAL_FILE_BYTES, SLED_VALUE_MAX_BYTES};

/// The longest message body, if `--max-body` is not given.
pub const BODY_DEFAULT_BYTES: usize = 64 * 1024;
/// How long after its arrival a HELLO is denied: longer than any check takes, so that the time reveals nothing, and long enough to slow
/// down whoever guesses tokens.
pub const DENIED_AFTER: Duration = Duration::from_millis(300);
/// How often the tokens file is checked for changes that concern open connections.
pub const TOKENS_CHECKED_EVERY: Duration = Duration::from_millis(250);

/// Bytes of message bodies in one commit, past which it takes no further request.
pub const COMMIT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// The same if one person fills a commit alone and others have sent requests within [`SHARED_FOR`]: the next of those waits for it.
pub const COMMIT_SHARED_MAX_BYTES: usize = 1024 * 1024;
/// How long others are expected to send again.
pub const SHARED_FOR: Duration = Duration::from_secs(1);
/// Bytes of requests in one person's turn; then it is the next person's.
pub const TURN_BYTES: usize = 256 * 1024;
/// Bytes of requests that a connection submits to the committer at once; a single request may be larger.
pub const BATCH_MAX_BYTES: usize = 256 * 1024;
/// Requests in one commit: bounds how long the first of them waits for the last.
pub const COMMIT_MAX_REQUESTS: usize = 4096;
/// Bytes of bodies submitted by all connections and not yet answered: the memory that the commit queue may take.
pub const IN_FLIGHT_MAX_BYTES: usize = 32 * 1024 * 1024;
/// The same for one person, so that nobody fills the queue while others wait.
pub const IN_FLIGHT_OF_ONE_MAX_BYTES: usize = IN_FLIGHT_MAX_BYTES / 4;
/// Commands of one connection that may wait for their commit; further ones stay in the socket.
pub const PIPELINE_MAX_REQUESTS: usize = 1024;

/// A page that a reader takes from the store: at most this many messages …
pub const PAGE_MAX_MESSAGES: usize = 1024;
/// … and this many bytes of bodies, but at least one message.
pub const PAGE_MAX_BYTES: usize = 128 * 1024;
/// Encoded pages that are kept after a push, for other followers. Each takes a few times [`PAGE_MAX_BYTES`] at most.
pub const PUSHED_MAX_PAGES: usize = 32;
/// People who may be invited to one room. Every member may invite …
pub const INVITED_MAX: usize = 10_000;
/// … so the owner and admins get a higher limit: whatever members do, they can still invite.
pub const INVITED_BY_OWNER_MAX: usize = INVITED_MAX + 1000;
/// People who may be banned from one room. Invitations do not use up these places.
pub const BANNED_MAX: usize = 10_000;
/// Groups that one room may have.
pub const GROUPS_MAX: usize = 100;
/// Messages beyond a group's cursor that may be taken or done. Bounds the group's record if the first of them is never done.
pub const GROUP_WINDOW: u64 = 2048;
/// How long a taken message is withheld from other workers, unless GROUP says otherwise …
pub const GROUP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// … and the longest that GROUP may say.
pub const GROUP_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes that are read while a TAKE waits: enough to find a key that interrupts it, and no more.
pub const TAKING_INPUT_MAX_BYTES: usize = 64 * 1024;
/// Messages that one TAKE hands over at most.
pub const TAKE_MAX: usize = 256;
/// How long a TAKE may wait for messages.
pub const TAKE_WAIT_MAX: Duration = Duration::from_secs(60);

/// TCP keepalive of every connection: two minutes is soon enough to notice that a peer is gone, and costs an idle connection next to
/// nothing.
pub const KEEPALIVE: Keepalive = Keepalive { idle: Duration::from_secs(60), every: Duration::from_secs(15), probes: 4 };
/// TCP keepalive of a connection from its first TAKE on: what is handed to a peer that is gone is withheld from other workers.
pub const KEEPALIVE_TAKING: Keepalive =
    Keepalive { idle: Duration::from_secs(15), every: Duration::from_secs(5), probes: 3 };

/// A WebSocket that was silent for so long is asked whether it is there …
pub const PING_EVERY: Duration = Duration::from_secs(30);
/// … and one that is silent for so long, or reads nothing of what waits for it, is given up: a browser's machine may have gone to sleep.
pub const SILENCE_MAX: Duration = Duration::from_secs(75);
/// Small frames of a WebSocket, such as pings: a few belong to any connection, but handling a flood costs more than sending it …
pub const SMALL_FRAMES_MAX: u32 = 256;
/// … within this time.
pub const SMALL_FRAMES_WITHIN: Duration = Duration::from_secs(10);
/// The most bytes of an HTTP request's head, and of what is read ahead of a connection for HTTP …
pub const HTTP_HEAD_MAX_BYTES: usize = 16 * 1024;
/// … and its most fields.
pub const HTTP_FIELDS_MAX: usize = 64;
/// How long a peer may leave an HTTP response unread.
pub const HTTP_STALL_MAX: Duration = Duration::from_secs(60);

/// Deleted rooms whose names are kept for clients that WATCH. A connection that falls behind by this many is closed, because its list
/// would be wrong for good.
pub const DELETED_KEPT: usize = 10_000;
/// Events of a room that are kept for listeners; one that is slower misses the oldest.
pub const EVENTS_MAX: usize = 256;
/// A TYPING that follows another on the same connection sooner than this is not passed on.
pub const TYPING_EVERY: Duration = Duration::from_secs(1);
/// Bytes of replies waiting to be written, past which a connection writes before it does anything else.
pub const OUTPUT_HIGH_WATER_BYTES: usize = 64 * 1024;

/// The daemon's promise about retention: no message is dropped before this age.
pub const RETENTION_FLOOR: Duration = Duration::from_secs(24 * 3600);

const _: () = {
    assert!(BODY_DEFAULT_BYTES <= BODY_MAX_BYTES);
    // A commit that is one byte short of full still takes one more batch, and that batch one more body.
    assert!(((COMMIT_MAX_BYTES + BATCH_MAX_BYTES + BODY_MAX_BYTES) * 2) as u64 <= JOURNAL_FILE_BYTES);
    // A group's record is largest if every other message of the window is done.
    assert!(GROUP_WINDOW as usize / 2 * 16 + 64 <= SLED_VALUE_MAX_BYTES);
    assert!(BATCH_MAX_BYTES + BODY_MAX_BYTES < IN_FLIGHT_OF_ONE_MAX_BYTES);
};

/// The bounds that an operator sets; each is a flag of `dantok serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message body, in bytes.
    pub body_max_bytes: usize,
    /// Open connections. A further one is told of the limit and closed.
    pub connections_max: usize,
    /// Open connections from one address; 0 for no limit.
    pub connections_per_address_max: usize,
    /// Rooms that may exist.
    pub rooms_max: usize,
    /// Rooms that a person who is not an admin may own; 0 for no such limit.
    pub rooms_of_person_max: usize,
    /// Rooms that one client (or device) may be a member of.
    pub joined_rooms_max: usize,
    /// Longest time that a RETAIN may keep a room's messages.
    pub room_retention_max: Duration,
    /// Requests per second of one person, over all their devices and connections; 0 for no limit.
    pub requests_per_second: u32,
    /// Bytes of message bodies per second sent by one person, counted likewise; 0 for no limit.
    pub bytes_per_second: u64,
    /// How long a connection may take to send HELLO.
    pub hello_timeout: Duration,
    /// How long open connections have at shutdown to read their last answers.
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
