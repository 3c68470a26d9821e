//! Both codecs with arbitrary bytes in arbitrary pieces, and tables of literal bytes and their meaning.

mod any;
mod json;

use bytes::{Bytes, BytesMut};
use dantok_protocol::frame::{self, ClientCodec, RequestDecoder, RequestFrame};
use dantok_protocol::limits::{ENVELOPE_BYTES, FRAME_CEILING_BYTES, JSON_FACTOR};
use dantok_protocol::line::{self, LineDecoder};
use dantok_protocol::{Command, ErrorCode, Incoming, Tag, commands};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

use any::{command, server_frame, text_tag};
use json::{as_request, json_tag};

const BODY_MAX: usize = 100;

/// Feeds the pieces one after another. What waits for more never grows past the limits.
fn feed<D>(mut decoder: D, pieces: &[&[u8]]) -> Vec<D::Item>
where
    D: Decoder<Error = std::io::Error>,
{
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(item) = decoder.decode(&mut buffer).unwrap() {
            found.push(item);
        }
        let longest = BODY_MAX + ENVELOPE_BYTES;
        let longest = if buffer.contains(&b'{') { longest * JSON_FACTOR } else { longest };
        assert!(buffer.len() <= longest + 4, "{} bytes wait", buffer.len());
    }
    while let Some(item) = decoder.decode_eof(&mut buffer).unwrap() {
        found.push(item);
    }
    found
}

fn lines(pieces: &[&[u8]]) -> Vec<Incoming> {
    feed(LineDecoder::new(BODY_MAX), pieces)
}

fn frames(pieces: &[&[u8]]) -> Vec<Incoming> {
    feed(RequestDecoder::new(BODY_MAX), pieces)
}

/// The pieces between the cuts.
fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// What a line stream may be made of, valid and invalid.
fn line_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (text_tag(), command()).prop_map(|(tag, command)| {
            let mut bytes = Vec::new();
            line::encode_request(&tag, &command, &mut bytes);
            bytes
        }),
        2 => (json_tag(), command()).prop_map(|(tag, command)| as_request(&tag, &command).into_bytes()),
        1 => (0..(BODY_MAX + ENVELOPE_BYTES) * JSON_FACTOR + 9).prop_map(|length| {
            [&b"{\"do\":\"send\",\"room\":\"r\",\"text\":\""[..], &vec![b'x'; length], b"\"}\n"].concat()
        }),
        1 => prop::sample::select(vec![
            &b"\r\n"[..], b"\n\n", b"SENDB r 3\n\r\n\r\r\n", b"SENDB r 200\n", b"SENDB r 101\r\n", b"SEND r \xff\n",
            b"\xff\xfd\x03", b"\xff\xfa\x18\x00vt\nQUIT\xff\xf0", b"\xff\xf1", b"\xff\xf4\xff\xfd\x06", b"\xff\xf6", b"\xff\xf7", b"\xff\xf8",
            b"{\"do\":\"ping\"}\r\n", b"{\"do\":\"send\",\"room\":\"r\",\"text\":\"a\xff\xf6b\"}\n", b"\xef\xbb\xbf{\"do\":\"help\"}\n", b"{\n", b"{\"a\":1}\n", b"{",
            b"\xff\xff", b"\xff\xfb\n", b"\xff\xfa", b"\xff\xf0", b"SEND r ha", b"@ PING\n", b"SENDB r\n", b"\xff", b"nonsense\r\n",
        ]).prop_map(<[u8]>::to_vec),
        1 => (BODY_MAX..BODY_MAX + ENVELOPE_BYTES + 9).prop_map(|length| [&b"SEND r "[..], &vec![b'x'; length], b"\n"].concat()),
        1 => vec(any::<u8>(), 0..30),
    ]
}

/// What a frame stream may be made of, valid and invalid.
fn frame_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (any::<u64>(), command()).prop_map(|(id, command)| encoded(&RequestFrame { id, command })),
        1 => vec(any::<u8>(), BODY_MAX + 1..BODY_MAX + ENVELOPE_BYTES + 9).prop_map(|body| {
            encoded(&RequestFrame { id: 9, command: Command::Send(commands::Send { room: "r".to_owned(), id: None, body: body.into(), reply: None }) })
        }),
        1 => vec(any::<u8>(), 0..30),
        1 => vec(any::<u8>(), 0..30).prop_map(|payload| [&u32::try_from(payload.len()).unwrap().to_be_bytes(), &payload[..]].concat()),
    ]
}

