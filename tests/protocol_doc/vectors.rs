//! The hex vectors: each is one frame, with the value that it holds.

use std::collections::BTreeSet;

use bytes::BytesMut;
use dantok::protocol::frame::{ClientCodec, RequestDecoder, RequestFrame, ServerFrame, encode_request, encode_server};
use dantok::protocol::{Incoming, Item, Reply, Tag};
use tokio_util::codec::Decoder as _;

use super::blocks::Block;
use super::player::Player;
use super::tables::Tables;

const BODY_MAX: usize = 64 * 1024;

/// A frame and its value.
#[derive(Debug)]
pub struct Vector<'a> {
    line: usize,
    /// The client sends it.
    request: bool,
    value: &'a str,
    bytes: Vec<u8>,
}

enum Step<'a> {
    Event(usize, &'a str),
    Frame(Vector<'a>),
}

fn steps<'a>(block: &Block<'a>) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for (line, text) in block.lines() {
        if let Some(event) = text.strip_prefix("-- ") {
            steps.push(Step::Event(line, event));
        } else if let Some(value) = text.strip_prefix("C: ") {
            steps.push(Step::Frame(Vector { line, request: true, value, bytes: Vec::new() }));
        } else if let Some(value) = text.strip_prefix("S: ") {
            steps.push(Step::Frame(Vector { line, request: false, value, bytes: Vec::new() }));
        } else {
            let Some(Step::Frame(vector)) = steps.last_mut() else { panic!("line {line}: bytes of which frame?") };
            let bytes = text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
            vector.bytes.extend(bytes.map(|byte| byte.unwrap_or_else(|error| panic!("line {line}: {error}"))));
        }
    }
    steps
}

/// The frames of a block.
pub fn parse<'a>(block: &Block<'a>) -> Vec<Vector<'a>> {
    let frames = |step| match step {
        Step::Frame(vector) => Some(vector),
        Step::Event(..) => None,
    };
    steps(block).into_iter().filter_map(frames).collect()
}

/// Which variants the vectors have, as (enum, number).
pub type Seen = BTreeSet<(&'static str, u32)>;

fn variant(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn decode_request(bytes: &[u8]) -> Result<RequestFrame, String> {
    match RequestDecoder::new(BODY_MAX).decode(&mut BytesMut::from(bytes)).unwrap() {
        Some(Incoming::Request { tag: Tag::Id(id), command }) => Ok(RequestFrame { id, command }),
        other => Err(format!("{other:?}")),
    }
}

fn decode_server(bytes: &[u8]) -> Result<ServerFrame, String> {
    let decoded = ClientCodec.decode(&mut BytesMut::from(bytes)).map_err(|error| error.to_string())?;
    decoded.ok_or_else(|| "it is not whole".to_owned())
}

/// The bytes decode to the value, by the codec and by the document's tables, and the value encodes to the bytes.
pub fn check(vector: &Vector<'_>, tables: &Tables, seen: &mut Seen) {
    let Vector { line, bytes, .. } = vector;
    if vector.value.starts_with("not a frame") {
        assert!(decode_request(bytes).is_err(), "line {line}: it does decode");
        return;
    }
    let mut encoded = Vec::new();
    let (value, by_tables) = if vector.request {
        let frame = decode_request(bytes).unwrap_or_else(|why| panic!("line {line}: {why}"));
        encode_request(&frame, &mut encoded).unwrap();
        seen.insert(("Command", variant(bytes, 12)));
        (format!("{frame:?}"), tables.decode("RequestFrame", bytes))
    } else {
        let frame = decode_server(bytes).unwrap_or_else(|why| panic!("line {line}: {why}"));
        encode_server(&frame, &mut encoded).unwrap();
        seen.insert(("ServerFrame", variant(bytes, 4)));
        match &frame {
            ServerFrame::Reply { .. } => seen.insert(("Reply", variant(bytes, 16))),
            ServerFrame::Part { .. } => seen.insert(("Item", variant(bytes, 16))),
            ServerFrame::Push { .. } => seen.insert(("Item", variant(bytes, 8))),
            ServerFrame::Closing { .. } => false,
        };
        (format!("{frame:?}"), tables.decode("ServerFrame", bytes))
    };
    assert_eq!(value, vector.value, "line {line}: the bytes hold another value");
    assert_eq!(by_tables, vector.value, "line {line}: the tables say another value");
    assert_eq!(encoded, *bytes, "line {line}: the value has other bytes");
}

/// How many variants an enum has, from what the codec says to one that is not there.
fn variants(refused: &str) -> u32 {
    let (_, rest) = refused.split_once("0 <= i < ").unwrap_or_else(|| panic!("no count in: {refused}"));
    rest.chars().map_while(|c| c.to_digit(10)).fold(0, |count, digit| count * 10 + digit)
}

fn frame(words: &[u32]) -> Vec<u8> {
    let mut bytes = u32::try_from(words.len() * 4).unwrap().to_be_bytes().to_vec();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// Every variant of every enum has a row, and all but the plain reasons and codes have a vector.
pub fn check_complete(tables: &Tables, seen: &Seen) {
    const NONE: u32 = u32::MAX;
    let server = |words: &[u32]| variants(&decode_server(&frame(words)).unwrap_err());
    for (of, count) in [
        ("Command", variants(&decode_request(&frame(&[1, 0, NONE])).unwrap_err())),
        ("ServerFrame", server(&[NONE])),
        ("Reply", server(&[0, 1, 0, NONE])),
        ("Item", server(&[2, NONE])),
        ("GapReason", server(&[2, 1, 0, 0, 0, 0, 0, 0, NONE])),
        ("ErrorCode", server(&[3, NONE])),
    ] {
        assert_eq!(tables.variants(of), count as usize, "rows of {of}");
        if !matches!(of, "GapReason" | "ErrorCode") {
            let missing: Vec<u32> = (0..count).filter(|number| !seen.contains(&(of, *number))).collect();
            assert!(missing.is_empty(), "no vector has the variants {missing:?} of {of}");
        }
    }
}

/// Without what changes from run to run.
fn timeless(mut frame: ServerFrame) -> ServerFrame {
    if let ServerFrame::Part { item, .. } | ServerFrame::Push { item } = &mut frame {
        match item {
            Item::Message(message) => message.time_ms = 0,
            Item::Room(room) => room.active_ms = 0,
            Item::Member(member) => member.since_ms = None,
            _ => {}
        }
    }
    match &mut frame {
        ServerFrame::Reply { reply: Reply::Stats(figures), .. } => {
            figures.iter_mut().for_each(|(_, value)| *value = 0);
        }
        ServerFrame::Reply { reply: Reply::Welcome(welcome), .. } => {
            assert_eq!(welcome.epoch.len(), 16);
            welcome.epoch = "".into();
        }
        _ => {}
    }
    frame
}

/// Plays an `exchange` block, on the connection F.
pub fn play(block: &Block<'_>, player: &mut Player) {
    for step in steps(block) {
        match step {
            Step::Event(line, event) => player.event(line, event),
            Step::Frame(vector) if vector.request => player.send(vector.line, "F", &vector.bytes),
            Step::Frame(vector) => {
                let mut bytes = player.take(vector.line, "F", 4);
                let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                bytes.extend(player.take(vector.line, "F", length as usize));
                let actual = decode_server(&bytes).unwrap();
                let document = decode_server(&vector.bytes).unwrap();
                assert_eq!(timeless(document), timeless(actual), "line {}: document / daemon", vector.line);
            }
        }
    }
}
