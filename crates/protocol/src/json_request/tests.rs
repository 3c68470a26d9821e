use super::*;
use crate::commands::{Events, Retain, Seek, Send, Take, Topic, VERBS};

const BODY_MAX: usize = 16;

fn parsed(text: &str) -> (Tag, Result<Command, Refusal>) {
    match parse(text, BODY_MAX) {
        Incoming::Request { tag, command } => (tag, Ok(command)),
        Incoming::Refused { tag, refusal } => (tag, Err(refusal)),
        other => panic!("{text}: {other:?}"),
    }
}

fn command(text: &str) -> Command {
    parsed(text).1.unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

fn refusal(text: &str) -> Refusal {
    parsed(text).1.expect_err(text)
}

fn sent(body: &[u8]) -> Command {
    Command::send("a", None, body.to_vec())
}

#[test]
fn members_become_the_arguments_of_the_same_command() {
    let send = Send { room: "a".to_owned(), id: Some("x y".to_owned()), body: "hi".into(), reply: Some(7) };
    for (text, made) in [
        (r#"{"do":"ping"}"#, Command::Ping),
        (" {\n\t\"do\" : \"PiNg\" } \r\n", Command::Ping),
        (r#"{"text":"hi","reply":"7","id":"x y","room":"a","do":"send"}"#, send.into()),
        (r#"{"do":"send","room":"a","text":""}"#, sent(b"")),
        (r#"{"do":"send","room":"a","text":" -- id=x\n\u0000\ud83d\ude00"}"#, sent(" -- id=x\n\0😀".as_bytes())),
        (r#"{"do":"send","room":"a","base64":"/wA="}"#, sent(b"\xff\0")),
        (r#"{"do":"send","room":"a","text":"hi","base64":null}"#, sent(b"hi")),
        (r#"{"do":"topic","room":"a"}"#, Topic { room: "a".to_owned(), topic: None }.into()),
        (r#"{"do":"topic","room":"a","topic":""}"#, Topic { room: "a".to_owned(), topic: Some(String::new()) }.into()),
        (
            r#"{"do":"topic","room":"a","clear":true}"#,
            Topic { room: "a".to_owned(), topic: Some(String::new()) }.into(),
        ),
        (r#"{"do":"topic","room":"a","clear":false}"#, Topic { room: "a".to_owned(), topic: None }.into()),
        (r#"{"do":"events","on":true}"#, Events { on: true }.into()),
        (r#"{"do":"events","on":false}"#, Events { on: false }.into()),
        (r#"{"do":"seek","room":"a","seq":"now"}"#, Seek { room: "a".to_owned(), to: crate::Seek::Now }.into()),
        (
            r#"{"do":"seek","room":"a","seq":18446744073709551615}"#,
            Seek { room: "a".to_owned(), to: crate::Seek::To(u64::MAX) }.into(),
        ),
        (
            r#"{"do":"retain","room":"a","retention":"1h","cap":"1KiB"}"#,
            Retain { room: "a".to_owned(), secs: Some(3600), cap_bytes: Some(1024) }.into(),
        ),
        (
            r#"{"do":"take","room":"a","group":"g","max":5,"wait":"2s"}"#,
            Take { room: "a".to_owned(), group: "g".to_owned(), max: Some(5), wait_ms: 2000 }.into(),
        ),
    ] {
        assert_eq!(command(text), made, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    use ErrorCode::{BadArgument, BadCommand, TooLong};
    let nested = format!("{{\"do\":\"ping\",\"tag\":{}", "[".repeat(10_000));
    let many: String = (0..100).map(|n| format!(",\"{n}\":1")).collect();
    let many = format!("{{\"do\":\"ping\"{many}}}");
    for (text, code, says) in [
        ("", BadCommand, "one object"),
        ("[]", BadCommand, "one object"),
        ("\"ping\"", BadCommand, "one object"),
        ("\u{feff}{\"do\":\"ping\"}", BadCommand, "one object"),
        ("{", BadCommand, "not valid JSON: EOF"),
        ("{}", BadCommand, "do is missing"),
        (r#"{"do":null}"#, BadCommand, "do is missing"),
        (r#"{"do":7}"#, BadCommand, "do takes a string, not a number"),
        (r#"{"do":"ping"} {"do":"quit"}"#, BadCommand, "trailing characters"),
        (r#"{"do":"ping",}"#, BadCommand, "not valid JSON"),
        (r#"{do:"ping"}"#, BadCommand, "not valid JSON"),
        (r#"{"do":"send","room":"a","text":"\ud800"}"#, BadCommand, "hex escape"),
        (r#"{"do":"send","room":"a","text":"\udc00"}"#, BadCommand, "surrogate"),
        ("{\"do\":\"send\",\"room\":\"a\",\"text\":\"a\tb\"}", BadCommand, "control character"),
        (&nested, BadCommand, "not valid JSON"),
        (&many, BadArgument, "at most 16 members"),
        (r#"{"do":"sned"}"#, BadCommand, r#"did you mean {"do":"send","room":"…","text"|"base64":"…""#),
        (r#"{"do":"sendb","room":"a"}"#, BadCommand, "base64"),
        (r#"{"do":"join","room":"a","room":"b"}"#, BadArgument, "room is given twice"),
        (r#"{"do":"join","do":"leave","room":"b"}"#, BadArgument, "do is given twice"),
        (r#"{"do":"join","room":"a","r\u006fom":null}"#, BadArgument, "room is given twice"),
        (r#"{"do":"join","rom":"a"}"#, BadArgument, "JOIN has no member rom; did you mean room?; usage: {"),
        (r#"{"do":"join","Room":"a"}"#, BadArgument, "no member Room; did you mean room?"),
        (r#"{"do":"fetch","room":"a","max=":1}"#, BadArgument, "no member max="),
        (r#"{"do":"ping","room":"a"}"#, BadArgument, "PING has no member room; usage: {\"do\":\"ping\"}"),
        (r#"{"do":"join"}"#, BadArgument, r#"room is missing; usage: {"do":"join","room":"…"[,"#),
        (r#"{"do":"join","room":null}"#, BadArgument, "room is missing"),
        (r#"{"do":"nick"}"#, BadArgument, "name is missing"),
        (r#"{"do":"send","room":"a"}"#, BadArgument, "text is missing"),
        (r#"{"do":"join","room":5}"#, BadArgument, "room takes a string, not a number"),
        (r#"{"do":"join","room":["a"]}"#, BadArgument, "room takes a string, not an array"),
        (r#"{"do":"join","room":{"a":[{}]}}"#, BadArgument, "room takes a string, not an object"),
        (r#"{"do":"events","on":"on"}"#, BadArgument, "on takes true or false, not a string"),
        (r#"{"do":"create","room":"a","private":1}"#, BadArgument, "private takes true or false, not a number"),
        (r#"{"do":"fetch","room":"a","max":-1}"#, BadArgument, "max takes a whole number, not a number that is neg"),
        (r#"{"do":"fetch","room":"a","max":1.5}"#, BadArgument, "max takes a whole number"),
        (r#"{"do":"fetch","room":"a","max":18446744073709551616}"#, BadArgument, "max takes a whole number"),
        (r#"{"do":"fetch","room":"a","max":"+1"}"#, BadArgument, "max takes a number, not +1; usage: {"),
        (r#"{"do":"seek","room":"a","seq":"x"}"#, BadArgument, "seq takes a number, not x"),
        (r#"{"do":"join","room":"a","from":"x"}"#, BadArgument, "from takes start or now"),
        (r#"{"do":"group","room":"a","group":"g","timeout":"x"}"#, BadArgument, "timeout takes a duration"),
        (r#"{"do":"retain","room":"a","retention":"x"}"#, BadArgument, "retention takes a duration"),
        (r#"{"do":"retain","room":"a","cap":"x"}"#, BadArgument, "cap takes a size"),
        (r#"{"do":"history","room":"a","since":"x"}"#, BadArgument, "since takes a time"),
        (r#"{"do":"topic","room":"a","topic":"x","clear":true}"#, BadArgument, "clear and a topic exclude"),
        (r#"{"do":"format","format":"xml"}"#, BadArgument, r#"usage: {"do":"format","format":"json"|"text"}"#),
        (r#"{"do":"send","room":"a","text":"a","base64":"YQ=="}"#, BadArgument, "exclude each other"),
        (r#"{"do":"send","room":"a","base64":"YQ"}"#, BadArgument, "base64 takes base64"),
        (r#"{"do":"send","room":"a","base64":"_w=="}"#, BadArgument, "base64 takes base64"),
        (r#"{"do":"send","room":"a","text":"12345678901234567"}"#, TooLong, "at most 16 bytes"),
        (r#"{"do":"send","room":"a","base64":"MTIzNDU2Nzg5MDEyMzQ1Njc="}"#, TooLong, "at most 16 bytes"),
    ] {
        let refusal = refusal(text);
        let said = &refusal.text;
        assert!(refusal.code == code && said.contains(says) && said.len() < 300, "{text}: {}", refusal);
    }
    assert_eq!(command(r#"{"do":"send","room":"a","base64":"MTIzNDU2Nzg5MDEyMzQ1Ng=="}"#), sent(b"1234567890123456"));
}

#[test]
fn a_tag_is_a_short_word_or_a_number_and_is_found_wherever_it_is() {
    let tagged = |tag: &str| parsed(&format!("{{\"do\":\"ping\",\"tag\":{tag}}}"));
    assert_eq!(tagged("0"), (Tag::Id(0), Ok(Command::Ping)));
    assert_eq!(tagged("9007199254740991"), (Tag::Id(TAG_NUMBER_MAX), Ok(Command::Ping)));
    assert_eq!(tagged("\"7\""), (Tag::Text("7".into()), Ok(Command::Ping)));
    assert_eq!(tagged("null"), (Tag::None, Ok(Command::Ping)));
    let long = format!("\"{}\"", "x".repeat(TAG_MAX_BYTES + 1));
    for bad in ["9007199254740992", "-1", "1.0", "true", "[1]", "{}", "\"\"", "\"a b\"", "\"a\\n\"", &long] {
        let (tag, command) = tagged(bad);
        let refusal = command.expect_err(bad);
        assert!(tag == Tag::None && refusal.text.contains("tag takes a string of 1 to 32 bytes"), "{bad}: {refusal}");
    }
    for behind in [
        r#"{"do":"join","rom":"a","tag":5}"#,
        r#"{"do":"sned","tag":5}"#,
        r#"{"tag":5}"#,
        r#"{"do":"ping","do":"ping","tag":5}"#,
        r#"{"do":"join","room":[[]],"tag":5}"#,
        r#"{"tag":5,"do":"#,
    ] {
        assert_eq!(parsed(behind).0, Tag::Id(5), "{behind}");
        assert!(parsed(behind).1.is_err());
    }
}

#[test]
fn the_members_of_all_verbs_have_names_of_their_own() {
    for verb in VERBS {
        let all: Vec<Member> = members(verb).collect();
        assert!(
            verb.names.len() <= verb.words.1 + usize::from(verb.rest != crate::line::Rest::Nothing),
            "{}",
            verb.name
        );
        for member in &all {
            let named = all.iter().filter(|other| other.name == member.name).count();
            assert!(named == 1 && !matches!(member.name, "do" | "tag"), "{} {}", verb.name, member.name);
            let is_word = matches!(member.goes, Goes::Word(_) | Goes::Text);
            let is_in_usage = verb.usage.contains(&format!("<{}>", member.name));
            assert!(!is_word || is_in_usage || ["on", "format"].contains(&member.name), "{}", verb.usage);
        }
        let required = all.iter().filter(|member| member.is_required && matches!(member.goes, Goes::Word(_)));
        assert_eq!(required.count(), verb.words.0 - usize::from(verb.name == "SENDB"), "{}", verb.usage);
    }
}
