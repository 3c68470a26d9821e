//! The rule that names follow: rooms, clients, devices and message ids.

use super::text::is_unsafe;
use super::{ErrorCode, Refusal};
use crate::limits::{NAME_MAX_BYTES, NICK_MAX_CHARS, TOPIC_MAX_BYTES};

fn check(what: &str, name: &str) -> Result<(), Refusal> {
    let bad = |why: &str| Err(Refusal::new(ErrorCode::BadArgument, format!("{what} {why}")));
    if name.is_empty() {
        return bad("is missing");
    }
    if name.len() > NAME_MAX_BYTES {
        return bad(&format!("is longer than {NAME_MAX_BYTES} bytes"));
    }
    // A name stands bare on lines and terminals, so what is escaped in a text can't be in a name at all.
    if name.chars().any(|c| c.is_whitespace() || is_unsafe(c) || c == '=') {
        return bad("may not contain white space, control characters or '='");
    }
    Ok(())
}

/// Checks a room's name.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_room(room: &str) -> Result<(), Refusal> {
    check("the room's name", room)
}

/// Checks a group's name.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_group(group: &str) -> Result<(), Refusal> {
    check("the group's name", group)
}

/// Checks a message id.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_id(id: &str) -> Result<(), Refusal> {
    check("the message id", id)
}

/// Checks `client` or `client/device`.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_client(client: &str) -> Result<(), Refusal> {
    match client.split_once('/') {
        None => check("the client's name", client),
        Some((person, device)) => {
            check("the client's name", person)?;
            check("the device's name", device)?;
            if device.contains('/') {
                return Err(Refusal::new(ErrorCode::BadArgument, "the device's name may not contain '/'"));
            }
            Ok(())
        }
    }
}

/// Checks a client's name that stands for all its devices.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_person(person: &str) -> Result<(), Refusal> {
    if person.contains('/') {
        return Err(Refusal::new(
            ErrorCode::BadArgument,
            "the person is meant, with all devices; leave out the '/' and what follows",
        ));
    }
    check("the client's name", person)
}

/// Checks what a name that nothing has yet must keep to as well: it may not look like an option. One from before stays reachable.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_new(name: &str) -> Result<(), Refusal> {
    match name.split('/').any(|part| part.starts_with('-')) {
        true => Err(Refusal::new(ErrorCode::BadArgument, "a name may not begin with '-'")),
        false => Ok(()),
    }
}

/// The person behind `client` or `client/device`.
pub fn person(client: &str) -> &str {
    client.split_once('/').map_or(client, |(person, _)| person)
}

/// Checks a nick.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_nick(nick: &str) -> Result<(), Refusal> {
    if nick.trim().is_empty() || nick.chars().count() > NICK_MAX_CHARS || nick.chars().any(is_unsafe) {
        return Err(Refusal::new(
            ErrorCode::BadArgument,
            format!("a nick has 1 to {NICK_MAX_CHARS} characters, no control characters among them"),
        ));
    }
    Ok(())
}

/// Checks a room's topic.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_topic(topic: &str) -> Result<(), Refusal> {
    if topic.len() > TOPIC_MAX_BYTES || topic.chars().any(is_unsafe) {
        return Err(Refusal::new(
            ErrorCode::BadArgument,
            format!("a topic has at most {TOPIC_MAX_BYTES} bytes, no control characters among them"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "단톡", "#ubuntu", "|trey|", "a/b", &"x".repeat(64)] {
            assert!(check_room(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\u{a0}b", "a=b", "a\u{7f}", "a\u{85}", "a\u{202e}b", &"x".repeat(65)] {
            assert!(check_room(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_may_carry_one_device() {
        assert!(check_client("alice/phone").is_ok());
        for bad in ["/phone", "alice/", "alice/a/b", "/"] {
            assert!(check_client(bad).is_err(), "{bad}");
        }
        assert_eq!(person("alice/phone"), "alice");
        assert_eq!(person("alice"), "alice");
    }

    #[test]
    fn nicks_count_characters() {
        assert!(check_nick(&"가".repeat(32)).is_ok());
        assert!(check_nick(&"가".repeat(33)).is_err());
        assert!(check_nick(" ").is_err());
        assert!(check_nick("a\u{1b}[2J").is_err());
    }
}
