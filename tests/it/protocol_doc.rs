//! Plays `protocol.md` against the real daemon, and runs `protocol/vectors.json` through the real codec.
//!
//! `protocol.md` explains the notation under "The examples".

pub mod blocks;
pub mod index;
pub mod player;
mod tables;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};

use blocks::{blocks, read};
use dantok::limits;
use dantok_protocol::json_request::{Member, Takes, members};
use dantok_protocol::{ErrorCode, line};

#[test]
fn the_examples_are_played() {
    let doc = read("protocol.md");
    let mut player = player::Player::start(&[]);
    let mut played = 0;
    for block in blocks(&doc) {
        match block.kind {
            "dantok" if block.retention.is_some() => continue,
            "dantok" => block.lines().for_each(|(number, line)| player.line(number, line)),
            "exchange" => vectors::play(&block, &mut player),
            _ => continue,
        }
        played += 1;
    }
    player.finish();
    assert!(played > 20, "only {played} examples were found: has the form of the blocks changed?");
}

#[test]
fn the_examples_with_a_retention_are_played() {
    let doc = read("protocol.md");
    let mut played = 0;
    for block in blocks(&doc) {
        let Some(retention) = block.retention else { continue };
        let mut player = player::Player::start(&["--allow-short-retention", "--retention", retention]);
        block.lines().for_each(|(number, line)| player.line(number, line));
        player.finish();
        played += 1;
    }
    assert!(played > 0, "none was found: has the form of the blocks changed?");
}

#[test]
fn the_vectors_match_the_codec_and_the_tables() {
    let doc = read("protocol.md");
    let tables = tables::Tables::read(&doc);
    let mut seen = vectors::Seen::default();
    let mut names = BTreeSet::new();
    for vector in vectors::parse(&read("protocol/vectors.json")) {
        vectors::check(&vector, &tables, &mut seen);
        assert!(names.insert(vector.name.clone()), "{} is there twice", vector.name);
    }
    vectors::check_complete(&tables, &seen);
    blocks(&doc).filter(|block| block.kind == "exchange").for_each(|block| vectors::check_exchange(&block, &tables));
}

#[test]
fn every_verb_has_its_usage_and_an_example() {
    let doc = read("protocol.md");
    for line::Verb { name: verb, usage, .. } in line::VERBS {
        assert!(doc.lines().any(|line| line == *usage), "{verb}: its usage `{usage}` is on no line of protocol.md");
        let heading = |line: &str| line.starts_with("### ") && line.split([' ', ',']).any(|word| word == *verb);
        assert!(doc.lines().any(heading), "{verb} has no heading in protocol.md");
        let example = blocks(&doc).filter(|block| block.kind == "dantok").any(|block| {
            block.lines().any(|(_, line)| {
                let typed = line.strip_prefix("C: ").or_else(|| line.strip_prefix("C2: ")).unwrap_or_default();
                typed.split(' ').find(|word| !word.starts_with('@')) == Some(*verb)
            })
        });
        assert!(example, "{verb} has no example in protocol.md");
    }
}

#[test]
fn the_index_has_every_verb_under_its_chapter() {
    let doc = read("protocol.md");
    let headings = index::headings(&doc);
    let entries = index::entries(&doc);
    let usages: BTreeSet<&str> = entries.iter().map(|entry| entry.usage).collect();
    assert_eq!(usages, line::VERBS.iter().map(|verb| verb.usage).collect(), "the index / the table of verbs");
    assert_eq!(entries.len(), usages.len(), "a verb is there twice");
    for index::Entry { chapter, usage, anchor, purpose } in entries {
        let verb = usage.split(' ').next().unwrap();
        let at = headings.iter().position(|heading| heading.anchor == anchor);
        let at = at.unwrap_or_else(|| panic!("{verb} has no section #{anchor}"));
        assert!(headings[at].text.split(", ").any(|of| of == verb), "#{anchor} is not about {verb}");
        let of = headings[..at].iter().rfind(|heading| heading.level == 2).unwrap();
        assert_eq!(of.anchor, chapter, "the chapter of {verb}: its section's / the index's");
        assert!(chapter.chars().all(|c| c.is_ascii_lowercase()), "{chapter}");
        assert!(purpose.len() < 80 && !purpose.contains(". "), "{verb}: one clause is enough: {purpose}");
        let help = line::VERBS.iter().find(|found| found.name == verb).unwrap();
        assert_eq!((help.purpose, help.about.title()), (purpose, of.text), "{verb}: HELP / the index and its chapter");
    }
}

