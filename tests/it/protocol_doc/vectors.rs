//! The frames of `protocol/vectors.json` and of `protocol.md`: bytes, and the JSON value that they hold.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use dantok_protocol::frame::{ClientCodec, RequestDecoder, RequestFrame, ServerFrame, encode_request, encode_server};
use dantok_protocol::{Incoming, Item, Reply, Tag, json_request};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::codec::Decoder as _;

use super::blocks::Block;
use super::player::Player;
use super::tables::{Tables, Variant};

const BODY_MAX: usize = 64 * 1024;

/// A vector of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// No other one has it.
    pub name: String,
    direction: Direction,
    hex: String,
    value: Value,
    /// The same request in JSON.
    request: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    ClientToDaemon,
    DaemonToClient,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    protocol: u16,
    vectors: Vec<Vector>,
}

/// The vectors of the file.
pub fn parse(file: &str) -> Vec<Vector> {
    let File { protocol, vectors } = serde_json::from_str(file).unwrap();
    assert_eq!(protocol, dantok_protocol::VERSION);
    vectors
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).unwrap_or_else(|| panic!("no hex: {hex}"))).collect();
    digits.chunks(2).map(|byte| u8::try_from(byte[0] << 4 | byte[1]).unwrap()).collect()
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

/// What the codec decodes.
fn decode(direction: Direction, bytes: &[u8]) -> Result<Value, String> {
    Ok(match direction {
        Direction::ClientToDaemon => serde_json::to_value(decode_request(bytes)?),
        Direction::DaemonToClient => serde_json::to_value(decode_server(bytes)?),
    }
    .unwrap())
}

/// What the codec encodes.
fn encode(direction: Direction, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match direction {
        Direction::ClientToDaemon => encode_request(&RequestFrame::deserialize(value).unwrap(), &mut bytes),
        Direction::DaemonToClient => encode_server(&ServerFrame::deserialize(value).unwrap(), &mut bytes),
    }
    .unwrap();
    bytes
}

/// Which variants the vectors have.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of each enum.
    enums: BTreeMap<String, BTreeSet<u32>>,
    /// Of `Item`: in a part of an answer, and in a push.
    parts: BTreeSet<u32>,
    pushes: BTreeSet<u32>,
}

/// The bytes decode to the value, by the codec and by the document's tables, and the value encodes to the bytes.
pub fn check(vector: &Vector, tables: &Tables, seen: &mut Seen) {
    let Vector { name, direction, hex, value, request } = vector;
    check_frame(name, *direction, &bytes(hex), value, tables, seen);
    let Some(request) = request else {
        assert_eq!(*direction, Direction::DaemonToClient, "{name} has no request in JSON");
        return;
    };
    let RequestFrame { id, command } = decode_request(&bytes(hex)).unwrap();
    let mut encoded = Vec::new();
    json_request::encode_request(&Tag::Id(id), &command, &mut encoded);
    let encoded: Value = serde_json::from_slice(&encoded).unwrap();
    assert_eq!(encoded, *request, "{name}: the command as JSON / the vector's request");
    let parsed = json_request::parse(&request.to_string(), BODY_MAX);
    assert_eq!(parsed, Incoming::Request { tag: Tag::Id(id), command }, "{name}: the request means / the frame");
}

fn check_frame(name: &str, direction: Direction, bytes: &[u8], value: &Value, tables: &Tables, seen: &mut Seen) {
    let encoded: String = encode(direction, value).iter().map(|byte| format!("{byte:02x}")).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(encoded, hex, "{name}: the codec encodes the value / the vector's bytes");
    assert_eq!(decode(direction, bytes).as_ref(), Ok(value), "{name}: the codec decodes / the vector's value");
    let of = if direction == Direction::ClientToDaemon { "RequestFrame" } else { "ServerFrame" };
    let (by_tables, variants) = tables.decode(of, bytes);
    assert_eq!(by_tables, *value, "{name}: the tables say / the vector's value");

    if let Some(item) = variants.iter().find(|variant| variant.of == "Item") {
        let kind = value.as_object().unwrap().keys().next().unwrap();
        if kind == "Push" { &mut seen.pushes } else { &mut seen.parts }.insert(item.number);
    }
    for Variant { of, number, at } in variants {
        // What the codec says to a variant that is not there tells how many there are.
        let mut wrong = bytes.to_vec();
        wrong[at..at + 4].fill(0xff);
        let refused = decode(direction, &wrong).unwrap_err();
        let (_, count) = refused.split_once("0 <= i < ").unwrap_or_else(|| panic!("{name}: no count in: {refused}"));
        let count: String = count.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(count, tables.variants(&of).count().to_string(), "{of}: variants of the codec / rows of the table");
        seen.enums.entry(of).or_default().insert(number);
    }
}

