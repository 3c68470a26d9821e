//! JSON from strangers: bounded in depth and in values before memory is taken for it, and read leniently after that.

use serde_json::Value;

use dantok_protocol::{ErrorCode, Refusal};

/// How deep values may be nested. No sender comes near.
const DEPTH_MAX: usize = 64;
/// How many values there may be. A value takes up to some hundred bytes in memory, however short it is written.
const VALUES_MAX: usize = 65_536;
/// Characters of a text that is shown in a line with others.
const LINE_MAX_CHARS: usize = 300;

/// Reads one JSON value.
///
/// # Errors
/// It is not one, or exceeds a bound.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bound(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| {
        if std::str::from_utf8(bytes).is_err() {
            return Refusal::new(ErrorCode::NotUtf8, "the body is not UTF-8");
        }
        Refusal::new(ErrorCode::BadArgument, format!("the body is not JSON: {error}"))
    })
}

/// Checks the bounds by the punctuation outside of strings: at least one character of it precedes each value but the first.
fn bound(bytes: &[u8]) -> Result<(), Refusal> {
    let (mut depth, mut values) = (0, 0);
    let (mut is_string, mut is_escaped) = (false, false);
    for byte in bytes {
        if is_string {
            is_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => is_string = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' => depth -= 1,
            b',' | b':' => values += 1,
            _ => {}
        }
        if depth > DEPTH_MAX as isize {
            let text = format!("the JSON is nested deeper than {DEPTH_MAX} levels");
            return Err(Refusal::new(ErrorCode::BadArgument, text));
        }
        if values > VALUES_MAX {
            let text = format!("the JSON has more than {VALUES_MAX} values");
            return Err(Refusal::new(ErrorCode::TooLong, text));
        }
    }
    Ok(())
}

/// The value at a path such as `repository.full_name`; null if there is none.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(value, |value, name| value.get(name)).unwrap_or(&Value::Null)
}

/// The string at a path; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The first string at one of these paths that is not empty.
pub(super) fn first<'a>(value: &'a Value, paths: &[&str]) -> &'a str {
    paths.iter().map(|path| text(value, path)).find(|text| !text.trim().is_empty()).unwrap_or_default()
}

/// The array at a path; empty if there is none.
pub(super) fn array<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The whole number at a path; 0 if there is none.
pub(super) fn number(value: &Value, path: &str) -> u64 {
    at(value, path).as_u64().unwrap_or(0)
}

/// A string or number as it is shown; empty for anything else.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is_true) => is_true.to_string(),
        _ => String::new(),
    }
}

/// A text for a line with others: its first line that is not blank, with single spaces, and cut if it is long.
pub(super) fn line(text: &str) -> String {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    shorten(&words, LINE_MAX_CHARS)
}

/// A text of at most so many characters.
pub(super) fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_or_too_much_is_refused_before_it_is_read() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        for (deep, code) in [
            (nested(DEPTH_MAX + 1), ErrorCode::BadArgument),
            ("[".repeat(1 << 20), ErrorCode::BadArgument),
            ("{\"a\":".repeat(1 << 17), ErrorCode::BadArgument),
            (format!("[{}0]", "0,".repeat(VALUES_MAX)), ErrorCode::TooLong),
            (format!("[{}0]", "{\"\":0},".repeat(VALUES_MAX / 2)), ErrorCode::TooLong),
            ("]".repeat(1000), ErrorCode::BadArgument),
            (String::new(), ErrorCode::BadArgument),
            ("{} {}".to_owned(), ErrorCode::BadArgument),
        ] {
            assert_eq!(parse(deep.as_bytes()).unwrap_err().code, code, "{deep:.40}");
        }
        assert_eq!(parse(b"{\"text\":\"\xff\"}").unwrap_err().code, ErrorCode::NotUtf8);
        // Punctuation in strings does not count.
        let text = format!("\"\\\\\\\"{}\"", "[{,:".repeat(VALUES_MAX));
        assert!(parse(text.as_bytes()).is_ok());
        assert!(parse(b"\xef\xbb\xbf{}").is_ok());
    }

    #[test]
    fn paths_lead_where_they_say_or_nowhere() {
        let value = parse(br#"{"a":{"b":"c","n":7,"l":[1]},"x":null}"#).unwrap();
        assert_eq!((text(&value, "a.b"), number(&value, "a.n"), array(&value, "a.l").len()), ("c", 7, 1));
        assert_eq!((text(&value, "a.b.c"), text(&value, "x.y"), text(&value, "a")), ("", "", ""));
        assert_eq!(first(&value, &["x", "a.n", "a.b"]), "c");
        assert_eq!(line("\n  a \t b\r\nc"), "a b");
        assert_eq!((shorten("단톡방", 2), shorten("단톡", 2)), ("단톡…".to_owned(), "단톡".to_owned()));
    }
}