#[test]
fn every_command_has_its_members_in_json() {
    let doc = read("protocol.md");
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for verb in line::VERBS.iter().filter(|verb| verb.is_in_json()) {
        let mut names = [Vec::new(), Vec::new()];
        for Member { name, takes, is_required, .. } in members(verb) {
            names[usize::from(!is_required)].push(format!("`{name}`"));
            let kind = match takes {
                Takes::Text => "a string",
                Takes::Number => "a number, or a string of its digits",
                Takes::Bool => "`true` or `false`",
            };
            kinds.entry(kind).or_default().insert(name);
        }
        let [needs, may_have] = names.map(|names| names.join(", ").replace("`, `base64`", "` or `base64`"));
        let row = format!("| `{}` | {needs} | {may_have} |", verb.name.to_ascii_lowercase()).replace("|  |", "| |");
        let row = row.replace("|  |", "| |");
        assert!(doc.lines().any(|line| line == row), "no row `{row}` in protocol.md");
    }
    for (kind, names) in kinds {
        let row = doc.lines().find_map(|line| line.strip_prefix(&format!("| {kind} | ")));
        let row = row.unwrap_or_else(|| panic!("no row of {kind} in protocol.md"));
        assert_eq!(
            row.split('`').skip(1).step_by(2).collect::<BTreeSet<_>>(),
            names,
            "{kind}: document / table of verbs"
        );
    }
}

#[test]
fn every_keepalive_has_its_row() {
    let doc = read("protocol.md");
    for (what, dantok_net::Keepalive { idle, every, probes }) in
        [("of any client", limits::KEEPALIVE), ("from its first TAKE on", limits::KEEPALIVE_TAKING)]
    {
        let noticed = idle + every * probes;
        let [idle, every, noticed] = [idle, every, noticed].map(|time| time.as_secs());
        let row = format!("| {what} | {idle} s | {every} s | {probes} | {noticed} s |");
        assert!(doc.lines().any(|line| line == row), "no row `{row}` in protocol.md");
    }
}

#[test]
fn every_error_code_has_its_row() {
    let doc = read("protocol.md");
    for (number, code) in ErrorCode::ALL.iter().enumerate() {
        let row = format!("| {number} | `{}` |", code.as_str());
        assert!(doc.lines().any(|line| line.starts_with(&row)), "no row `{row}` in protocol.md");
    }
}

#[test]
fn every_limit_has_its_row() {
    let doc = read("protocol.md");
    let defaults = limits::Limits::default();
    let none = |number: u64| if number == 0 { "none".to_owned() } else { number.to_string() };
    for (what, value) in [
        (
            "name of a room, group, client, device or message id",
            format!("{} bytes", dantok_protocol::limits::NAME_MAX_BYTES),
        ),
        ("nick", format!("{} characters", dantok_protocol::limits::NICK_MAX_CHARS)),
        ("topic", format!("{} bytes", dantok_protocol::limits::TOPIC_MAX_BYTES)),
        ("tag, without its `@`", format!("{} bytes", dantok_protocol::limits::TAG_MAX_BYTES)),
        ("token", format!("{} bytes", dantok_protocol::limits::TOKEN_MAX_BYTES)),
        ("message body", format!("{} bytes", defaults.body_max_bytes)),
        ("highest value of `--max-body`", format!("{} bytes", dantok_protocol::limits::BODY_MAX_BYTES)),
        ("line, or frame from a client", format!("body limit and {} bytes", dantok_protocol::limits::ENVELOPE_BYTES)),
        ("request in JSON", format!("{} times as long as a line", dantok_protocol::limits::JSON_FACTOR)),
        (
            "head of an HTTP request",
            format!("{} bytes in {} fields", limits::HTTP_HEAD_MAX_BYTES, limits::HTTP_FIELDS_MAX),
        ),
        ("frame from the daemon", format!("{} bytes", dantok_protocol::limits::FRAME_CEILING_BYTES - 1)),
        ("commands of one connection waiting for their commit", limits::PIPELINE_MAX_REQUESTS.to_string()),
        ("people invited to a room by its members", limits::INVITED_MAX.to_string()),
        ("people invited to a room", limits::INVITED_BY_OWNER_MAX.to_string()),
        ("people banned from a room", limits::BANNED_MAX.to_string()),
        ("groups in a room", limits::GROUPS_MAX.to_string()),
        ("messages of a group taken or done beyond its cursor", limits::GROUP_WINDOW.to_string()),
        ("messages in a TAKE", limits::TAKE_MAX.to_string()),
        ("time that a TAKE waits", format!("{} s", limits::TAKE_WAIT_MAX.as_secs())),
        ("connections", defaults.connections_max.to_string()),
        (
            "connections from one address (IPv6: from one /64 network)",
            none(defaults.connections_per_address_max as u64),
        ),
        ("rooms", defaults.rooms_max.to_string()),
        ("rooms owned by one person who is not an admin", none(defaults.rooms_of_person_max as u64)),
        ("rooms that a client (with its device) is a member of", defaults.joined_rooms_max.to_string()),
        ("retention of a room", format!("{} days", defaults.room_retention_max.as_secs() / 86_400)),
        ("rate limit: requests per second of one person", none(defaults.requests_per_second.into())),
        ("rate limit: bytes of message bodies per second of one person", none(defaults.bytes_per_second)),
        ("time until HELLO", format!("{} s", defaults.hello_timeout.as_secs())),
        ("time to take the last answers when the daemon stops", format!("{} s", defaults.drain_timeout.as_secs())),
        ("time that a message is kept", format!("at least {} h", limits::RETENTION_FLOOR.as_secs() / 3600)),
    ] {
        let row = format!("| {what} | {value} |");
        assert!(doc.lines().any(|line| line.starts_with(&row)), "no row `{row}` in protocol.md");
    }
}
