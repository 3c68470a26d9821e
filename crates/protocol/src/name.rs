//! The rules for names of rooms, groups, clients and devices, and for message ids.
//!
//! A name is looked up by its exact bytes first, and only then in its [composed] form. So names from before these rules stay reachable,
//! while new names must pass [`check_new`]. Whether a name exists is checked elsewhere: by the session for names in requests, and by the
//! committer for new rooms and groups.
//!
//! Message ids are made by programs and not shown to people, so only their bytes count.

mod look;

use super::text::is_unsafe;
use super::{ErrorCode, Refusal};
use crate::limits::{NAME_MAX_BYTES, NICK_MAX_CHARS, TOPIC_MAX_BYTES};
pub use look::composed;

fn check(what: &str, name: &str) -> Result<(), Refusal> {
    let bad = |why: &str| Err(Refusal::new(ErrorCode::BadArgument, format!("{what} {why}")));
    if name.is_empty() {
        return bad("is missing");
    }
    if name.len() > NAME_MAX_BYTES {
        return bad(&format!("is longer than {NAME_MAX_BYTES} bytes"));
    }
    // Names appear unescaped in lines and on terminals, so they can't contain characters that texts must escape.
    if let Some(c) = name.chars().find(|c| c.is_whitespace() || is_unsafe(*c) || *c == '=') {
        let which = if c == '=' { String::new() } else { format!("; it has {}", look::named(c)) };
        return bad(&format!("may not contain white space, control characters or '='{which}"));
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

/// Checks a client's name without a device.
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

/// Checks the additional rules for new names: they may not look like an option or like another name.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_new(name: &str) -> Result<(), Refusal> {
    let bad = |why: &str| Err(Refusal::new(ErrorCode::BadArgument, format!("a name {why}")));
    if name.split('/').any(|part| part.starts_with('-')) {
        return bad("may not begin with '-'");
    }
    let kept = composed(name);
    if kept != name {
        return bad(&format!("like this is written another way: {kept}"));
    }
    match name.split('/').find_map(look::fault_of_part) {
        Some(fault) => bad(&fault),
        None => Ok(()),
    }
}

/// The person in `client` or `client/device`.
pub fn person(client: &str) -> &str {
    client.split_once('/').map_or(client, |(person, _)| person)
}

/// The person that incoming hooks write as: the hook `ci` is the client `hook/ci`.
pub const HOOK: &str = "hook";

/// Whether this client is an incoming hook.
pub fn is_hook(client: &str) -> bool {
    client.split_once('/').is_some_and(|(person, _)| person == HOOK)
}

/// The name that a client's messages are signed with: the person's, or that of the hook.
pub fn signature(client: &str) -> &str {
    if is_hook(client) { client } else { person(client) }
}

/// Refuses the name of hooks, in any case, to a client that says HELLO or gets a token.
///
/// # Errors
/// `bad-argument`, with a sentence that says why.
pub fn check_not_hook(client: &str) -> Result<(), Refusal> {
    if person(client).eq_ignore_ascii_case(HOOK) {
        let text = "messages of incoming hooks are signed with this name; choose another";
        return Err(Refusal::new(ErrorCode::BadArgument, text));
    }
    Ok(())
}

/// Checks a nick.
///
/// # Errors
/// `bad-argument`, with a sentence that says what is wrong.
pub fn check_nick(nick: &str) -> Result<(), Refusal> {
    if nick.chars().all(look::is_blank) || nick.chars().count() > NICK_MAX_CHARS || nick.chars().any(is_unsafe) {
        return Err(Refusal::new(
            ErrorCode::BadArgument,
            format!(
                "a nick has 1 to {NICK_MAX_CHARS} characters, one that is seen and no control characters among them"
            ),
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
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization as _;

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
    fn a_new_name_looks_like_no_other() {
        for good in [
            "lobby",
            "#ubuntu",
            "|trey|",
            "v1.2",
            "a-b",
            "a/b",
            "a_b",
            "50%",
            "단톡",
            "단톡방1",
            "ㅋㅋ",
            "dev-단톡",
            "한·글",
            "漢字かなカナ",
            "ラーメン",
            "日本go",
            "台北ㄅ",
            "москва",
            "ελλάδα",
            "café",
            "naïve",
            "straße",
            "sıcak",
            "नमस्ते",
            "مرحبا",
            "שלום",
            "ภาษาไทย",
            "việt-nam",
            "иван/phone",
            "🚀",
            "🏳\u{200d}🌈",
            "👩\u{200d}💻",
            "👍🏽",
            "🇰🇷",
            "❤",
            "1\u{20e3}",
            "🈁",
            "→",
            "★",
            "₩",
            "€",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert_eq!(check_room(good), Ok(()), "{good}");
            assert_eq!(check_new(good), Ok(()), "{good}");
        }
        for (bad, says) in [
            ("a\u{200b}", "U+200B "),
            ("\u{feff}a", "U+FEFF "),
            ("a\u{200d}b", "U+200D "),
            ("🍎\u{200d}🍌", "U+200D "),
            ("🚀\u{200d}", "U+200D "),
            ("a\u{200c}b", "U+200C "),
            ("a\u{ad}b", "U+00AD "),
            ("a\u{34f}b", "U+034F "),
            ("a\u{2060}b", "U+2060 "),
            ("a\u{2061}b", "U+2061 "),
            ("a\u{180e}b", "U+180E "),
            ("a\u{180b}b", "U+180B "),
            ("a\u{fe0f}b", "U+FE0F "),
            ("a\u{fe00}b", "U+FE00 "),
            ("a\u{e0100}b", "U+E0100 "),
            ("a\u{e0061}", "U+E0061 "),
            ("a\u{206a}", "U+206A "),
            ("a\u{17b5}", "U+17B5 "),
            ("\u{115f}", "U+115F "),
            ("가\u{1160}", "U+1160 "),
            ("\u{3164}", "U+3164 "),
            ("\u{ffa0}", "U+FFA0 "),
            ("\u{2800}", "U+2800 "),
            ("\u{e000}", "U+E000 "),
            ("a\u{378}", "U+0378 "),
            ("a\u{ffff}", "U+FFFF "),
            ("a\u{fffd}", "U+FFFD "),
            ("\u{301}a", "U+0301"),
            ("a/\u{301}b", "U+0301"),
            ("q\u{302}\u{302}", "U+0302"),
            ("q\u{300}\u{302}\u{303}\u{304}\u{306}\u{307}", "U+0307"),
            ("ＡＢＣ", "U+FF21 (Ａ) in it, which is taken for A"),
            ("ﬁsh", "taken for fi"),
            ("ﾊ", "U+FF8A"),
            ("ﾡ", "U+FFA1"),
            ("x²", "taken for 2"),
            ("𝐚", "taken for a"),
            ("ᄀ", "U+1100"),
            ("a–b", "U+2013 (–) in it, which is taken for -"),
            ("a‐b", "U+2010"),
            ("alice∕phone", "U+2215"),
            ("alice⁄phone", "U+2044"),
            ("aǃ", "U+01C3"),
            ("ɑlice", "U+0251"),
            ("аdmin", "U+0064 beside U+0430 (а)"),
            ("pаypal", "U+0430 (а) beside U+0070"),
            ("αdmin", "beside U+03B1 (α)"),
            ("단톡а", "U+0430"),
            ("かб", "U+0431"),
            ("𐌀", "U+10300"),
            ("-a", "'-'"),
            ("a/-b", "'-'"),
            ("cafe\u{301}", "way: café"),
        ] {
            let refusal = check_new(bad).expect_err(bad);
            assert!(refusal.code == ErrorCode::BadArgument && refusal.text.contains(says), "{bad:?}: {}", refusal.text);
        }
    }

    #[test]
    fn every_emoji_is_a_name_in_one_way() {
        let toned = |emoji: &'static emojis::Emoji| emoji.skin_tones().into_iter().flatten();
        for emoji in emojis::iter().flat_map(|emoji| std::iter::once(emoji).chain(toned(emoji))) {
            let name = composed(emoji.as_str());
            // These are letters in a frame, or two characters in one place.
            let is_other = matches!(emoji.as_str().chars().next(), Some('‼' | '⁉' | '™' | 'ℹ' | 'Ⓜ' | '㊗' | '㊙'));
            assert!(check_new(&name).is_ok() != is_other, "{emoji} {:?}", check_new(&name));
            let bare: String = emoji.as_str().chars().filter(|c| *c != '\u{fe0f}').collect();
            assert_eq!(name, composed(&bare));
        }
    }

    #[test]
    fn one_way_of_writing_is_kept() {
        for (written, kept) in [
            ("cafe\u{301}", "café"),
            ("\u{1103}\u{1161}\u{11ab}\u{1110}\u{1169}\u{11a8}", "단톡"),
            ("\u{212a}", "K"),
            ("❤\u{fe0f}", "❤"),
            ("❤\u{fe0e}", "❤"),
            ("🏳\u{fe0f}\u{200d}🌈", "🏳\u{200d}🌈"),
            ("단톡", "단톡"),
            ("a\u{fe0f}", "a\u{fe0f}"),
            ("a\u{200b}", "a\u{200b}"),
        ] {
            assert_eq!(composed(written), kept);
        }
    }

    proptest! {
        #[test]
        fn what_is_composed_stays_so_and_any_text_is_judged(name: String) {
            let once = composed(&name).into_owned();
            prop_assert_eq!(&*composed(&once), &*once);
            if check_room(&name).is_ok() && check_new(&name).is_ok() {
                prop_assert_eq!(&once, &name);
                let is_hidden = name.contains(['\u{200b}', '\u{feff}', '\u{3164}']);
                prop_assert!(!is_hidden);
            }
        }

        #[test]
        fn two_names_that_are_canonically_equal_are_one(name in "[가-힣à-ÿа-я]{1,8}") {
            let apart: String = name.nfd().collect();
            prop_assert_eq!(composed(&apart), composed(&name));
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
    fn nobody_is_a_hook() {
        for hook in ["hook", "hook/ci", "Hook/ci", "HOOK"] {
            assert!(check_not_hook(hook).is_err(), "{hook}");
        }
        for other in ["hooks", "alice/hook", "captain-hook"] {
            assert!(check_not_hook(other).is_ok(), "{other}");
        }
        assert_eq!([signature("hook/ci"), signature("alice/phone"), signature("hook")], ["hook/ci", "alice", "hook"]);
    }

    #[test]
    fn nicks_count_characters() {
        assert!(check_nick(&"가".repeat(32)).is_ok());
        assert!(check_nick(&"가".repeat(33)).is_err());
        for blank in ["", " ", "\u{3164}", "\u{200b}\u{feff}", "\u{2800}"] {
            assert!(check_nick(blank).is_err(), "{blank:?}");
        }
        assert!(check_nick("a\u{1b}[2J").is_err());
    }
}
