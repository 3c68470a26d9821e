//! The beginning of a connection: who has not found the first word yet, and what is no person and no client of ours.

use super::arguments::Words;
use super::hint;

/// How many wrong lines a connection may begin with; after the last it is closed.
pub(super) const WRONG_LINES_MAX: u32 = 3;

/// What may be said without HELLO; with any of them the beginning is over.
pub(crate) const FIRST_VERBS: [&str; 5] = ["HELLO", "FORMAT", "HELP", "PING", "QUIT"];

/// Protocols whose requests end with their name and a version, and whose answers begin with it.
const VERSIONED: [&str; 5] = ["HTTP/", "SIP/", "RTSP/", "ICAP/", "RTMP/"];
/// Methods of HTTP, where a path or an address follows.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// Whether a line is of another protocol, so that nothing that follows it is to be read as commands. A browser can be made to send
/// anything behind its request line, so that a line that may be one is never passed over.
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
            verb.starts_with("SSH-") || first.starts_with(['{', '[', '<']) || counted('*') || counted('$')
        }
    }
}

/// What is wrong with a first line, which begins with this word in upper case; none where nothing is.
pub(super) fn wrong(verb: &str) -> Option<String> {
    match verb {
        verb if FIRST_VERBS.contains(&verb) => None,
        "NICK" => Some(hint::NICK_FIRST.to_owned()),
        verb => Some(hint::hello_first(verb)),
    }
}
