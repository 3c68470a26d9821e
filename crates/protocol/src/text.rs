//! Escaped text: safe on a terminal, and reversible to the exact bytes.
//!
//! A backslash becomes `\\`, a line feed `\n`, a carriage return `\r`, a tab `\t`. Each byte of any other control character, of a
//! bidirectional or line-breaking character, and of invalid UTF-8 becomes `\xHH`. Everything else stays as it is.

use std::borrow::Cow;

use crate::limits::NAME_MAX_BYTES;

/// Whether a character may change how a terminal shows the text around it.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a text that a refusal quotes: what is longer was not typed by a person.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(NAME_MAX_BYTES) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'?');
        out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Bytes checked per step while nothing needs escaping.
const PLAIN_STEP_BYTES: usize = 16;

/// How many leading bytes, in whole steps, are ASCII that needs no escaping.
fn plain_bytes(bytes: &[u8]) -> usize {
    let is_plain = |byte: &u8| (0x20..0x7f).contains(byte) && *byte != b'\\';
    // No early exit within a step, so that the processor compares a whole step at once.
    let steps = bytes.chunks_exact(PLAIN_STEP_BYTES);
    steps.take_while(|step| step.iter().fold(true, |plain, byte| plain & is_plain(byte))).count() * PLAIN_STEP_BYTES
}

/// Appends `bytes` to `out` in their escaped form, which is UTF-8 without any [unsafe](is_unsafe) character.
pub fn escape_into(out: &mut Vec<u8>, bytes: &[u8]) {
    let (plain, bytes) = bytes.split_at_checked(plain_bytes(bytes)).unwrap_or((&[], bytes));
    out.extend_from_slice(plain);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut plain_from = 0;
        for (at, c) in valid.char_indices() {
            if c != '\\' && !is_unsafe(c) {
                continue;
            }
            let to = at + c.len_utf8();
            let (plain, special) = (valid.get(plain_from..at), valid.get(at..to));
            out.extend_from_slice(plain.unwrap_or_default().as_bytes());
            match c {
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                _ => push_hex(out, special.unwrap_or_default().as_bytes()),
            }
            plain_from = to;
        }
        out.extend_from_slice(valid.get(plain_from..).unwrap_or_default().as_bytes());
        push_hex(out, chunk.invalid());
    }
}

/// The escaped form of `bytes`.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape_into(&mut out, bytes);
    String::from_utf8_lossy(&out).into_owned()
}

/// Reverses [`escape`]; `None` if `text` is not something that it produces.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next()? {
            b'\\' => b'\\',
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_what_is_safe_and_escapes_what_is_not() {
        for (bytes, text) in [
            ("안녕 👩\u{200d}💻".as_bytes(), "안녕 👩\u{200d}💻"),
            (b"a\\b\nc\rd\te", r"a\\b\nc\rd\te"),
            (b"\x1b[2J\x00\x7f", r"\x1b[2J\x00\x7f"),
            ("\u{85}\u{202e}\u{2066}".as_bytes(), r"\xc2\x85\xe2\x80\xae\xe2\x81\xa6"),
            (b"a\xff\xc3(", r"a\xff\xc3("),
        ] {
            assert_eq!(escape(bytes), text);
            assert_eq!(unescape(text).as_deref(), Some(bytes));
        }
        for bad in [r"\", r"\q", r"\x1", r"\xg0"] {
            assert_eq!(unescape(bad), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_and_none_is_unsafe(bytes: Vec<u8>) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(is_unsafe));
            prop_assert_eq!(unescape(&text), Some(bytes));
        }
    }
}
