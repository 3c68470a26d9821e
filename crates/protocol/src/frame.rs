//! The framed protocol: a `u32` big-endian length, then that many bytes of one serde type in bincode.
//!
//! bincode is configured for fixed-width little-endian integers, a size limit and no trailing bytes; nothing outside this file knows
//! about it. A pure codec without I/O. `protocol.md` describes the layout, and `protocol/vectors.json` has test vectors.

use bincode::Options;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Command, ErrorCode, Incoming, Item, Kind, MessageRef, Refusal, Reply, Tag};
use crate::limits::{ENVELOPE_BYTES, FRAME_CEILING_BYTES};

const PREFIX_BYTES: usize = 4;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Repeated in every part of the answer.
    pub id: u64,
    /// The command.
    pub command: Command,
}

/// What the daemon sends. The order of the variants is their numbering on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerFrame {
    /// Ends the answer to a request.
    Reply {
        /// The request's id.
        id: u64,
        /// The answer, or its end.
        reply: Reply,
    },
    /// Part of an answer; its [`Reply`](ServerFrame::Reply) follows.
    Part {
        /// The request's id.
        id: u64,
        /// The part.
        item: Item,
    },
    /// A push, for a FOLLOW or a WATCH.
    Push {
        /// What is pushed.
        item: Item,
    },
    /// The daemon can no longer understand the stream, and closes the connection after this.
    Closing {
        /// Why.
        refusal: Refusal,
    },
}

fn options() -> impl Options {
    // DefaultOptions refuses trailing bytes and is little-endian.
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(FRAME_CEILING_BYTES as u64)
}

/// Appends a value as a frame.
///
/// # Errors
/// `too-long` if the frame would not be shorter than 2^24 bytes; nothing is appended then.
fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    out.put_u32(0);
    let written = options().serialize_into(&mut *out, value);
    let length = out.len() - start - PREFIX_BYTES;
    if written.is_err() || length >= FRAME_CEILING_BYTES {
        out.truncate(start);
        return Err(Refusal::new(ErrorCode::TooLong, format!("a frame stays under {FRAME_CEILING_BYTES} bytes")));
    }
    if let Some(prefix) = out.get_mut(start..start + PREFIX_BYTES) {
        prefix.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    Ok(())
}

/// Appends a request.
///
/// # Errors
/// `too-long` if the frame would not be shorter than 2^24 bytes.
pub fn encode_request(frame: &RequestFrame, out: &mut Vec<u8>) -> Result<(), Refusal> {
    encode(frame, out)
}

/// Appends a frame from the daemon.
///
/// # Errors
/// `too-long` if the frame would not be shorter than 2^24 bytes.
pub fn encode_server(frame: &ServerFrame, out: &mut Vec<u8>) -> Result<(), Refusal> {
    encode(frame, out)
}