fn encoded(frame: &RequestFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode_request(frame, &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_do_not_depend_on_how_they_arrive(
        greeted: bool,
        pieces in vec(line_piece(), 0..9),
        cuts in vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let bytes = [if greeted { &b"HELLO a\n"[..] } else { b"" }, &pieces.concat()].concat();
        // All at once would be one buffer larger than a connection ever has; the decoder takes it all the same.
        let mut whole = BytesMut::from(&bytes[..]);
        let mut decoder = LineDecoder::new(BODY_MAX);
        let mut expected = Vec::new();
        while let Some(incoming) = decoder.decode(&mut whole).unwrap() {
            expected.push(incoming);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&lines(&single), &expected);
        prop_assert_eq!(&lines(&cut(&bytes, &cuts)), &expected);
    }

    #[test]
    fn frames_do_not_depend_on_how_they_arrive(
        pieces in vec(frame_piece(), 0..9),
        cuts in vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let bytes = pieces.concat();
        let expected = frames(&[&bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&frames(&single), &expected);
        prop_assert_eq!(&frames(&cut(&bytes, &cuts)), &expected);
    }

    #[test]
    fn lines_survive_encoding_and_decoding(requests in vec((text_tag(), command()), 1..6)) {
        let mut bytes = b"HELLO first\n".to_vec();
        for (tag, command) in &requests {
            line::encode_request(tag, command, &mut bytes);
        }
        let expected: Vec<Incoming> =
            requests.into_iter().map(|(tag, command)| Incoming::Request { tag, command }).collect();
        prop_assert_eq!(&lines(&[&bytes])[1..], &expected[..]);
    }

    #[test]
    fn request_frames_survive_encoding_and_decoding(requests in vec((any::<u64>(), any::<u16>(), command()), 1..6)) {
        let (mut bytes, mut by_codec, mut expected) = (Vec::new(), BytesMut::new(), Vec::new());
        for (id, version, mut command) in requests {
            if let Command::Hello(commands::Hello { version: of, .. }) = &mut command {
                *of = version;
            }
            let frame = RequestFrame { id, command: command.clone() };
            bytes.extend(encoded(&frame));
            ClientCodec.encode(frame, &mut by_codec).unwrap();
            expected.push(Incoming::Request { tag: Tag::Id(id), command });
        }
        prop_assert_eq!(&bytes[..], &by_codec[..]);
        prop_assert_eq!(frames(&[&bytes]), expected);
    }

    #[test]
    fn server_frames_survive_encoding_and_decoding(sent in vec(server_frame(), 1..6)) {
        let mut bytes = Vec::new();
        for frame in &sent {
            frame::encode_server(frame, &mut bytes).unwrap();
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&feed(ClientCodec, &single), &sent);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..3000)) {
        lines(&[&bytes]);
        lines(&[b"HELLO a\n", &bytes]);
        frames(&[&bytes]);
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = ClientCodec.decode(&mut buffer) {}
    }
}

/// What a row of a table expects, without the sentences.
#[derive(Debug, PartialEq)]
enum Found {
    Request(Tag, Command),
    Refused(Tag, ErrorCode),
    Broken(ErrorCode),
    Telnet([u8; 3]),
}

fn found(incoming: Vec<Incoming>) -> Vec<Found> {
    let brief = |incoming| match incoming {
        Incoming::Request { tag, command } => Found::Request(tag, command),
        Incoming::Refused { tag, refusal } => Found::Refused(tag, refusal.code),
        Incoming::Broken(refusal) => Found::Broken(refusal.code),
        Incoming::Telnet(bytes) => Found::Telnet(bytes),
    };
    incoming.into_iter().map(brief).collect()
}

fn ask(command: Command) -> Found {
    Found::Request(Tag::None, command)
}

fn refused(code: ErrorCode) -> Found {
    Found::Refused(Tag::None, code)
}

fn text(tag: &str) -> Tag {
    Tag::Text(tag.into())
}

fn hello() -> Found {
    ask(Command::Hello(commands::Hello { version: 1, client: "a".to_owned(), token: None, epoch: None }))
}

fn send(body: &'static [u8]) -> Command {
    Command::Send(commands::Send { room: "r".to_owned(), id: None, body: Bytes::from_static(body), reply: None })
}

#[test]
fn literal_lines() {
    let long = vec![b'x'; BODY_MAX + ENVELOPE_BYTES + 1];
    let body = vec![b'y'; BODY_MAX];
    let over = [b'z'; BODY_MAX + 1];
    let join = |room: &str| Command::join(room);
    let fetch = |after, max| Command::Fetch(commands::Fetch { room: "r".to_owned(), after, max });
    let table: Vec<(&str, Vec<u8>, Vec<Found>)> = vec![
        ("pipelined", b"JOIN r\nPING\nQUIT\n".to_vec(), vec![ask(join("r")), ask(Command::Ping), ask(Command::Quit)]),
        (
            "CRLF and LF",
            b"PING\r\nPING\n\r\n\nPING\r\n".to_vec(),
            vec![ask(Command::Ping), ask(Command::Ping), ask(Command::Ping)],
        ),
        ("cases", b"ping\nPiNg\njoin R\n".to_vec(), vec![ask(Command::Ping), ask(Command::Ping), ask(join("R"))]),
        (
            "tags",
            b"@7 PING\n@x-1 JOIN r\r\n".to_vec(),
            vec![Found::Request(text("7"), Command::Ping), Found::Request(text("x-1"), join("r"))],
        ),
        ("no tag", b"@ PING\n".to_vec(), vec![refused(ErrorCode::BadArgument)]),
        (
            "a tag on an error",
            b"@7 NOPE\n@8 JOIN\n".to_vec(),
            vec![Found::Refused(text("7"), ErrorCode::BadCommand), Found::Refused(text("8"), ErrorCode::BadArgument)],
        ),
        ("text as it is", "SEND r  두  칸 \n".as_bytes().to_vec(), vec![ask(send(" 두  칸 ".as_bytes()))]),
        (
            "an id",
            b"SEND id=m1 r x\n".to_vec(),
            vec![ask(Command::Send(commands::Send {
                room: "r".to_owned(),
                id: Some("m1".to_owned()),
                body: Bytes::from_static(b"x"),
                reply: None,
            }))],
        ),
        (
            "no text",
            b"SEND r\nSEND r \nSEND\nSEND k=v x y\n".to_vec(),
            (0..4).map(|_| refused(ErrorCode::BadArgument)).collect(),
        ),
        (
            "raw bytes",
            b"SENDB r 6\n\x00\n\xff\r\n!\nPING\n".to_vec(),
            vec![ask(send(b"\x00\n\xff\r\n!")), ask(Command::Ping)],
        ),
        (
            "raw bytes, CRLF",
            b"@1 SENDB r 2\r\n\r\n\r\nPING\r\n".to_vec(),
            vec![Found::Request(text("1"), send(b"\r\n")), ask(Command::Ping)],
        ),
        ("no raw bytes", b"SENDB r 0\n\nPING\n".to_vec(), vec![ask(send(b"")), ask(Command::Ping)]),
        ("a wrong count", b"SENDB r 1\nab\nPING\n".to_vec(), vec![Found::Broken(ErrorCode::BadArgument)]),
        ("no count", b"SENDB r\nPING\n".to_vec(), vec![Found::Broken(ErrorCode::BadArgument)]),
        (
            "a SENDB at the limit",
            [b"SENDB r 100\n", &body[..], b"\nPING\n"].concat(),
            vec![
                ask(Command::Send(commands::Send {
                    room: "r".to_owned(),
                    id: None,
                    body: body.clone().into(),
                    reply: None,
                })),
                ask(Command::Ping),
            ],
        ),
        (
            "a SENDB over it",
            [b"@9 SENDB r 101\n", &over[..], b"\nPING\n"].concat(),
            vec![Found::Refused(text("9"), ErrorCode::TooLong), ask(Command::Ping)],
        ),
        (
            "a SEND over it",
            [b"@9 SEND r ", &over[..], b"\nPING\n"].concat(),
            vec![Found::Refused(text("9"), ErrorCode::TooLong), ask(Command::Ping)],
        ),
        ("a line over it", [&long[..], b"\nPING\n"].concat(), vec![refused(ErrorCode::TooLong), ask(Command::Ping)]),
        (
            "not UTF-8",
            b"@3 SEND r \xff\xfe\nPING\n".to_vec(),
            vec![Found::Refused(text("3"), ErrorCode::NotUtf8), ask(Command::Ping)],
        ),
        (
            "FETCH",
            b"FETCH r\nFETCH r 5\nFETCH r after=3\nFETCH r after=3 5\nFETCH r after=x\nFETCH r 1 2\n".to_vec(),
            vec![
                ask(fetch(None, None)),
                ask(fetch(None, Some(5))),
                ask(fetch(Some(3), None)),
                ask(fetch(Some(3), Some(5))),
                refused(ErrorCode::BadArgument),
                refused(ErrorCode::BadArgument),
            ],
        ),
        (
            "no number",
            b"ACK r -1\nREAD r x\nACK r 18446744073709551616\n".to_vec(),
            (0..3).map(|_| refused(ErrorCode::BadArgument)).collect(),
        ),
        (
            "too much",
            b"PING x\nJOIN a b\nWATCH 1\n".to_vec(),
            (0..3).map(|_| refused(ErrorCode::BadArgument)).collect(),
        ),
        ("a cut line", b"PING\nPIN".to_vec(), vec![ask(Command::Ping)]),
        ("a cut payload", b"SENDB r 5\nabcd".to_vec(), vec![]),
        ("a payload without its line end", b"SENDB r 5\nabcde".to_vec(), vec![]),
    ];
    for (what, bytes, mut expected) in table {
        expected.insert(0, hello());
        assert_eq!(found(lines(&[b"HELLO a\n", &bytes])), expected, "{what}");
    }
}

#[test]
fn the_third_wrong_line_or_the_first_of_another_protocol_ends_the_connection() {
    let long = vec![b'x'; BODY_MAX + ENVELOPE_BYTES + 1];
    for bytes in [&b"GET / HTTP/1.1\r\nHELLO a\r\n\r\n"[..], b"@1 SENDB r 8\nHELLO a\n\n", b"@1 EHLO x\nHELLO a\n"] {
        assert_eq!(found(lines(&[bytes])), [Found::Broken(ErrorCode::HelloFirst)], "{}", bytes.escape_ascii());
    }
    assert_eq!(found(lines(&[&long, b"\nHELLO a\n"])), [Found::Broken(ErrorCode::TooLong)]);
    let tag = || Tag::Text("1".into());
    for (line, tag, code) in [
        (&b"JOIN r\n"[..], Tag::None, ErrorCode::HelloFirst),
        (b"@1 SEND r x\n", tag(), ErrorCode::HelloFirst),
        (b"@1 nonsense\n", tag(), ErrorCode::HelloFirst),
        (b"@\n", Tag::None, ErrorCode::BadArgument),
        (b"@1 \xc3\x28\n", tag(), ErrorCode::NotUtf8),
    ] {
        let refused = || Found::Refused(tag.clone(), code);
        let twice = [line, line, b"HELLO a\n", line].concat();
        let found_twice = found(lines(&[&twice]));
        assert_eq!(found_twice[..3], [refused(), refused(), hello()], "{}", line.escape_ascii());
        assert!(matches!(found_twice[3..], [Found::Request(..) | Found::Refused(..)]), "{found_twice:?}");
        let thrice = [line, line, line, b"HELLO a\n"].concat();
        assert_eq!(found(lines(&[&thrice])), [refused(), refused(), Found::Broken(code)], "{}", line.escape_ascii());
    }
    for bytes in [&b"PING\n"[..], b"@1 help\r\n", b"\r\n\nQUIT\n", b"\xff\xfd\x03hello a\r\n"] {
        let mut found = found(lines(&[bytes]));
        found.retain(|found| !matches!(found, Found::Telnet(_)));
        assert!(matches!(found[..], [Found::Request(..)]), "{}", bytes.escape_ascii());
    }
}

#[test]
fn literal_frames() {
    let ping = [&[0, 0, 0, 12][..], &[7, 0, 0, 0, 0, 0, 0, 0], &[16, 0, 0, 0]].concat();
    let ping_found = || Found::Request(Tag::Id(7), Command::Ping);
    let over = vec![b'z'; BODY_MAX + 1];
    let over = encoded(&RequestFrame {
        id: 8,
        command: Command::Send(commands::Send { room: "r".to_owned(), id: None, body: over.into(), reply: None }),
    });
    let at_limit = u32::try_from(BODY_MAX + ENVELOPE_BYTES).unwrap();
    let mut left_over = [&ping[..], &[0]].concat();
    left_over[3] += 1;
    let table: Vec<(&str, Vec<u8>, Vec<Found>)> = vec![
        ("pipelined", [&ping[..], &ping].concat(), vec![ping_found(), ping_found()]),
        ("cut", ping[..15].to_vec(), vec![]),
        ("at the limit", at_limit.to_be_bytes().to_vec(), vec![]),
        ("over it, from the length", (at_limit + 1).to_be_bytes().to_vec(), vec![Found::Broken(ErrorCode::TooLong)]),
        ("far over it", vec![0, 0xff, 0xff, 0xff], vec![Found::Broken(ErrorCode::TooLong)]),
        ("bytes left over", [&left_over[..], &ping].concat(), vec![Found::Broken(ErrorCode::BadFrame)]),
        ("nothing in it", [&[0; 4][..], &ping].concat(), vec![Found::Broken(ErrorCode::BadFrame)]),
        ("no such command", [&ping[..12], &[200, 0, 0, 0]].concat(), vec![Found::Broken(ErrorCode::BadFrame)]),
        (
            "a body over the limit",
            [&over[..], &ping].concat(),
            vec![Found::Refused(Tag::Id(8), ErrorCode::TooLong), ping_found()],
        ),
    ];
    for (what, bytes, expected) in table {
        assert_eq!(found(frames(&[&bytes])), expected, "{what}");
    }
    let body = Bytes::from(vec![0; FRAME_CEILING_BYTES]);
    let mut bytes = b"before".to_vec();
    let frame = RequestFrame {
        id: 1,
        command: Command::Send(commands::Send { room: "r".to_owned(), id: None, body, reply: None }),
    };
    assert_eq!(frame::encode_request(&frame, &mut bytes).unwrap_err().code, ErrorCode::TooLong);
    assert_eq!(bytes, b"before");
}

/// What telnet sends and is answered, at a line's start and later; whole, and cut at every place.
#[test]
fn literal_telnet() {
    let ping = || ask(Command::Ping);
    let printed = |text: &'static str| ask(send(text.as_bytes()));
    let mark = || Found::Telnet([0xff, 251, 6]);
    let (wont, dont) = (|option| Found::Telnet([0xff, 252, option]), |option| Found::Telnet([0xff, 254, option]));
    let sub = |length: usize| [&b"\xff\xfa\x18"[..], &vec![b'\n'; length], b"\xff\xf0PING\n"].concat();
    let within = BODY_MAX + ENVELOPE_BYTES;
    // After the first line, in which the client has used telnet.
    let spoken: Vec<(&str, Vec<u8>, Vec<Found>)> = vec![
        ("an interrupt", b"\xff\xf4\xff\xfd\x06PING\r\n".to_vec(), vec![mark(), ping()]),
        ("three of them", b"\xff\xf4\xff\xfd\x06".repeat(3), vec![mark(), mark(), mark()]),
        ("an urgent one", b"\xff\xf4\xff\xf2PING\r\n".to_vec(), vec![ping()]),
        ("in its place", b"PING\n\xff\xfd\x06PING\n".to_vec(), vec![ping(), mark(), ping()]),
        ("half a line goes", b"SEND r ha\xff\xf4\xff\xfd\x06PING\r\n".to_vec(), vec![mark(), ping()]),
        ("by a break", b"SEND r ha\xff\xf3PING\n".to_vec(), vec![ping()]),
        ("or by the key for it", b"SEND r ha\xff\xf8PING\n".to_vec(), vec![ping()]),
        ("each alone", [("SEND r 단톡x").as_bytes(), b"\xff\xf7\xff\xf7!\n"].concat(), vec![printed("단!")]),
        ("and no more than there are", b"NO\xff\xf7\xff\xf7\xff\xf7PING\n".to_vec(), vec![ping()]),
        ("is anybody there", b"SEND r h\xff\xf6i\n".to_vec(), vec![ping(), printed("hi")]),
        ("nothing", b"\xff\xf1P\xff\xf9ING\xff\xf2\r\xff\xef\n".to_vec(), vec![ping()]),
        ("once each", b"\xff\xfd\x01\xff\xfd\x01\xff\xfb\x01\xff\xfb\x01".to_vec(), vec![wont(1), dont(1)]),
        ("no answer to an answer", b"\xff\xfc\x01\xff\xfe\x01\xff\xfe\x06PING\n".to_vec(), vec![ping()]),
        ("a mark that is offered", b"\xff\xfb\x06\xff\xfb\x06".to_vec(), vec![dont(6)]),
        ("an option that is a line feed", b"PI\xff\xfd\nNG\n".to_vec(), vec![wont(10), ping()]),
        ("an option that is 255", b"PI\xff\xfd\xffNG\n".to_vec(), vec![wont(255), ping()]),
        ("within a line", b"SEND r h\xff\xfd\x03i\n".to_vec(), vec![wont(3), printed("hi")]),
        ("a subnegotiation", b"PI\xff\xfa\x1f\x00\n\xff\xff\xf0\xff\xf0NG\n".to_vec(), vec![ping()]),
        ("that has no end", b"\xff\xfa\x1f\x00\xff\xf4\xff\xfd\x06PING\n".to_vec(), vec![mark(), ping()]),
        ("a long one", sub(within - 1), vec![ping()]),
        ("one that is too long", sub(within), vec![Found::Broken(ErrorCode::TooLong)]),
        (
            "a byte 255",
            b"@1 SEND r \xff\xff\nPING\n".to_vec(),
            vec![Found::Refused(text("1"), ErrorCode::NotUtf8), ping()],
        ),
        (
            "a payload",
            b"SENDB r 6\n\xff\xf4\xff\xfd\x06\xff\nPING\n".to_vec(),
            vec![ask(send(b"\xff\xf4\xff\xfd\x06\xff")), ping()],
        ),
        ("behind a payload", b"SENDB r 1\n\xff\xff\xf4\xff\xfd\x06\r\n".to_vec(), vec![mark(), ask(send(b"\xff"))]),
        (
            "in a line that is too long",
            [&vec![b'x'; within + 1][..], b"\xff\xfd\x06\xff\xf4PING\n"].concat(),
            vec![refused(ErrorCode::TooLong), mark(), ping()],
        ),
        ("cut", b"PING\n\xff\xfd".to_vec(), vec![ping()]),
    ];
    // Behind a first line without any: what a line's text may be is nobody's key.
    let silent: Vec<(&str, Vec<u8>, Vec<Found>)> = vec![
        ("an option in a line", b"SEND r h\xff\xfd\x03i\n".to_vec(), vec![wont(3), printed("hi")]),
        ("a mark in a line", b"SEND r h\xff\xfd\x06i\n".to_vec(), vec![mark(), printed("hi")]),
        ("a key in a line", b"SEND r \xff\xf4QUIT\nPING\n".to_vec(), vec![refused(ErrorCode::NotUtf8), ping()]),
        ("another", b"SEND r \xff\xf8QUIT\nPING\n".to_vec(), vec![refused(ErrorCode::NotUtf8), ping()]),
        ("and others", b"SEND r\xff\xf7\xff\xf6\nPING\n".to_vec(), vec![refused(ErrorCode::NotUtf8), ping()]),
        ("a subnegotiation", b"SEND r \xff\xfa\nPING\n".to_vec(), vec![refused(ErrorCode::NotUtf8), ping()]),
        ("a mark of UTF-16", b"SEND r \xff\xfe\nPING\n".to_vec(), vec![refused(ErrorCode::NotUtf8), ping()]),
        ("no command of telnet", b"\xffPING\nPING\n".to_vec(), vec![refused(ErrorCode::NotUtf8), ping()]),
        ("behind a payload", b"SENDB r 1\nx\xff\xf1\n".to_vec(), vec![Found::Broken(ErrorCode::BadArgument)]),
        ("at a line's start", b"\xff\xf4\xff\xfd\x06SEND r h\xff\xf8PING\n".to_vec(), vec![mark(), ping()]),
    ];
    for (first, table) in [(&b"\xff\xfb\x1fHE\xff\xf1LLO a\r\n"[..], spoken), (b"HELLO a\n", silent)] {
        for (what, bytes, mut expected) in table {
            expected.insert(0, hello());
            if first[0] == 0xff {
                expected.insert(0, dont(0x1f));
            }
            let bytes = [first, &bytes].concat();
            for at in 0..=bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(found(lines(&[one, two])), expected, "{what}, cut at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(found(lines(&single)), expected, "{what}, a byte at a time");
        }
    }
    // All that there is, and no more of it.
    let all: Vec<u8> = (0..=255).flat_map(|option| [0xff, 253, option, 0xff, 251, option]).collect();
    let answers: Vec<Found> =
        (0..=255).flat_map(|option| [if option == 6 { mark() } else { wont(option) }, dont(option)]).collect();
    assert_eq!(found(lines(&[&all])), answers);
    assert_eq!(found(lines(&[&all.repeat(50)])).len(), 512 + 49);
}
