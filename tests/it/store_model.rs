//! The store and the committer against a simple model in memory: append, retry, acknowledge, expire, reopen, in random order.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::common::open_store;
use bytes::Bytes;
use dantok::committer::Committer;
use dantok::figures::Figures;
use dantok::permission::Author;
use dantok::retention;
use dantok::rooms::Rooms;
use dantok::settings::Live;
use dantok_protocol::commands::Work;
use dantok_protocol::{Begin, Command, ErrorCode, Reply, commands};
use dantok_store::commit::{Commit, Op};
use dantok_store::journal::{Journal, Recovered};
use dantok_store::record::{Kind, RoomRecord, Stored};
use dantok_store::segments::Segments;
use dantok_store::tables::{Journaled, Tables};
use dantok_store::{Options, Page, Store, chunk};
use proptest::prelude::*;

/// Small journal files, so that even a short test rotates through several.
const OPTIONS: Options = Options { journal_file_bytes: 256 * 1024 };
const ROOMS: [&str; 3] = ["lobby", "단톡", "r3"];
const CLIENTS: [&str; 3] = ["alice", "bob", "bob/phone"];

struct Daemon {
    runtime: tokio::runtime::Runtime,
    store: Arc<Store>,
    rooms: Arc<Rooms>,
    committer: Committer,
    thread: JoinHandle<()>,
}

impl Daemon {
    fn open(dir: &Path) -> Daemon {
        let (store, writer, state) = open_store(dir, &OPTIONS);
        let rooms = Arc::new(Rooms::new(state));
        let (committer, thread) = Committer::start(
            writer,
            store.clone(),
            rooms.clone(),
            Arc::new(Live::default()),
            Arc::new(Figures::default()),
        )
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Daemon { runtime, store, rooms, committer, thread }
    }

    /// Submits all before it waits for the first answer, so that they may share a commit.
    fn write(&self, client: &str, writes: Vec<Command>) -> Vec<Reply> {
        self.runtime.block_on(async {
            let author = || Author { client: client.into(), admin: false, hook: None };
            let mut answers = Vec::new();
            for write in writes {
                let Work::Write(write) = write.work() else { panic!("it is not a write") };
                answers.push(self.committer.submit(author(), Arc::default(), vec![write]).await);
            }
            let mut replies = Vec::new();
            for answer in answers {
                replies.extend(answer.await.unwrap());
            }
            replies
        })
    }

    fn read(&self, room: &str, cutoff_ms: u64, max_messages: usize, max_bytes: usize) -> Vec<Stored> {
        let Some(room) = self.rooms.get(room) else { return Vec::new() };
        let (mut after, through) = (0, room.last_seq());
        let mut all = Vec::new();
        while after < through {
            let page = Page { room: room.id, after, through, cutoff_ms, max_messages, max_bytes };
            let messages = self.store.read(&page).unwrap();
            assert!(messages.len() <= max_messages);
            let Some(newest) = messages.last() else { break };
            after = newest.seq;
            all.extend(messages.to_stored());
        }
        all
    }