/// Appends a message: part of the answer to the request with this id or, without an id, a push. Produces the same as
/// [`encode_server`], but without building a [`ServerFrame`], which would be slow for millions of messages.
///
/// # Errors
/// `too-long` if the frame would not be shorter than 2^24 bytes.
pub fn encode_message(id: Option<u64>, message: MessageRef<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    // The variant numbers, the id, the message's two numbers, three lengths, and the kind.
    let (kind, about) = match message.kind {
        Kind::Plain => (0, None),
        Kind::Reply(seq) => (1, Some(seq)),
        Kind::Redaction(seq) => (2, Some(seq)),
        Kind::Redacted(seq) => (3, Some(seq)),
    };
    let fixed = if id.is_some() { 60 } else { 52 } + if about.is_some() { 8 } else { 0 };
    let length = fixed + message.room.len() + message.client.len() + message.body.len();
    if length >= FRAME_CEILING_BYTES {
        return Err(Refusal::new(ErrorCode::TooLong, format!("a frame stays under {FRAME_CEILING_BYTES} bytes")));
    }
    out.reserve(PREFIX_BYTES + length);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    match id {
        Some(id) => {
            out.put_u32_le(1);
            out.put_u64_le(id);
        }
        None => out.put_u32_le(2),
    }
    out.put_u32_le(0);
    put_bytes(out, message.room.as_bytes());
    out.put_u64_le(message.seq);
    out.put_u64_le(message.time_ms);
    put_bytes(out, message.client.as_bytes());
    put_bytes(out, message.body);
    out.put_u32_le(kind);
    if let Some(seq) = about {
        out.put_u64_le(seq);
    }
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u64_le(bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Removes one frame's payload from the buffer; `None` while it is incomplete.
///
/// # Errors
/// `too-long`, judged by the length alone.
fn split_frame(buffer: &mut BytesMut, max: usize) -> Result<Option<Bytes>, Refusal> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > max {
        return Err(Refusal::new(ErrorCode::TooLong, format!("a frame of {length} bytes; at most {max} are taken")));
    }
    if buffer.len() < PREFIX_BYTES + length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Decodes a request. If it ends before the last field of its command, and that is an option, the option is absent: clients that were
/// built before the field was added do not send it.
fn decode_request(payload: &[u8]) -> bincode::Result<RequestFrame> {
    /// What says that an option is absent.
    const ABSENT: u8 = 0;
    /// A byte that is refused only where it would say whether an option is present.
    const NEITHER: u8 = 0xff;
    let decode = |end: u8| options().deserialize(&[payload, &[end]].concat());
    options().deserialize(payload).or_else(|error| match decode(NEITHER).map_err(|error: bincode::Error| *error) {
        Err(bincode::ErrorKind::InvalidTagEncoding(tag)) if tag == usize::from(NEITHER) => decode(ABSENT),
        Ok(RequestFrame { .. }) | Err(_) => Err(error),
    })
}

/// Decodes requests, for the daemon.
#[derive(Debug)]
pub struct RequestDecoder {
    body_max: usize,
    broken: bool,
}

impl RequestDecoder {
    /// A decoder that accepts bodies of at most `body_max` bytes.
    pub fn new(body_max: usize) -> Self {
        RequestDecoder { body_max, broken: false }
    }

    /// Changes the longest accepted body, from the next request on.
    pub fn set_body_max(&mut self, body_max: usize) {
        self.body_max = body_max;
    }

    fn broken(&mut self, refusal: Refusal) -> Incoming {
        self.broken = true;
        Incoming::Broken(refusal)
    }

    /// The next request; `None` until there are more bytes.
    fn next(&mut self, buffer: &mut BytesMut) -> Option<Incoming> {
        if self.broken {
            buffer.clear();
            return None;
        }
        let payload = match split_frame(buffer, self.body_max + ENVELOPE_BYTES) {
            Ok(payload) => payload?,
            Err(refusal) => return Some(self.broken(refusal)),
        };
        Some(match decode_request(&payload) {
            Ok(RequestFrame { id, command }) if command.body_bytes() > self.body_max => {
                let text = format!("a body of {} bytes; at most {} are taken", command.body_bytes(), self.body_max);
                Incoming::Refused { tag: Tag::Id(id), refusal: Refusal::new(ErrorCode::TooLong, text) }
            }
            Ok(RequestFrame { id, command }) => Incoming::Request { tag: Tag::Id(id), command },
            Err(error) => self.broken(Refusal::new(ErrorCode::BadFrame, format!("the frame does not decode: {error}"))),
        })
    }
}

impl tokio_util::codec::Decoder for RequestDecoder {
    type Item = Incoming;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, std::io::Error> {
        Ok(self.next(buffer))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, std::io::Error> {
        // An incomplete frame at the end is not a frame.
        Ok(self.next(buffer))
    }
}

/// Decodes the daemon's frames and encodes requests, for clients.
#[derive(Debug, Default)]
pub struct ClientCodec;

impl tokio_util::codec::Decoder for ClientCodec {
    type Item = ServerFrame;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<ServerFrame>, std::io::Error> {
        let invalid = |why: String| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        let payload = split_frame(buffer, FRAME_CEILING_BYTES - 1).map_err(|refusal| invalid(refusal.text))?;
        let Some(payload) = payload else { return Ok(None) };
        options().deserialize(&payload).map(Some).map_err(|error| invalid(error.to_string()))
    }
}

impl tokio_util::codec::Encoder<RequestFrame> for ClientCodec {
    type Error = std::io::Error;

    fn encode(&mut self, frame: RequestFrame, buffer: &mut BytesMut) -> Result<(), std::io::Error> {
        let mut out = Vec::new();
        encode_request(&frame, &mut out)
            .map_err(|refusal| std::io::Error::new(std::io::ErrorKind::InvalidInput, refusal.text))?;
        buffer.extend_from_slice(&out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::commands::{Follow, History, Rooms};

    #[test]
    fn a_frame_may_end_before_an_optional_last_field_and_nowhere_else() {
        let (after, before, since, max) = (None, Some(7), None, Some(2));
        let old = |room: &str| room.to_owned();
        for command in [
            Command::Follow(Follow { room: old("general"), after }),
            Command::History(History { room: old("general"), before, since, max, after }),
            Command::Rooms(Rooms::default()),
            Command::send("general", None, "hi"),
        ] {
            let mut whole = Vec::new();
            encode_request(&RequestFrame { id: 9, command: command.clone() }, &mut whole).unwrap();
            let payload = &whole[PREFIX_BYTES..];
            assert_eq!(decode_request(&payload[..payload.len() - 1]).unwrap().command, command);
            for end in 0..payload.len() - 1 {
                assert!(decode_request(&payload[..end]).is_err(), "{command:?} up to {end}");
            }
        }
        let wrong = RequestFrame { id: 9, command: Command::Follow(Follow { room: old("general"), after: Some(1) }) };
        let mut whole = Vec::new();
        encode_request(&wrong, &mut whole).unwrap();
        assert!(decode_request(&whole[PREFIX_BYTES..whole.len() - 1]).is_err(), "a number that is cut off");
    }

    #[test]
    fn a_message_is_encoded_as_any_item() {
        let body = Bytes::from_static(b"\0hi\xff");
        let message = |kind| {
            let (room, client, body) = ("단톡".into(), "alice".into(), body.clone());
            Message { room, seq: 7, time_ms: 8, client, body, kind }
        };
        for (kind, id) in [Kind::Plain, Kind::Reply(9), Kind::Redaction(1 << 40), Kind::Redacted(3)]
            .into_iter()
            .flat_map(|kind| [(kind, Some(5)), (kind, None)])
        {
            let message = message(kind);
            let item = Item::Message(message.clone());
            let frame = match id {
                Some(id) => ServerFrame::Part { id, item },
                None => ServerFrame::Push { item },
            };
            let (mut quick, mut general) = (Vec::new(), Vec::new());
            encode_message(id, MessageRef::from(&message), &mut quick).unwrap();
            encode_server(&frame, &mut general).unwrap();
            assert_eq!(quick, general);
        }
        let (large, mut out) = (vec![0; FRAME_CEILING_BYTES], Vec::new());
        let message = message(Kind::Plain);
        let message = MessageRef { body: &large, ..MessageRef::from(&message) };
        assert_eq!(encode_message(None, message, &mut out).unwrap_err().code, ErrorCode::TooLong);
        assert!(out.is_empty());
    }
}
