//! A WebSocket's incoming frames (RFC 6455, section 5), without extensions: messages are taken out of them as they arrive.
//!
//! Only bytes that have arrived take memory, whatever a frame says about its length, and a message over the limit ends the connection
//! by its length alone. Control frames leave nothing behind but the payload of the last ping.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::close::Code;
use crate::connection::Input;
use crate::limits::{SMALL_FRAMES_MAX, SMALL_FRAMES_WITHIN};
use dantok_protocol::{ErrorCode, Refusal};

/// The most bytes that a control frame carries.
const CONTROL_MAX_BYTES: usize = 125;
/// A frame with less than this is small.
const SMALL_BYTES: u64 = 128;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    /// Bytes that are still to come.
    left: u64,
}

/// What has arrived on a WebSocket.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The longest message.
    max: usize,
    /// A frame's head, as far as it has arrived.
    head: Vec<u8>,
    frame: Option<Frame>,
    /// The payload of a control frame, as far as it has arrived.
    control: Vec<u8>,
    /// Complete messages, and behind them the beginning of another.
    messages: BytesMut,
    /// The lengths of the complete ones.
    lengths: VecDeque<usize>,
    /// Bytes of the complete ones.
    complete: usize,
    /// Whether a message has begun in an earlier frame.
    is_continued: bool,
    /// The payload of the last ping that was not answered yet.
    pinged: Option<Vec<u8>>,
    small: (Instant, u32),
    end: Option<End>,
}

/// Why nothing more is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer has closed the WebSocket, with this code if it gave one.
    Closed(Option<u16>),
    /// The peer has broken the rules.
    Broken(Code, Refusal),
}

impl Inbox {
    /// For messages of at most so many bytes.
    pub(super) fn new(max: usize) -> Inbox {
        Inbox {
            max,
            head: Vec::new(),
            frame: None,
            control: Vec::new(),
            messages: BytesMut::new(),
            lengths: VecDeque::new(),
            complete: 0,
            is_continued: false,
            pinged: None,
            small: (Instant::now(), 0),
            end: None,
        }
    }

    /// Changes the limit, from the next frame on.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Bytes that have arrived and were not taken out.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Messages that can be taken out.
    pub(super) fn count(&self) -> usize {
        self.lengths.len()
    }

    /// Takes out the next message.
    pub(super) fn next(&mut self) -> Option<BytesMut> {
        let length = self.lengths.pop_front()?;
        self.complete -= length;
        let message = self.messages.split_to(length);
        if self.messages.is_empty() {
            // An idle connection keeps no buffer.
            self.messages = BytesMut::new();
            self.lengths.shrink_to(0);
        }
        Some(message)
    }

    /// Takes out the payload of the last ping, for its pong.
    pub(super) fn pinged(&mut self) -> Option<Vec<u8>> {
        self.pinged.take()
    }