    fn close(self) {
        drop(self.committer);
        self.thread.join().unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        room: usize,
        client: usize,
        id: Option<u8>,
        sizes: Vec<usize>,
    },
    Retry {
        room: usize,
        nth: usize,
    },
    /// The id of a message that has expired, for another.
    Reuse {
        room: usize,
        nth: usize,
    },
    Redact {
        room: usize,
        nth: usize,
    },
    Ack {
        room: usize,
        client: usize,
        seq: u64,
    },
    Join {
        room: usize,
        client: usize,
    },
    Leave {
        room: usize,
        client: usize,
    },
    Mark,
    Expire,
    Settle,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let room = 0..ROOMS.len();
    let client = 0..CLIENTS.len();
    let size = prop_oneof![8 => 0..400usize, 2 => 0..20_000usize, 1 => 60_000..65_537usize];
    prop_oneof![
        8 => (room.clone(), client.clone(), proptest::option::of(any::<u8>()), proptest::collection::vec(size, 1..20))
            .prop_map(|(room, client, id, sizes)| Step::Send { room, client, id, sizes }),
        3 => (room.clone(), 0..1000usize).prop_map(|(room, nth)| Step::Retry { room, nth }),
        3 => (room.clone(), 0..1000usize).prop_map(|(room, nth)| Step::Reuse { room, nth }),
        3 => (room.clone(), 0..1000usize).prop_map(|(room, nth)| Step::Redact { room, nth }),
        4 => (room.clone(), client.clone(), 0..60u64).prop_map(|(room, client, seq)| Step::Ack { room, client, seq }),
        3 => (room.clone(), client.clone()).prop_map(|(room, client)| Step::Join { room, client }),
        1 => (room.clone(), client.clone()).prop_map(|(room, client)| Step::Leave { room, client }),
        5 => Just(Step::Mark),
        3 => Just(Step::Expire),
        1 => Just(Step::Settle),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Sent {
    client: &'static str,
    id: Option<String>,
    body: Bytes,
    kind: Kind,
    kept_before_ms: u64,
}

#[derive(Default)]
struct Model {
    rooms: BTreeMap<&'static str, Vec<Sent>>,
    cursors: HashMap<(&'static str, &'static str), u64>,
    /// Everything taken before this has expired.
    cutoff_ms: u64,
    mark_ms: u64,
    floors: HashMap<&'static str, u64>,
}

impl Model {
    fn expire(&mut self) {
        self.cutoff_ms = self.cutoff_ms.max(self.mark_ms);
        for (room, sent) in &self.rooms {
            let floor = sent.iter().take_while(|sent| sent.kept_before_ms <= self.cutoff_ms).count() as u64;
            let known = self.floors.entry(room).or_default();
            *known = (*known).max(floor);
        }
    }

    /// What rooms take is what their messages do, where none has expired.
    fn check_bytes(&self, daemon: &Daemon) {
        for room in ROOMS.into_iter().filter(|room| self.floors.get(room).is_none_or(|floor| *floor == 0)) {
            let Some(found) = daemon.rooms.get(room) else { continue };
            let messages = daemon.read(room, self.cutoff_ms, 1000, usize::MAX);
            let bytes: usize = messages.iter().map(chunk::stored_bytes).sum();
            assert_eq!(daemon.store.stored_bytes(found.id), bytes as u64, "{room}");
        }
    }

    fn check(&self, daemon: &Daemon, pages: (usize, usize)) {
        for room in ROOMS {
            let sent = self.rooms.get(room).map(Vec::as_slice).unwrap_or_default();
            let floor = self.floors.get(room).copied().unwrap_or(0);
            let read = daemon.read(room, self.cutoff_ms, pages.0, pages.1);
            let expected: Vec<(u64, &Sent)> = (1..).zip(sent).filter(|(seq, _)| *seq > floor).collect();
            assert_eq!(read.len(), expected.len(), "{room}");
            for (stored, (seq, sent)) in read.iter().zip(expected) {
                assert_eq!((stored.seq, &*stored.client, &stored.body), (seq, sent.client, &sent.body));
                assert_eq!(stored.kind, sent.kind);
                assert_eq!(stored.id.as_deref(), sent.id.as_deref());
            }
            assert!(read.is_sorted_by_key(|stored| stored.time_ms));
            if let Some(found) = daemon.rooms.get(room) {
                assert_eq!(found.last_seq(), sent.len() as u64, "{room}");
                for client in CLIENTS {
                    assert_eq!(found.cursor(client), self.cursors.get(&(room, client)).copied(), "{room} {client}");
                }
            }
        }
    }
}

fn run(steps: Vec<Step>, pages: (usize, usize)) {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::open(dir.path());
    let mut model = Model::default();
    let mut serial = 0u64;
    for step in steps {
        match step {
            Step::Send { room, client, id, sizes } => {
                let (room, client) = (ROOMS[room], CLIENTS[client]);
                let mut writes = Vec::new();
                let mut sent = Vec::new();
                for size in sizes {
                    serial += 1;
                    let body: Bytes =
                        serial.to_le_bytes().iter().copied().cycle().take(size).collect::<Vec<u8>>().into();
                    let id = id.map(|id| format!("{id}-{serial}"));
                    writes.push(Command::Send(commands::Send {
                        room: room.to_owned(),
                        id: id.clone(),
                        body: body.clone(),
                        reply: None,
                    }));
                    sent.push(Sent { client, id, body, kind: Kind::Plain, kept_before_ms: 0 });
                }
                let replies = daemon.write(client, writes);
                // A millisecond is the clock's step: what comes later is taken later than this.
                let now_ms = daemon.store.clock().now_ms();
                for (reply, mut sent) in replies.into_iter().zip(sent) {
                    if !model.cursors.contains_key(&(room, client)) {
                        let code =
                            if model.rooms.contains_key(room) { ErrorCode::NotJoined } else { ErrorCode::NoRoom };
                        assert!(matches!(reply, Reply::Error(refusal) if refusal.code == code));
                        continue;
                    }
                    sent.kept_before_ms = now_ms + 1;
                    let messages = model.rooms.get_mut(room).unwrap();
                    messages.push(sent);
                    assert_eq!(reply, Reply::Sent { seq: messages.len() as u64, dup: false });
                }
            }
            Step::Retry { room, nth } => {
                let room = ROOMS[room];
                let Some(messages) = model.rooms.get(room).filter(|messages| !messages.is_empty()) else { continue };
                let sent = &messages[nth % messages.len()];
                // The last one that has this id.
                let nth =
                    messages.iter().rposition(|other| (other.client, &other.id) == (sent.client, &sent.id)).unwrap();
                let seq = nth as u64 + 1;
                let sent = messages[nth].clone();
                let member = model.cursors.contains_key(&(room, sent.client));
                let expired = seq <= model.floors.get(room).copied().unwrap_or(0);
                if sent.id.is_none() || !member || expired {
                    continue;
                }
                let retry = Command::Send(commands::Send {
                    room: room.to_owned(),
                    id: sent.id.clone(),
                    body: sent.body.clone(),
                    reply: None,
                });
                let other = Command::Send(commands::Send {
                    room: room.to_owned(),
                    id: sent.id.clone(),
                    body: Bytes::from_static(b"another"),
                    reply: None,
                });
                let replies = daemon.write(sent.client, vec![retry.clone(), other, retry]);
                assert_eq!(replies[0], Reply::Sent { seq, dup: true });
                match sent.kind {
                    // What is gone can't be compared.
                    Kind::Redacted(_) => assert_eq!(replies[1], Reply::Sent { seq, dup: true }),
                    _ => assert!(matches!(&replies[1], Reply::Error(refusal) if refusal.code == ErrorCode::IdReused)),
                }
                assert_eq!(replies[2], Reply::Sent { seq, dup: true });
            }
            Step::Reuse { room, nth } => {
                let room = ROOMS[room];
                let floor = model.floors.get(room).copied().unwrap_or(0);
                let Some(messages) = model.rooms.get_mut(room).filter(|messages| !messages.is_empty()) else {
                    continue;
                };
                let nth = nth % messages.len();
                let Sent { client, id, .. } = messages[nth].clone();
                let is_free = messages.iter().rposition(|other| (other.client, &other.id) == (client, &id));
                if id.is_none()
                    || !model.cursors.contains_key(&(room, client))
                    || is_free.is_none_or(|last| last as u64 + 1 > floor)
                {
                    continue;
                }
                serial += 1;
                let body = Bytes::from(format!("again {serial}"));
                let send = Command::Send(commands::Send {
                    room: room.to_owned(),
                    id: id.clone(),
                    body: body.clone(),
                    reply: None,
                });
                let seq = messages.len() as u64 + 1;
                let replies = daemon.write(client, vec![send.clone(), send]);
                assert_eq!(replies, [false, true].map(|dup| Reply::Sent { seq, dup }));
                let kept_before_ms = daemon.store.clock().now_ms() + 1;
                messages.push(Sent { client, id, body, kind: Kind::Plain, kept_before_ms });
            }
            Step::Redact { room, nth } => {
                let room = ROOMS[room];
                let floor = model.floors.get(room).copied().unwrap_or(0);
                let Some(messages) = model.rooms.get_mut(room).filter(|messages| !messages.is_empty()) else {
                    continue;
                };
                let nth = nth % messages.len();
                let (seq, last) = (nth as u64 + 1, messages.len() as u64);
                let client = messages[nth].client;
                if !model.cursors.contains_key(&(room, client)) {
                    continue;
                }
                // Twice, so that they may share a commit.
                let redact = Command::Redact(commands::Redact { room: room.to_owned(), seq });
                let replies = daemon.write(client, vec![redact.clone(), redact]);
                let expected = match messages[nth].kind {
                    Kind::Redaction(_) => None,
                    Kind::Redacted(by) => {
                        Some([Reply::Sent { seq: by, dup: true }, Reply::Sent { seq: by, dup: true }])
                    }
                    // The model learns of expiry when it looks.
                    _ if seq <= floor => None,
                    _ => {
                        let by = last + 1;
                        messages[nth].body = Bytes::new();
                        messages[nth].kind = Kind::Redacted(by);
                        let kept_before_ms = daemon.store.clock().now_ms() + 1;
                        let (kind, body) = (Kind::Redaction(seq), Bytes::new());
                        messages.push(Sent { client, id: None, body, kind, kept_before_ms });
                        Some([Reply::Sent { seq: by, dup: false }, Reply::Sent { seq: by, dup: true }])
                    }
                };
                match expected {
                    Some(expected) if seq > floor => assert_eq!(replies, expected),
                    _ => {
                        assert!(matches!(&replies[0], Reply::Error(refusal) if refusal.code == ErrorCode::BadArgument))
                    }
                }
            }
            Step::Ack { room, client, seq } => {
                let (room, client) = (ROOMS[room], CLIENTS[client]);
                let reply = daemon
                    .write(client, vec![Command::Ack(commands::Ack { room: room.to_owned(), seq: Some(seq) })])
                    .remove(0);
                let last = model.rooms.get(room).map_or(0, Vec::len) as u64;
                match model.cursors.get_mut(&(room, client)) {
                    None => assert!(matches!(reply, Reply::Error(_))),
                    Some(_) if seq > last => {
                        assert!(matches!(reply, Reply::Error(refusal) if refusal.code == ErrorCode::SetBack));
                    }
                    Some(cursor) => {
                        *cursor = seq.max(*cursor);
                        assert_eq!(reply, Reply::Acked { cursor: *cursor });
                    }
                }
            }
            Step::Join { room, client } => {
                let (room, client) = (ROOMS[room], CLIENTS[client]);
                let reply = daemon
                    .write(client, vec![Command::Join(commands::Join { room: room.to_owned(), from: Begin::Start })])
                    .remove(0);
                let last = model.rooms.entry(room).or_default().len() as u64;
                let cursor = *model.cursors.entry((room, client)).or_default();
                assert!(
                    matches!(reply, Reply::Joined { cursor: Some(c), last: l, .. } if (c, l) == (cursor, last)),
                    "{reply:?}"
                );
            }
            Step::Leave { room, client } => {
                let (room, client) = (ROOMS[room], CLIENTS[client]);
                let reply =
                    daemon.write(client, vec![Command::Leave(commands::Leave { room: room.to_owned() })]).remove(0);
                match model.cursors.remove(&(room, client)) {
                    Some(_) => assert_eq!(reply, Reply::Done),
                    None => assert!(matches!(reply, Reply::Error(_))),
                }
            }
            Step::Mark => {
                // Past the millisecond of whatever was sent before, and in one of its own.
                let now_ms = daemon.store.clock().now_ms();
                while daemon.store.clock().now_ms() < now_ms + 2 {
                    std::thread::yield_now();
                }
                model.mark_ms = now_ms + 1;
            }
            Step::Expire => {
                model.expire();
                daemon.store.settle();
                retention::pass(&daemon.store, |_| model.cutoff_ms);
                daemon.store.settle();
            }
            Step::Settle => {
                daemon.store.settle();
                model.check_bytes(&daemon);
            }
            Step::Reopen => {
                daemon.close();
                daemon = Daemon::open(dir.path());
            }
        }
        model.check(&daemon, pages);
    }
    daemon.close();
    model.check(&Daemon::open(dir.path()), pages);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_behaves_like_the_model(
        steps in proptest::collection::vec(step(), 1..60),
        page_messages in 1..600usize,
        page_bytes in 1..200_000usize,
    ) {
        run(steps, (page_messages, page_bytes));
    }

    /// A kill between two checkpoints: sled has some of what the journal has, in other groups, and is not said to.
    #[test]
    fn replaying_the_journal_again_does_no_harm(
        commits in proptest::collection::vec(proptest::collection::vec((0..3u64, 0..9000usize, 0..4u8), 1..12), 1..24),
        applied in 0..24usize,
        group in 1..6usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (journal_dir, sled_dir) = (dir.path().join("journal"), dir.path().join("sled"));
        std::fs::create_dir_all(&journal_dir).unwrap();
        std::fs::create_dir_all(&sled_dir).unwrap();
        let mut lasts = [0u64; 3];
        let mut cursors = [None; 3];
        let mut all: Vec<Arc<Commit>> = vec![Arc::new(Commit {
            kept_ms: 1,
            ops: (0..3).map(|room| Op::Room { room, record: RoomRecord { name: ROOMS[room as usize].into(), ..RoomRecord::default() } }).collect(),
        })];
        for (kept_ms, ops) in (2..).zip(commits) {
            let ops = ops.into_iter().map(|(room, size, kind)| {
                let (place, client) = (room as usize, Arc::from("alice"));
                match (kind, cursors[place]) {
                    (0, None) => {
                        cursors[place] = Some(0);
                        Op::Join { room, client }
                    }
                    (0, Some(_)) => {
                        cursors[place] = None;
                        Op::Leave { room, client }
                    }
                    (1, Some(cursor)) if cursor < lasts[place] => {
                        cursors[place] = Some(lasts[place]);
                        Op::Cursor { room, client, seq: lasts[place] }
                    }
                    _ => {
                        lasts[place] += 1;
                        let seq = lasts[place];
                        let id = Some(Arc::from(format!("{seq}")));
                        let body = vec![seq as u8; size].into();
                        Op::Message { room, message: Stored { seq, time_ms: kept_ms, kept_ms, client, id, body, kind: Kind::Plain } }
                    }
                }
            });
            all.push(Arc::new(Commit { kept_ms, ops: ops.collect() }));
        }
        let mut journal = Journal::begin(&journal_dir, Recovered::default(), 1 << 20).unwrap();
        let mut journaled = Vec::new();
        for commit in &all {
            let mut payload = Vec::new();
            let chunks = commit.encode(&mut payload);
            let (_, spot) = journal.append(&payload).unwrap();
            journaled.push(Journaled { commit: commit.clone(), chunks, spot });
        }
        drop(journal);
        std::fs::create_dir(dir.path().join("segments")).unwrap();
        let tables = Tables::open(&sled_dir, Segments::of(dir.path())).unwrap();
        for commits in journaled[..applied.min(all.len())].chunks(group) {
            tables.apply(commits).unwrap();
        }
        tables.checkpoint(0, &Default::default()).unwrap();
        drop(tables);

        let daemon = Daemon::open(dir.path());
        for (place, name) in ROOMS.into_iter().enumerate() {
            let room = daemon.rooms.get(name).unwrap();
            prop_assert_eq!((room.last_seq(), room.cursor("alice")), (lasts[place], cursors[place]));
            let read = daemon.read(name, 0, 7, 30_000);
            prop_assert_eq!(read.len() as u64, lasts[place]);
            for (seq, stored) in (1..).zip(read) {
                prop_assert_eq!(stored.seq, seq);
                let found = daemon.store.find(place as u64, "alice", &format!("{seq}"), 0).unwrap();
                prop_assert_eq!(found, Some(stored));
            }
        }
        daemon.close();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_segment_begun_at_a_start_stays_while_it_is_written_to() {
    let send = |body: &'static str| {
        Command::Send(commands::Send { room: "lobby".to_owned(), id: None, body: body.into(), reply: None })
    };
    let dir = tempfile::tempdir().unwrap();
    let (before, killed) = (dir.path().join("before"), dir.path().join("killed"));
    let daemon = Daemon::open(&before);
    daemon.write(
        "alice",
        vec![Command::Join(commands::Join { room: "lobby".to_owned(), from: Begin::Start }), send("old")],
    );
    // As a kill leaves it: only the journal has the message, and the next start moves it into a segment.
    copy(&before, &killed);
    daemon.close();
    let daemon = Daemon::open(&killed);
    assert_eq!(daemon.read("lobby", 0, 10, 1000).len(), 1);
    let room = daemon.rooms.get("lobby").unwrap().id;
    daemon.store.expire(room, u64::MAX);
    daemon.store.settle();
    daemon.write("alice", vec![send("new")]);
    daemon.store.settle();
    daemon.close();
    let daemon = Daemon::open(&killed);
    let bodies: Vec<_> = daemon.read("lobby", 0, 10, 1000).into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["new"]);
    daemon.close();
}
