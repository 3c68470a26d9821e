//! JSON, answers and requests.

use dantok_protocol::text::is_unsafe;
use dantok_protocol::{Command, Incoming, Item, Tag, json, json_request, line};
use proptest::collection::vec;
use proptest::prelude::*;

use super::any::{command, item, reply, text_tag};
use super::{BODY_MAX, lines};

/// A tag of a request in JSON.
pub fn json_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![text_tag(), (0..=json_request::TAG_NUMBER_MAX).prop_map(Tag::Id)]
}

/// A request in JSON, and its line end.
pub fn as_request(tag: &Tag, command: &Command) -> String {
    let mut line = Vec::new();
    json_request::encode_request(tag, command, &mut line);
    String::from_utf8(line).unwrap()
}

/// The same JSON with each character of its strings escaped, which is as long as JSON can be.
fn escaped(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    let string = |text: &str| {
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
        format!("\"{}\"", units.collect::<String>())
    };
    let members =
        value.as_object().unwrap().iter().map(|(name, value)| {
            format!("{}:{}", string(name), value.as_str().map_or_else(|| value.to_string(), string))
        });
    format!("{{{}}}\n", members.collect::<Vec<_>>().join(","))
}

/// Objects of the members that there are, with any values.
fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let verbs: Vec<&str> = line::VERBS.iter().map(|verb| verb.name).collect();
    let names: Vec<&str> = line::VERBS.iter().flat_map(|verb| json_request::members(verb).map(|of| of.name)).collect();
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9=]{0,5}".prop_map(Value::from),
        vec(any::<u8>(), 0..3).prop_map(Value::from),
        Just(json!({"a": {"b": []}})),
    ];
    let members = vec((prop::sample::select(names), value.clone()), 0..6);
    (prop::sample::select(verbs), proptest::option::of(value), members).prop_map(|(verb, tag, members)| {
        let mut object = json!({"do": verb, "tag": tag});
        object.as_object_mut().unwrap().extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object
    })
}

/// What JSON makes of something: one line, safe, and an object.
fn as_json(encode: impl FnOnce(&mut Vec<u8>)) -> serde_json::Value {
    let mut line = Vec::new();
    encode(&mut line);
    let text = std::str::from_utf8(&line).unwrap().strip_suffix('\n').unwrap();
    assert!(!text.chars().any(is_unsafe), "{text}");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(value.is_object(), "{text}");
    value
}

proptest! {
    #[test]
    fn json_is_one_safe_line(tag in text_tag(), item in item(), reply in reply()) {
        as_json(|out| json::encode_reply(&tag, &reply, out));
        let value = as_json(|out| json::encode_item(&tag, &item, out));
        if let Item::Message(message) = &item
            && let Ok(text) = std::str::from_utf8(&message.body)
        {
            prop_assert_eq!(&value["text"], text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_in_json_survive_encoding_and_decoding(requests in vec((json_tag(), command()), 1..6)) {
        let mut bytes = b"HELLO first\n".to_vec();
        let mut expected = Vec::new();
        for (tag, command) in requests {
            let json = as_request(&tag, &command);
            let request = Incoming::Request { tag, command };
            prop_assert!(json.ends_with("}\n") && !json.trim_end().chars().any(is_unsafe), "{}", json);
            for json in [escaped(&json), json] {
                bytes.extend_from_slice(json.as_bytes());
                prop_assert_eq!(&json_request::parse(&json, BODY_MAX), &request);
                expected.push(request.clone());
            }
        }
        prop_assert_eq!(&lines(&[&bytes])[1..], &expected[..]);
    }

    #[test]
    fn any_json_has_an_answer(value in json_value(), text in "\\PC{0,40}") {
        for text in [&value.to_string(), &text, &format!("{{{text}}}")] {
            let found = json_request::parse(text, BODY_MAX);
            let is_answered = matches!(found, Incoming::Request { .. } | Incoming::Refused { .. });
            prop_assert!(is_answered, "{:?}", found);
        }
    }
}
