//! The beginning of a connection: people who have not found the first command yet, and clients of other protocols.

use super::arguments::Words;
use super::hint;

/// How many invalid lines a connection may begin with; after the last one it is closed.
pub(super) const WRONG_LINES_MAX: u32 = 3;

/// Verbs that are valid before HELLO. Any of them ends the beginning.
pub(crate) const FIRST_VERBS: [&str; 5] = ["HELLO", "FORMAT", "HELP", "PING", "QUIT"];

/// Protocols whose requests end with the protocol's name and version, and whose answers begin with them.
const VERSIONED: [&str; 5] = ["HTTP/", "SIP/", "RTSP/", "ICAP/", "RTMP/"];
/// HTTP methods, if a path or an address follows.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// Whether a line belongs to another protocol, so that nothing after it may be read as commands. A browser can be tricked into sending
/// anything after its request line, so no possible request line is skipped.
pub(super) fn is_foreign(line: &str) -> bool {
    let mut words = Words(line);
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let last = words.last();
    let verb = first.to_ascii_uppercase();
    let second = second.unwrap_or_default();
    let versioned = |word: &str| {
        let begins = |name: &&str| word.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        VERSIONED.iter().any(begins)
    };
    let is_host = |word: &str| word.contains(['.', '[', ':']) || word.eq_ignore_ascii_case("localhost");
    let is_header = first.strip_suffix(':').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    });
    match &*verb {
        _ if line.contains('\0') || versioned(first) || last.is_some_and(versioned) || is_header => true,
        "EHLO" | "LHLO" | "STARTTLS" => true,
        "HELO" | "CONNECT" if is_host(second) => true,
        "MAIL" | "RCPT" => second.contains(':'),
        "PROXY" => matches!(second, "TCP4" | "TCP6" | "UNKNOWN"),
        method if METHODS.contains(&method) => second == "*" || second.starts_with('/') || second.contains("://"),
        _ => {
            let counted =
                |mark| first.strip_prefix(mark).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            verb.starts_with("SSH-") || first.starts_with(['[', '<']) || counted('*') || counted('$')
        }
    }
}

/// What is wrong with a first line that begins with this word, in upper case; `None` if nothing is.
pub(super) fn wrong(verb: &str) -> Option<String> {
    match verb {
        verb if FIRST_VERBS.contains(&verb) => None,
        "NICK" => Some(hint::NICK_FIRST.to_owned()),
        verb => Some(hint::hello_first(verb)),
    }
}
