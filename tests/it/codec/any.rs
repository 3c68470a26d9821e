//! Any requests, answers and pushes, for tests of properties.

use bytes::Bytes;
use dantok_protocol::frame::ServerFrame;
use dantok_protocol::{
    Access, Begin, Command, ErrorCode, Event, GapReason, Item, Keep, Kind, MemberInfo, Message, Refusal, Reply,
    RoomInfo, Seek, Since, Tag, Welcome, commands,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::BODY_MAX;

fn name() -> impl Strategy<Value = String> {
    "[a-z단톡방#|_-]{1,12}"
}

fn sentence() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z가-힣👩]{1,5}( {1,3}[a-z가-힣]{1,5}){0,3}"]
}

fn body() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..=BODY_MAX),
        "\\PC{0,25}".prop_map(String::into_bytes),
        "[ \r\n\t=@]{0,9}".prop_map(String::into_bytes)
    ]
    .prop_map(Bytes::from)
}

/// A command, as far as a line can express it.
pub fn command() -> impl Strategy<Value = Command> {
    let number = || proptest::option::of(any::<u64>());
    prop_oneof![
        (name(), proptest::option::of("[a-z0-9]{1,9}"), proptest::option::of("[0-9a-f]{16}"))
            .prop_map(|(client, token, epoch)| Command::Hello(commands::Hello { version: 1, client, token, epoch })),
        "[a-z가-힣]{1,5}( [a-z]{1,5})?".prop_map(|nick| Command::Nick(commands::Nick { nick })),
        (name(), sentence(), any::<bool>()).prop_map(|(room, topic, private)| Command::Create(commands::Create {
            room,
            topic,
            private
        })),
        (name(), select([Begin::Start, Begin::Now, Begin::Nowhere]))
            .prop_map(|(room, from)| Command::Join(commands::Join { room, from })),
        (name(), proptest::option::of(sentence()))
            .prop_map(|(room, topic)| Command::Topic(commands::Topic { room, topic })),
        (name(), name()).prop_map(|(room, client)| Command::Invite(commands::Invite { room, client })),
        (name(), name()).prop_map(|(room, client)| Command::Kick(commands::Kick { room, client })),
        (name(), name()).prop_map(|(room, client)| Command::Ban(commands::Ban { room, client })),
        (name(), name()).prop_map(|(room, client)| Command::Unban(commands::Unban { room, client })),
        name().prop_map(|room| Command::Access(commands::Access { room })),
        (name(), proptest::option::of(0..3_153_600_000u64), number())
            .prop_map(|(room, secs, cap_bytes)| Command::Retain(commands::Retain { room, secs, cap_bytes })),
        (name(), number(), number(), proptest::option::of(since()), number()).prop_map(
            |(room, after, before, since, max)| {
                Command::History(commands::History { room, after, before, since, max })
            }
        ),
        (name(), prop_oneof![Just(Seek::Start), Just(Seek::Now), any::<u64>().prop_map(Seek::To)])
            .prop_map(|(room, to)| Command::Seek(commands::Seek { room, to })),
        name().prop_map(|room| Command::Leave(commands::Leave { room })),
        (name(), proptest::option::of(name()), body(), number())
            .prop_map(|(room, id, body, reply)| Command::Send(commands::Send { room, id, body, reply })),
        (name(), any::<u64>()).prop_map(|(room, seq)| Command::Redact(commands::Redact { room, seq })),
        any::<bool>().prop_map(|on| Command::Events(commands::Events { on })),
        name().prop_map(|room| Command::Typing(commands::Typing { room })),
        any::<bool>().prop_map(|json| Command::Format(commands::Format { json })),
        // As far as a line can say it.
        (name(), name(), select([Begin::Start, Begin::Now]), proptest::option::of(0..1u64 << 40)).prop_map(
            |(room, group, from, timeout_ms)| Command::Group(commands::Group { room, group, from, timeout_ms })
        ),
        (name(), name()).prop_map(|(room, group)| Command::Ungroup(commands::Ungroup { room, group })),
        name().prop_map(|room| Command::Groups(commands::Groups { room })),
        (name(), name(), number(), 0..1u64 << 40)
            .prop_map(|(room, group, max, wait_ms)| Command::Take(commands::Take { room, group, max, wait_ms })),
        (name(), name(), any::<u64>()).prop_map(|(room, group, seq)| Command::Done(commands::Done {
            room,
            group,
            seq
        })),
        (name(), name()).prop_map(|(room, group)| Command::Pending(commands::Pending { room, group })),
        (name(), number(), number()).prop_map(|(room, after, max)| Command::Fetch(commands::Fetch {
            room,
            after,
            max
        })),
        (name(), number()).prop_map(|(room, max)| Command::Read(commands::Read { room, max })),
        (name(), number()).prop_map(|(room, seq)| Command::Ack(commands::Ack { room, seq })),
        (name(), number()).prop_map(|(room, after)| Command::Follow(commands::Follow { room, after })),
        name().prop_map(|room| Command::Unfollow(commands::Unfollow { room })),
        (name(), proptest::option::of(any::<u64>()))
            .prop_map(|(room, number)| Command::Delete(commands::Delete { room, number })),
        proptest::option::of(name()).prop_map(|room| Command::Rooms(commands::Rooms { room })),
        name().prop_map(|room| Command::Who(commands::Who { room })),
        proptest::option::of("[a-z]{1,9}").prop_map(|verb| Command::Help(commands::Help { verb })),
        prop::sample::select(vec![Command::Watch, Command::Unwatch, Command::Stats, Command::Ping, Command::Quit]),
    ]
}