    /// Why nothing more is taken in, if nothing is.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn fail(&mut self, code: Code, why: ErrorCode, text: impl Into<String>) {
        // What is left can't be understood.
        self.messages.truncate(self.complete);
        self.end = Some(End::Broken(code, Refusal::new(why, text)));
    }

    fn broken(&mut self, text: &str) {
        self.fail(Code::Protocol, ErrorCode::BadFrame, format!("not a WebSocket frame as RFC 6455 has it: {text}"));
    }

    /// Takes in the head of a frame. Returns how many of the bytes belong to it.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            self.head.push(*byte);
            taken += 1;
            if self.head.len() == head_bytes(&self.head) {
                self.begin();
                self.head.clear();
                break;
            }
        }
        taken
    }

    /// Begins the frame whose head is complete.
    fn begin(&mut self) {
        let [first, second, rest @ ..] = &*self.head else { return };
        let (is_final, opcode, short) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let Some((length, mask)) = rest.split_last_chunk::<4>() else { return };
        let left = length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let (left, mask) = (if length.is_empty() { u64::from(short) } else { left }, *mask);
        let is_control = opcode & 0x08 != 0;
        match () {
            () if first & 0x70 != 0 => return self.broken("a reserved bit is set"),
            () if second & 0x80 == 0 => return self.broken("it is not masked"),
            () if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) => {
                return self.broken("its opcode is unknown");
            }
            () if is_control && !is_final => return self.broken("a control frame is fragmented"),
            () if is_control && left > CONTROL_MAX_BYTES as u64 => return self.broken("a control frame is too long"),
            () if short == 126 && left < 126 || short == 127 && left <= 0xffff || left >> 63 != 0 => {
                return self.broken("its length is not in its shortest form");
            }
            () if !is_control && self.is_continued != (opcode == CONTINUATION) => {
                return self.broken("a message begins or goes on in the wrong place");
            }
            () if opcode == BINARY => {
                let text = "a message is text, one request in JSON; SEND takes any bytes as base64";
                return self.fail(Code::Unsupported, ErrorCode::BadFrame, text);
            }
            () => {}
        }
        let begun = self.messages.len() - self.complete;
        if !is_control && left > (self.max - begun.min(self.max)) as u64 {
            let text = format!("a message has at most {} bytes here", self.max);
            return self.fail(Code::TooBig, ErrorCode::TooLong, text);
        }
        if (is_control || self.is_continued || !is_final) && left < SMALL_BYTES && self.is_flood() {
            let text = format!(
                "more than {SMALL_FRAMES_MAX} control frames or small fragments within {} s",
                SMALL_FRAMES_WITHIN.as_secs()
            );
            return self.fail(Code::Policy, ErrorCode::Limit, text);
        }
        self.frame = Some(Frame { opcode, is_final, mask, left });
    }

    fn is_flood(&mut self) -> bool {
        let (since, count) = &mut self.small;
        if since.elapsed() > SMALL_FRAMES_WITHIN {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count > SMALL_FRAMES_MAX
    }

    /// Takes in some of a frame's payload. Returns how many of the bytes belong to it.
    fn payload(&mut self, bytes: &mut [u8]) -> usize {
        let Some(frame) = &mut self.frame else { return 0 };
        let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.get_mut(..taken).unwrap_or_default();
        unmask(part, &mut frame.mask);
        frame.left -= taken as u64;
        if frame.opcode & 0x08 == 0 {
            self.messages.extend_from_slice(part);
        } else {
            self.control.extend_from_slice(part);
        }
        if frame.left == 0
            && let Some(frame) = self.frame.take()
        {
            self.finish(frame);
        }
        taken
    }

    fn finish(&mut self, frame: Frame) {
        match frame.opcode {
            PING => self.pinged = Some(std::mem::take(&mut self.control)),
            PONG => self.control = Vec::new(),
            CLOSE => {
                let payload = std::mem::take(&mut self.control);
                self.closed(&payload);
            }
            _ if frame.is_final => self.complete(),
            _ => self.is_continued = true,
        }
    }

    /// A message is complete.
    fn complete(&mut self) {
        self.is_continued = false;
        let message = self.messages.get(self.complete..).unwrap_or_default();
        let length = message.len();
        if std::str::from_utf8(message).is_err() {
            return self.fail(
                Code::Invalid,
                ErrorCode::NotUtf8,
                "a text message is UTF-8; SEND takes any bytes as base64",
            );
        }
        self.lengths.push_back(length);
        self.complete += length;
    }

    fn closed(&mut self, mut payload: &[u8]) {
        if payload.is_empty() {
            self.end = Some(End::Closed(None));
            return;
        }
        let Ok(code) = payload.try_get_u16() else { return self.broken("a close frame has half a code") };
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return self.broken("a close frame has a code that is none");
        }
        if std::str::from_utf8(payload).is_err() {
            return self.fail(Code::Invalid, ErrorCode::NotUtf8, "the reason in a close frame is UTF-8");
        }
        self.messages.truncate(self.complete);
        self.end = Some(End::Closed(Some(code)));
    }
}

impl Input for Inbox {
    fn take(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while self.end.is_none() {
            let taken = match &self.frame {
                Some(_) => self.payload(rest),
                None if rest.is_empty() => break,
                None => self.head(rest),
            };
            if taken == 0 && self.frame.is_some() {
                break;
            }
            rest = rest.get_mut(taken..).unwrap_or_default();
        }
    }
}

/// How long a frame's head is, as far as its first bytes tell.
fn head_bytes(head: &[u8]) -> usize {
    match head.get(1).map(|second| second & 0x7f) {
        None => 2,
        // Without a mask the frame is refused, but its head is taken to be as long.
        Some(127) => 2 + 8 + 4,
        Some(126) => 2 + 2 + 4,
        Some(_) => 2 + 4,
    }
}

