//! Both framings behind one interface: which one a connection uses, and how it reads requests and writes answers.

use std::io;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::frame::{self, RequestDecoder, ServerFrame};
use crate::line::{self, LineDecoder};
use crate::{ErrorCode, Incoming, Item, MessageRef, Refusal, Reply, Tag, json, json_request};

/// How answers are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Lines.
    Lines,
    /// Lines with answers in JSON.
    Json,
    /// Frames.
    Frames,
}

/// Reads requests from a stream of bytes, and encodes answers and pushes. Encoding fails only if an answer does not fit, which the
/// limits rule out.
pub trait Framing: Send + Sync {
    /// The next request; `None` until there are more bytes.
    ///
    /// # Errors
    /// It never fails; the trait of the codecs requires the type.
    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Incoming>>;

    /// Whether these bytes, which come next, contain an interrupt key.
    fn is_interrupted(&self, bytes: &[u8]) -> bool;

    /// Changes the longest accepted body, from the next request on.
    fn set_body_max(&mut self, bytes: usize);

    /// Switches answers to JSON, or back to text.
    ///
    /// # Errors
    /// The framing has only one format.
    fn set_format(&mut self, json: bool) -> Result<(), Refusal>;

    /// The current encoding of answers. Connections with the same encoding get a push as the same bytes.
    fn encoding(&self) -> Encoding;

