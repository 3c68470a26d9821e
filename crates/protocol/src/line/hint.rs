//! Guesses what people meant whose line does not begin with a verb.

use super::opening::FIRST_VERBS;
use super::verbs::{Verb, verb};
use crate::commands::VERBS;
use crate::limits::NAME_MAX_BYTES;

/// Words that people know from other programs and languages, and the verbs that do the same here.
const MEANT: &[(&str, &[&str])] = &[
    (
        "HELP",
        &["H", "MAN", "COMMANDS", "COMMAND", "USAGE", "INFO", "MENU", "도움말", "도움", "도와줘", "명령어", "명령"],
    ),
    (
        "HELLO",
        &[
            "HI",
            "HEY",
            "HALLO",
            "HELO",
            "USER",
            "PASS",
            "LOGIN",
            "LOGON",
            "AUTH",
            "IDENTIFY",
            "REGISTER",
            "CAP",
            "CONNECT",
            "IAM",
            "NAME",
            "안녕",
            "안녕하세요",
            "헬로",
            "로그인",
            "접속",
            "이름",
        ],
    ),
    ("JOIN", &["ENTER", "J", "GO", "CD", "입장", "참가", "참여", "들어가기", "가입"]),
    ("LEAVE", &["PART", "나가기", "퇴장", "탈퇴"]),
    (
        "SEND",
        &[
            "MSG",
            "PRIVMSG",
            "NOTICE",
            "SAY",
            "TELL",
            "ME",
            "ACTION",
            "WRITE",
            "PUBLISH",
            "PUB",
            "POST",
            "PUT",
            "MESSAGE",
            "CHAT",
            "ECHO",
            "W",
            "WHISPER",
            "QUERY",
            "보내기",
            "보내",
            "전송",
            "말하기",
            "말",
        ],
    ),
    ("READ", &["GET", "RECV", "RECEIVE", "CAT", "NEXT", "POLL", "읽기", "읽어"]),
    ("FOLLOW", &["SUBSCRIBE", "SUB", "TAIL", "LISTEN", "MONITOR", "구독", "팔로우"]),
    ("UNFOLLOW", &["UNSUBSCRIBE", "UNSUB"]),
    ("HISTORY", &["LOG", "LOGS", "LAST", "SCROLLBACK", "BACKLOG", "이전", "기록"]),
    ("ROOMS", &["LIST", "LS", "DIR", "CHANNELS", "CHANNEL", "ROOM", "목록", "방", "방목록"]),
    ("WHO", &["NAMES", "USERS", "MEMBERS", "WHOIS", "ONLINE", "WHOAMI", "누구", "멤버"]),
    ("CREATE", &["MAKE", "MKDIR", "NEW", "만들기", "생성"]),
    ("INVITE", &["ADD", "초대"]),
    ("REDACT", &["EDIT", "RM", "DEL", "REMOVE", "UNSEND", "삭제"]),
    ("ACCESS", &["MODE", "OP", "CHMOD"]),
    ("STATS", &["STATUS", "VERSION", "UPTIME"]),
    (
        "QUIT",
        &["EXIT", "BYE", "GOODBYE", "CLOSE", "LOGOUT", "LOGOFF", "DISCONNECT", "STOP", "END", "Q", "X", "종료", "끝"],
    ),
];

/// The Latin letters on the keys of a Korean keyboard: initial consonants, vowels, final consonants.
const INITIALS: [&str; 19] =
    ["r", "R", "s", "e", "E", "f", "a", "q", "Q", "t", "T", "d", "w", "W", "c", "z", "x", "v", "g"];
const VOWELS: [&str; 21] =
    ["k", "o", "i", "O", "j", "p", "u", "P", "h", "hk", "ho", "hl", "y", "n", "nj", "np", "nl", "b", "m", "ml", "l"];
const FINALS: [&str; 28] = [
    "", "r", "R", "rt", "s", "sw", "sg", "e", "f", "fr", "fa", "fq", "ft", "fx", "fv", "fg", "a", "q", "qt", "t", "T",
    "d", "w", "c", "z", "x", "v", "g",
];
/// The same for letters typed alone, from U+3131 up to the vowels.
const ALONE: [&str; 30] = [
    "r", "R", "rt", "s", "sw", "sg", "e", "E", "f", "fr", "fa", "fq", "ft", "fx", "fv", "fg", "a", "q", "Q", "qt", "t",
    "T", "d", "w", "W", "c", "z", "x", "v", "g",
];