/// Removes a mask, and turns it so that it goes on where this ends.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    /// A masked frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | short as u8),
            medium @ 126..0x1_0000 => {
                bytes.push(0x80 | 126);
                bytes.extend((medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::new(1 << 20);
        inbox.take(&mut bytes.to_vec());
        inbox
    }

    fn messages(inbox: &mut Inbox) -> Vec<String> {
        std::iter::from_fn(|| inbox.next()).map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
    }

    fn code(inbox: &Inbox) -> Option<Code> {
        match inbox.end() {
            Some(End::Broken(code, _)) => Some(*code),
            _ => None,
        }
    }

    #[test]
    fn messages_come_out_whole_and_in_order() {
        let long = "가".repeat(30_000);
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, b"are you there?"),
            frame(0x00, b""),
            frame(0x80, b"o"),
            frame(0x8a, b"unasked"),
            frame(0x81, b""),
            frame(0x81, long.as_bytes()),
            frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
            frame(0x81, b"behind the end"),
        ]
        .concat();
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut inbox = Inbox::new(1 << 20);
            bytes.chunks(step).for_each(|part| inbox.take(&mut part.to_vec()));
            assert_eq!(inbox.count(), 4);
            assert_eq!(inbox.pinged().unwrap(), b"are you there?");
            assert_eq!(messages(&mut inbox), ["one", "two", "", &long]);
            assert_eq!(inbox.end(), Some(&End::Closed(Some(1000))));
            assert_eq!((inbox.len(), inbox.messages.capacity()), (0, 0));
        }
    }

    #[test]
    fn what_breaks_the_rules_ends_it_behind_what_was_right() {
        let unmasked = vec![0x81, 0x01, b'x', 0, 0, 0];
        let long_form = [vec![0x81, 0x80 | 126, 0, 5], MASK.to_vec(), b"hello".to_vec()].concat();
        let longer_form = [vec![0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], MASK.to_vec()].concat();
        let endless = [vec![0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0], MASK.to_vec()].concat();
        for (bytes, expected) in [
            (frame(0xc1, b"x"), Code::Protocol),
            (frame(0xa1, b"x"), Code::Protocol),
            (frame(0x91, b"x"), Code::Protocol),
            (frame(0x83, b"x"), Code::Protocol),
            (frame(0x8b, b"x"), Code::Protocol),
            (frame(0x09, b"x"), Code::Protocol),
            (frame(0x89, &[0; 126]), Code::Protocol),
            (frame(0x80, b"x"), Code::Protocol),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), Code::Protocol),
            (frame(0x88, &[3]), Code::Protocol),
            (frame(0x88, &[0x03, 0xed]), Code::Protocol),
            (frame(0x88, &[0x03, 0xe7]), Code::Protocol),
            (frame(0x88, &[0x03, 0xe8, 0xff]), Code::Invalid),
            (frame(0x82, b"x"), Code::Unsupported),
            (frame(0x81, b"\xff"), Code::Invalid),
            ([frame(0x01, "é".as_bytes()), frame(0x80, b"\xc3")].concat(), Code::Invalid),
            (unmasked, Code::Protocol),
            (long_form, Code::Protocol),
            (longer_form, Code::Protocol),
            (endless, Code::Protocol),
        ] {
            let mut inbox = inbox(&[frame(0x81, b"right"), bytes.clone(), frame(0x81, b"never seen")].concat());
            assert_eq!(code(&inbox), Some(expected), "{bytes:x?}");
            assert_eq!(messages(&mut inbox), ["right"]);
            assert_eq!(inbox.len(), 0, "{bytes:x?}");
        }
    }

    #[test]
    fn a_message_is_refused_by_its_length_before_it_arrives() {
        let head = |length: u64| [vec![0x01, 0x80 | 127], length.to_be_bytes().to_vec(), MASK.to_vec()].concat();
        for (max, bytes, is_refused) in [
            (100_000, head(100_000), false),
            (100_000, head(100_001), true),
            (100_000, head((1 << 63) - 1), true),
            (10, [frame(0x01, b"123456"), frame(0x80, b"7890")].concat(), false),
            (10, [frame(0x01, b"123456"), frame(0x80, b"78901")].concat(), true),
            (10, [frame(0x81, b"1234567890"), frame(0x81, b"1234567890")].concat(), false),
        ] {
            let mut inbox = Inbox::new(max);
            inbox.take(&mut bytes.clone());
            assert_eq!(code(&inbox) == Some(Code::TooBig), is_refused, "{bytes:x?}");
            assert!(inbox.messages.capacity() <= 64, "{}", inbox.messages.capacity());
        }
    }

    #[test]
    fn a_flood_of_small_frames_ends_it() {
        for flood in [frame(0x89, b"ping"), frame(0x8a, b""), frame(0x00, b"")] {
            let mut inbox = inbox(&frame(0x01, b"begun"));
            for _ in 0..SMALL_FRAMES_MAX - 1 {
                inbox.take(&mut flood.clone());
            }
            assert_eq!(inbox.end(), None);
            inbox.take(&mut flood.clone());
            inbox.take(&mut flood.clone());
            assert_eq!(code(&inbox), Some(Code::Policy));
            // Of all the pings, the last one's answer is enough.
            assert!(inbox.control.capacity() < 256);
        }
        // Fragments of a useful size are not small, however many they are.
        let mut inbox = inbox(&frame(0x01, &[b'x'; 200]));
        for _ in 0..4 * SMALL_FRAMES_MAX {
            inbox.take(&mut frame(0x00, &[b'x'; 200]));
        }
        assert_eq!(inbox.end(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_no_split_changes_what_comes_out(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            at in 0_usize..600,
        ) {
            let mut whole = Inbox::new(300);
            whole.take(&mut bytes.clone());
            let mut split = Inbox::new(300);
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            split.take(&mut first.to_vec());
            split.take(&mut second.to_vec());
            prop_assert_eq!(whole.end(), split.end());
            prop_assert_eq!(messages(&mut whole), messages(&mut split));
        }

        #[test]
        fn a_mask_comes_off_however_it_is_split(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0_usize..100) {
            let expected: Vec<u8> = bytes.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            let (mut found, mut mask) = (bytes, MASK);
            let at = at.min(found.len());
            let (first, second) = found.split_at_mut(at);
            unmask(first, &mut mask);
            unmask(second, &mut mask);
            prop_assert_eq!(found, expected);
        }
    }
}