    /// Appends an answer.
    ///
    /// # Errors
    /// It does not fit.
    fn put_reply(&self, tag: &Tag, reply: Reply, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// Appends part of an answer or, without a tag, a push.
    ///
    /// # Errors
    /// It does not fit.
    fn put_item(&self, tag: Option<&Tag>, item: Item, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// The same for a borrowed message.
    ///
    /// # Errors
    /// It does not fit.
    fn put_message(&self, tag: Option<&Tag>, message: MessageRef<'_>, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// Appends why the connection is closed.
    ///
    /// # Errors
    /// It does not fit.
    fn put_closing(&self, refusal: Refusal, out: &mut Vec<u8>) -> Result<(), Refusal>;
}

impl Encoding {
    /// Recognises the framing by a connection's first byte.
    ///
    /// # Errors
    /// The byte begins neither a line nor a frame.
    pub fn of_first(byte: u8) -> Result<Encoding, Refusal> {
        match byte {
            0x00 => Ok(Encoding::Frames),
            letter if letter.is_ascii_alphabetic() => Ok(Encoding::Lines),
            b'{' => Ok(Encoding::Json),
            // Bytes with which a person may begin by mistake; the answer to the line says what is wrong. The last ones are letters of
            // other alphabets.
            b'@' | b'\r' | b'\n' | b' ' | b'\t' | 0x08 | 0x1b | 0x7f | 0xff | 0xc2..=0xf4 => Ok(Encoding::Lines),
            b'/' | b'\\' | b'?' | b'!' | b'.' | b':' | b'#' | b'\'' | b'"' | b'`' | b'(' | b'-' => Ok(Encoding::Lines),
            0x16 => Err(Refusal::new(ErrorCode::BadCommand, "this port does not speak TLS; connect without it")),
            _ => Err(Refusal::new(ErrorCode::BadCommand, "this is dantok; begin with HELLO <client>, or a frame")),
        }
    }

    /// Creates the framing for bodies of at most this many bytes.
    pub fn framing(self, body_max: usize) -> Box<dyn Framing> {
        match self {
            Encoding::Lines | Encoding::Json => {
                Box::new(Lines { decoder: LineDecoder::new(body_max), json: self == Encoding::Json })
            }
            Encoding::Frames => Box::new(Frames { decoder: RequestDecoder::new(body_max) }),
        }
    }
}

/// Creates a framing for a transport that keeps messages apart: each message is one request in JSON, and is decoded by itself, whole,
/// without a line end. Answers and pushes are lines of JSON.
pub fn messages(body_max: usize) -> Box<dyn Framing> {
    Box::new(Messages { body_max })
}

struct Lines {
    decoder: LineDecoder,
    json: bool,
}

impl Framing for Lines {
    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Incoming>> {
        let found = self.decoder.decode(bytes);
        self.json |= self.decoder.take_began_in_json();
        found
    }

    fn is_interrupted(&self, bytes: &[u8]) -> bool {
        self.decoder.is_interrupted(bytes)
    }

    fn set_body_max(&mut self, bytes: usize) {
        self.decoder.set_body_max(bytes);
    }

    fn set_format(&mut self, json: bool) -> Result<(), Refusal> {
        self.json = json;
        Ok(())
    }

    fn encoding(&self) -> Encoding {
        if self.json { Encoding::Json } else { Encoding::Lines }
    }

    fn put_reply(&self, tag: &Tag, reply: Reply, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.json {
            json::encode_reply(tag, &reply, out)
        } else {
            line::encode_reply(tag, &reply, out)
        }
        Ok(())
    }

    fn put_item(&self, tag: Option<&Tag>, item: Item, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let tag = tag.unwrap_or(&Tag::None);
        if self.json {
            json::encode_item(tag, &item, out)
        } else {
            line::encode_item(tag, &item, out)
        }
        Ok(())
    }

    fn put_message(&self, tag: Option<&Tag>, message: MessageRef<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let tag = tag.unwrap_or(&Tag::None);
        if self.json {
            json::encode_message(tag, message, out)
        } else {
            line::encode_message(tag, message, out)
        }
        Ok(())
    }

    fn put_closing(&self, refusal: Refusal, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.put_reply(&Tag::None, Reply::Error(refusal), out)
    }
}

struct Messages {
    body_max: usize,
}

impl Framing for Messages {
    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Incoming>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let message = bytes.split();
        Ok(Some(match std::str::from_utf8(&message) {
            Ok(text) => json_request::parse(text, self.body_max),
            Err(_) => {
                let refusal = Refusal::new(ErrorCode::NotUtf8, "a message is UTF-8; SEND takes any bytes as base64");
                Incoming::Refused { tag: Tag::None, refusal }
            }
        }))
    }

    fn is_interrupted(&self, _bytes: &[u8]) -> bool {
        false
    }

    fn set_body_max(&mut self, bytes: usize) {
        self.body_max = bytes;
    }

    fn set_format(&mut self, _json: bool) -> Result<(), Refusal> {
        Err(Refusal::new(ErrorCode::BadArgument, "here, every answer is JSON; FORMAT is for lines"))
    }

    fn encoding(&self) -> Encoding {
        Encoding::Json
    }

    fn put_reply(&self, tag: &Tag, reply: Reply, out: &mut Vec<u8>) -> Result<(), Refusal> {
        json::encode_reply(tag, &reply, out);
        Ok(())
    }

    fn put_item(&self, tag: Option<&Tag>, item: Item, out: &mut Vec<u8>) -> Result<(), Refusal> {
        json::encode_item(tag.unwrap_or(&Tag::None), &item, out);
        Ok(())
    }

    fn put_message(&self, tag: Option<&Tag>, message: MessageRef<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        json::encode_message(tag.unwrap_or(&Tag::None), message, out);
        Ok(())
    }

    fn put_closing(&self, refusal: Refusal, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.put_reply(&Tag::None, Reply::Error(refusal), out)
    }
}

struct Frames {
    decoder: RequestDecoder,
}

fn id(tag: &Tag) -> u64 {
    if let Tag::Id(id) = tag { *id } else { 0 }
}

impl Framing for Frames {
    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Incoming>> {
        self.decoder.decode(bytes)
    }

    fn is_interrupted(&self, _bytes: &[u8]) -> bool {
        false
    }

    fn set_body_max(&mut self, bytes: usize) {
        self.decoder.set_body_max(bytes);
    }

    fn set_format(&mut self, _json: bool) -> Result<(), Refusal> {
        Err(Refusal::new(ErrorCode::BadArgument, "frames have one format; FORMAT is for lines"))
    }

    fn encoding(&self) -> Encoding {
        Encoding::Frames
    }

    fn put_reply(&self, tag: &Tag, reply: Reply, out: &mut Vec<u8>) -> Result<(), Refusal> {
        frame::encode_server(&ServerFrame::Reply { id: id(tag), reply }, out)
    }

    fn put_item(&self, tag: Option<&Tag>, item: Item, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let frame = match tag {
            Some(tag) => ServerFrame::Part { id: id(tag), item },
            None => ServerFrame::Push { item },
        };
        frame::encode_server(&frame, out)
    }

    fn put_message(&self, tag: Option<&Tag>, message: MessageRef<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        frame::encode_message(tag.map(id), message, out)
    }

    fn put_closing(&self, refusal: Refusal, out: &mut Vec<u8>) -> Result<(), Refusal> {
        frame::encode_server(&ServerFrame::Closing { refusal }, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;

    #[test]
    fn a_message_is_one_request_whatever_is_in_it() {
        let mut framing = messages(10);
        let mut decode = |message: &[u8]| {
            let mut bytes = BytesMut::from(message);
            let found = framing.decode(&mut bytes).unwrap();
            assert!(bytes.is_empty(), "it is consumed whole");
            found
        };
        let ping = Some(Incoming::Request { tag: Tag::Id(1), command: Command::Ping });
        assert_eq!(decode(b"{\"do\":\"ping\",\"tag\":1}"), ping);
        assert_eq!(decode(b"{\n  \"do\": \"ping\",\n  \"tag\": 1\n}\n"), ping);
        assert_eq!(decode(b""), None);
        for (message, code) in [
            (&b"{\"do\":\"ping\"}\n{\"do\":\"ping\"}"[..], ErrorCode::BadCommand),
            (b"PING", ErrorCode::BadCommand),
            (b"\n", ErrorCode::BadCommand),
            (b"{\"do\":\"p\xff\"}", ErrorCode::NotUtf8),
            (b"{\"do\":\"send\",\"room\":\"r\",\"text\":\"12345678901\"}", ErrorCode::TooLong),
        ] {
            let found = decode(message);
            let is_it = matches!(&found, Some(Incoming::Refused { refusal, .. }) if refusal.code == code);
            assert!(is_it, "{}: {found:?}", message.escape_ascii());
        }
        assert_eq!(framing.set_format(false).unwrap_err().code, ErrorCode::BadArgument);
        assert_eq!(framing.encoding(), Encoding::Json);
    }
}