fn select<T: Clone + std::fmt::Debug + 'static, const N: usize>(from: [T; N]) -> impl Strategy<Value = T> {
    prop::sample::select(from.to_vec())
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        select([Event::Joined, Event::Left, Event::Online, Event::Offline, Event::Typing]),
        sentence().prop_map(|nick| Event::Nick(nick.into()))
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        any::<u64>().prop_map(Kind::Reply),
        any::<u64>().prop_map(Kind::Redaction),
        any::<u64>().prop_map(Kind::Redacted)
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    (0..1u64 << 30, 0..1u64 << 40).prop_map(|(secs, cap_bytes)| Keep { secs, cap_bytes })
}

fn since() -> impl Strategy<Value = Since> {
    // As far as a line can say it.
    prop_oneof![(0..253_402_300_800_000u64).prop_map(Since::At), (0..1u64 << 40).prop_map(Since::Ago)]
}

/// A tag of a line, or none.
pub fn text_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![Just(Tag::None), "[a-z0-9]{1,32}".prop_map(|tag| Tag::Text(tag.into()))]
}

/// Part of an answer, or a push.
pub fn item() -> impl Strategy<Value = Item> {
    let message = (name(), any::<u64>(), any::<u64>(), name(), body(), kind()).prop_map(
        |(room, seq, time_ms, client, body, kind)| {
            Item::Message(Message { room: room.into(), seq, time_ms, client: client.into(), body, kind })
        },
    );
    let room = (name(), any::<[u64; 3]>(), proptest::option::of(any::<u64>()), sentence()).prop_map(
        |(room, [members, last, active_ms], unread, topic)| {
            Item::Room(RoomInfo {
                room: room.into(),
                members,
                last,
                unread,
                active_ms,
                topic: topic.into(),
                private: last % 2 == 0,
                cursor: unread.map(|unread| last.saturating_sub(unread)),
            })
        },
    );
    prop_oneof![
        message,
        room,
        (name(), any::<[u64; 2]>()).prop_map(|(room, [from, to])| Item::Gap {
            room: room.into(),
            from,
            to,
            reason: GapReason::Expired
        }),
        (name(), name(), any::<[u64; 2]>(), sentence()).prop_map(|(room, client, [connections, since_ms], nick)| {
            Item::Member(MemberInfo {
                room: room.into(),
                client: client.into(),
                connections,
                cursor: Some(since_ms).filter(|_| connections % 2 == 0),
                nick: nick.into(),
                since_ms: Some(since_ms).filter(|since_ms| since_ms % 2 == 0),
            })
        }),
        sentence().prop_map(Item::Help),
        (name(), name(), select([Access::Owner, Access::Invited, Access::Banned]))
            .prop_map(|(room, client, access)| { Item::Access { room: room.into(), client: client.into(), access } }),
        name().prop_map(|room| Item::Gone { room: room.into() }),
        (name(), prop::sample::select(ErrorCode::ALL.to_vec()), sentence())
            .prop_map(|(room, code, text)| Item::Ended { room: room.into(), code, text }),
        (name(), name(), any::<[u64; 4]>()).prop_map(|(room, group, [cursor, pending, waiting, timeout_ms])| {
            Item::Group { room: room.into(), group: group.into(), cursor, pending, waiting, timeout_ms }
        }),
        (name(), name(), name(), any::<[u64; 3]>()).prop_map(|(room, group, client, [seq, since_ms, deliveries])| {
            let (room, group, client) = (room.into(), group.into(), client.into());
            Item::Pending { room, group, seq, client, since_ms, deliveries }
        }),
        (name(), any::<u64>(), name(), event()).prop_map(|(room, time_ms, client, event)| Item::Event {
            room: room.into(),
            time_ms,
            client: client.into(),
            event
        }),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    (prop::sample::select(ErrorCode::ALL.to_vec()), sentence(), prop::option::of(any::<u64>()))
        .prop_map(|(code, text, wait_ms)| Refusal { code, text, wait_ms })
}

/// The end of an answer.
pub fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        prop::sample::select(vec![Reply::Done, Reply::Pong, Reply::Bye]),
        (any::<u16>(), name(), any::<[u64; 4]>()).prop_map(|(version, client, numbers)| Reply::Welcome(Welcome {
            version,
            server: "dantok".to_owned(),
            client: client.into(),
            max_body: numbers[0],
            max_pipelined: numbers[1],
            max_joined: numbers[2],
            retention_secs: numbers[3],
            admin: version % 2 == 0,
            epoch: format!("{:016x}", numbers[0]).into(),
        })),
        (any::<Option<u64>>(), any::<[u64; 2]>(), any::<bool>())
            .prop_map(|(cursor, [last, number], created)| Reply::Joined { cursor, last, number, created }),
        any::<u64>().prop_map(|number| Reply::Created { number }),
        (any::<u64>(), any::<bool>()).prop_map(|(seq, dup)| Reply::Sent { seq, dup }),
        (name(), any::<[u64; 3]>()).prop_map(|(room, [handed, oldest, last])| Reply::End {
            room: room.into(),
            handed,
            oldest,
            last
        }),
        any::<u64>().prop_map(|cursor| Reply::Acked { cursor }),
        any::<[u64; 2]>().prop_map(|[after, number]| Reply::Following { after, number }),
        any::<u64>().prop_map(Reply::Count),
        vec((name(), any::<u64>()), 0..4).prop_map(Reply::Stats),
        refusal().prop_map(Reply::Error),
        (keep(), any::<u64>()).prop_map(|(keep, stored_bytes)| Reply::Retained { keep, stored_bytes }),
        any::<[u64; 3]>().prop_map(|[cursor, last, timeout_ms]| Reply::Grouped { cursor, last, timeout_ms }),
    ]
}

/// A frame from the daemon.
pub fn server_frame() -> impl Strategy<Value = ServerFrame> {
    prop_oneof![
        (any::<u64>(), reply()).prop_map(|(id, reply)| ServerFrame::Reply { id, reply }),
        (any::<u64>(), item()).prop_map(|(id, item)| ServerFrame::Part { id, item }),
        item().prop_map(|item| ServerFrame::Push { item }),
        refusal().prop_map(|refusal| ServerFrame::Closing { refusal }),
    ]
}