/// The word, in upper case, that would have been typed on a keyboard set to Latin letters.
fn keys(word: &str) -> String {
    let mut keys = String::new();
    for c in word.chars() {
        let at = |first: char| usize::try_from(u32::from(c).wrapping_sub(u32::from(first))).unwrap_or(usize::MAX);
        let syllable = at('가');
        if syllable < 19 * 21 * 28 {
            let parts = [INITIALS.get(syllable / (21 * 28)), VOWELS.get(syllable / 28 % 21), FINALS.get(syllable % 28)];
            keys.extend(parts.into_iter().flatten().copied());
        } else if let Some(key) = ALONE.iter().chain(&VOWELS).nth(at('ㄱ')) {
            keys.push_str(key);
        } else {
            keys.push(c);
        }
    }
    keys.to_ascii_uppercase()
}

/// The verb for a word that people know from elsewhere; the word is in upper case.
fn meant(word: &str) -> Option<&'static Verb> {
    let is_it = |(_, words): &&(&str, &[&str])| words.iter().any(|known| *known == word || keys(known) == word);
    verb(word).or_else(|| MEANT.iter().find(is_it).and_then(|(name, _)| verb(name)))
}

/// The verb that is spelled almost like a word, or that begins with it.
fn near(word: &str) -> Option<&'static Verb> {
    let length = word.chars().count();
    let distance = |verb: &&Verb| strsim::osa_distance(verb.name, word);
    let typed = VERBS.iter().min_by_key(distance).filter(|verb| distance(verb) <= length / 3);
    let mut beginning = VERBS.iter().filter(|verb| length >= 3 && verb.name.starts_with(word));
    typed.or_else(|| beginning.next().filter(|_| beginning.next().is_none()))
}

/// The verb that a word, in upper case, was probably meant to be.
pub(crate) fn guess(word: &str) -> Option<&'static Verb> {
    // Kilobytes were not typed by a person, and comparing them would take long.
    if word.len() > NAME_MAX_BYTES {
        return None;
    }
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.is_empty() {
        return verb("HELP").filter(|_| word.contains(['?', '？']));
    }
    let latin = keys(bare);
    meant(bare).or_else(|| meant(&latin)).or_else(|| near(bare)).or_else(|| near(&latin))
}

/// The refusal for a word, in upper case, that is not a verb.
pub fn no_verb(word: &str) -> String {
    let Some(verb) = guess(word) else { return "no such verb; HELP lists them".to_owned() };
    let slash = if word.starts_with(['/', '\\']) { ", without the slash" } else { "" };
    format!("no such verb; did you mean {}{slash}? HELP lists them", verb.short())
}

/// What to tell people who have not found the first command.
pub(super) const BEGIN: &str = "this is dantok; begin with HELLO <client>, or HELP";

/// The same, to a request in JSON.
pub(super) const BEGIN_IN_JSON: &str = "this is dantok; begin with {\"do\":\"hello\",\"client\":\"…\"}";

/// What to say if a connection's first word, in upper case, is not valid before HELLO.
pub(super) fn hello_first(word: &str) -> String {
    let begin = BEGIN;
    match verb(word) {
        Some(verb) => format!("say HELLO <client> first, and then {}", verb.name),
        None => match guess(word).map(|verb| (verb, verb.name)) {
            None | Some((_, "HELLO")) => begin.to_owned(),
            Some((verb, name)) if FIRST_VERBS.contains(&name) => format!("{begin}; did you mean {}?", verb.name),
            Some((verb, _)) => format!("{begin}; and then, did you mean {}?", verb.short()),
        },
    }
}

/// NICK alone does not identify a client.
pub const NICK_FIRST: &str = "say HELLO <client> first: it identifies you, while NICK only sets your display name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_a_hint_to_one_verb_and_not_a_verb_itself() {
        let mut seen = std::collections::BTreeSet::new();
        for (name, words) in MEANT {
            assert!(verb(name).is_some(), "{name}");
            for word in *words {
                assert!(verb(word).is_none() && seen.insert(keys(word)), "{word}");
                assert_eq!(guess(word).unwrap().name, *name, "{word}");
            }
        }
    }

    #[test]
    fn a_keyboard_in_the_wrong_layout_is_read() {
        for (typed, keyed) in
            [("ㅗ디ㅣㅐ", "HELLO"), ("ㅗ디ㅔ", "HELP"), ("ㅓㅐㅑㅜ", "JOIN"), ("두ㅌ", "ENX"), ("값", "RKQT")]
        {
            assert_eq!(keys(typed), keyed);
        }
        assert_eq!((keys("도움말"), keys("a1")), ("EHDNAAKF".to_owned(), "A1".to_owned()));
    }
}
