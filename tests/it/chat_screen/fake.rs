//! A daemon that nobody should trust: everything that it says is meant for the terminal.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use bytes::{Bytes, BytesMut};
use dantok_protocol::frame::{RequestDecoder, ServerFrame, encode_server};
use dantok_protocol::{
    Command, Event, Incoming, Item, Kind, MemberInfo, Message, Reply, RoomInfo, Tag, Welcome, commands,
};
use tokio_util::codec::Decoder;

/// Starts it; every name, topic, nick and text that it tells is this.
pub fn start(evil: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream, evil));
        }
    });
    address
}

fn serve(mut stream: TcpStream, evil: &'static str) {
    let (mut input, mut decoder) = (BytesMut::new(), RequestDecoder::new(64 * 1024));
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..read]);
        while let Ok(Some(Incoming::Request { tag: Tag::Id(id), command })) = decoder.decode(&mut input) {
            let mut out = Vec::new();
            for frame in answer(id, command, evil) {
                encode_server(&frame, &mut out).unwrap();
            }
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }
}

fn answer(id: u64, command: Command, evil: &str) -> Vec<ServerFrame> {
    let room = || {
        Item::Room(RoomInfo {
            room: evil.into(),
            members: 1,
            last: 1,
            unread: Some(1),
            active_ms: 0,
            topic: evil.into(),
            private: false,
            cursor: Some(0),
        })
    };
    let reply = |reply| ServerFrame::Reply { id, reply };
    let part = |item| ServerFrame::Part { id, item };
    match command {
        Command::Hello(commands::Hello { version, client, .. }) => vec![reply(Reply::Welcome(Welcome {
            version,
            server: evil.to_owned(),
            client: client.into(),
            max_body: 65536,
            max_pipelined: 64,
            max_joined: 10,
            retention_secs: 86400,
            admin: false,
            epoch: evil.into(),
        }))],
        Command::Watch => vec![reply(Reply::Done), ServerFrame::Push { item: room() }],
        Command::Rooms(_) => vec![part(room()), reply(Reply::Count(1))],
        Command::Who(commands::Who { .. }) => {
            let (room, client, nick) = (evil.into(), evil.into(), evil.into());
            let member = MemberInfo { room, client, connections: 1, cursor: Some(0), nick, since_ms: None };
            vec![part(Item::Member(member)), reply(Reply::Count(1))]
        }
        Command::Fetch(commands::Fetch { .. }) => {
            let body = Bytes::copy_from_slice(evil.as_bytes());
            let (room, client) = (evil.into(), evil.into());
            let message = Message { room, seq: 1, time_ms: 1_795_221_000_000, client, body, kind: Kind::Plain };
            let end = Reply::End { room: evil.into(), handed: 1, oldest: 1, last: 1 };
            vec![part(Item::Message(message)), reply(end)]
        }
        Command::Follow(commands::Follow { .. }) => {
            let event = |event| Item::Event { room: evil.into(), time_ms: 0, client: evil.into(), event };
            let events = [Event::Joined, Event::Nick(evil.into()), Event::Typing];
            let pushes = events.map(|one| ServerFrame::Push { item: event(one) });
            [vec![reply(Reply::Following { after: 1, number: 1 })], pushes.into()].concat()
        }
        Command::Ack(commands::Ack { .. }) => vec![reply(Reply::Acked { cursor: 1 })],
        _ => vec![reply(Reply::Done)],
    }
}