/// Every variant of every enum has a vector, and every line that is part of an answer, or pushed, one as such.
pub fn check_complete(tables: &Tables, seen: &Seen) {
    for of in tables.enums() {
        let vectors = seen.enums.get(of).cloned().unwrap_or_default();
        let missing: Vec<u32> = tables.variants(of).filter(|number| !vectors.contains(number)).collect();
        assert!(missing.is_empty(), "no vector has the variants {missing:?} of {of}");
    }
    let (parts, pushes) = tables.told();
    assert!(!parts.is_empty() && !pushes.is_empty());
    assert_eq!(
        (parts, pushes),
        (seen.parts.clone(), seen.pushes.clone()),
        "lines of answers, pushed lines: document / vectors"
    );
}

/// A step of an `exchange` block.
enum Step<'a> {
    Event(&'a str),
    Frame { direction: Direction, printed: &'a str, bytes: Vec<u8> },
}

fn steps<'a>(block: &Block<'a>) -> Vec<(usize, Step<'a>)> {
    let mut steps = Vec::new();
    for (line, text) in block.lines() {
        let frame = |direction, printed| Step::Frame { direction, printed, bytes: Vec::new() };
        if let Some(event) = text.strip_prefix("-- ") {
            steps.push((line, Step::Event(event)));
        } else if let Some(printed) = text.strip_prefix("C: ") {
            steps.push((line, frame(Direction::ClientToDaemon, printed)));
        } else if let Some(printed) = text.strip_prefix("S: ") {
            steps.push((line, frame(Direction::DaemonToClient, printed)));
        } else {
            let Some((_, Step::Frame { bytes, .. })) = steps.last_mut() else {
                panic!("line {line}: bytes of which frame?")
            };
            // Behind two spaces it says what they are.
            let hex = text.trim_start().split("  ").next().unwrap_or_default();
            bytes.extend(self::bytes(&hex.replace(' ', "")));
        }
    }
    steps
}

/// Checks an `exchange` block.
pub fn check_exchange(block: &Block<'_>, tables: &Tables) {
    for (line, step) in steps(block) {
        let Step::Frame { direction, printed, bytes } = step else { continue };
        if printed.starts_with("not a frame") {
            assert!(decode(direction, &bytes).is_err(), "line {line}: it does decode");
            continue;
        }
        let value = serde_json::from_str(printed).unwrap_or_else(|error| panic!("line {line}: {error}"));
        check_frame(&format!("line {line}"), direction, &bytes, &value, tables, &mut Seen::default());
    }
}

/// Without what changes from run to run.
fn timeless(mut frame: ServerFrame) -> ServerFrame {
    if let ServerFrame::Part { item, .. } | ServerFrame::Push { item } = &mut frame
        && let Item::Message(message) = item
    {
        message.time_ms = 0;
    }
    if let ServerFrame::Reply { reply: Reply::Welcome(welcome), .. } = &mut frame {
        assert_eq!(welcome.epoch.len(), 16);
        welcome.epoch = "".into();
    }
    frame
}

/// Plays an `exchange` block, on the connection F.
pub fn play(block: &Block<'_>, player: &mut Player) {
    for (line, step) in steps(block) {
        match step {
            Step::Event(event) => player.event(line, event),
            Step::Frame { direction: Direction::ClientToDaemon, bytes, .. } => player.send(line, "F", &bytes),
            Step::Frame { direction: Direction::DaemonToClient, bytes: document, .. } => {
                let mut bytes = player.take(line, "F", 4);
                let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                bytes.extend(player.take(line, "F", length as usize));
                let [document, actual] = [&document, &bytes].map(|bytes| timeless(decode_server(bytes).unwrap()));
                assert_eq!(document, actual, "line {line}: document / daemon");
            }
        }
    }
}
