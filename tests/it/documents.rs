//! Every document except `protocol.md`: its sessions are played, its commands run, its links resolve, and both READMEs
//! show the same commands.
//!
//! A `console` block is a session with the daemon, a `sh` block is a script, `cron` and `ini` blocks have commands in them. One that
//! can't be played says so: `sh not-played=<reason>`; it is counted here, and what it names must exist.

mod links;
mod named;
mod shell;

use std::collections::BTreeMap;
use std::path::Path;

use crate::protocol_doc::blocks::{Block, blocks, read};
use crate::protocol_doc::player;

/// Why a block is not played, and how many of a document are not for that.
const NOT_PLAYED: &[(&str, &str, usize)] = &[
    ("CONTRIBUTING.md", "build", 2),
    ("CONTRIBUTING.md", "minutes", 1),
    ("README.ko.md", "build", 1),
    ("README.ko.md", "interactive", 1),
    ("README.md", "build", 1),
    ("README.md", "interactive", 1),
    ("docs/benchmarks.md", "minutes", 1),
    ("docs/chat.md", "build", 1),
    ("docs/chat.md", "interactive", 1),
    ("docs/operating.md", "build", 1),
    ("docs/operating.md", "interactive", 1),
    // What it says is about the machine: tests/it/doctor.rs tries it.
    ("docs/operating.md", "machine", 1),
    // tests/system/booted.rs installs the units.
    ("docs/operating.md", "root", 1),
    ("docs/operating.md", "serves", 1),
    ("docs/reliability.md", "minutes", 5),
    ("tests/data/README.md", "release", 1),
    // .ci/run builds the page again.
    ("web/README.md", "build", 1),
];

/// All documents, as paths from the root.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_dir = |dir: &str| {
        let entries = std::fs::read_dir(root.join(dir)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let mut all = in_dir("");
    all.extend(in_dir("docs").into_iter().map(|name| format!("docs/{name}")));
    all.extend(in_dir("crates").into_iter().map(|name| format!("crates/{name}/README.md")));
    all.extend(["tests/data/README.md", "web/README.md"].map(str::to_owned));
    all.retain(|name| name.ends_with(".md"));
    all.sort();
    assert!(all.len() > 10, "where are they? {all:?}");
    all
}

fn not_played<'a>(block: &Block<'a>) -> Option<&'a str> {
    block.more.strip_prefix("not-played=")
}

#[test]
fn every_session_in_the_documents_is_played() {
    let mut played = 0;
    for name in documents() {
        let doc = read(&name);
        let mut player = None;
        for block in blocks(&doc).filter(|block| block.kind == "console") {
            let player = player.get_or_insert_with(|| player::Player::start(&[]));
            eprintln!("{name}: a session");
            block.lines().for_each(|(number, line)| player.console(number, line));
            played += 1;
        }
        if let Some(player) = player {
            player.finish();
        }
    }
    assert!(played > 8, "only {played} sessions were found: has the form of the blocks changed?");
}

#[test]
fn every_command_in_the_documents_is_run() {
    let mut played = 0;
    for name in documents() {
        let doc = read(&name);
        let mut shell = None;
        for block in blocks(&doc).filter(|block| not_played(block).is_none()) {
            let script = match block.kind {
                "sh" => block.lines().map(|(_, line)| format!("{line}\n")).collect::<String>(),
                // Behind the time and the user.
                "cron" => block.lines().map(|(_, line)| shell::behind_words(line, 6).to_owned() + "\n").collect(),
                "ini" => block.lines().filter_map(|(_, line)| line.strip_prefix("ExecStart=")).collect(),
                _ => continue,
            };
            if !script.is_empty() && shell.get_or_insert_with(shell::Shell::start).run(&name, &script) {
                played += 1;
            }
        }
    }
    assert!(played > 3, "only {played} blocks were run: has the form of the blocks changed?");
}

#[test]
fn unplayed_blocks_are_counted_and_the_files_they_name_exist() {
    let mut counted = BTreeMap::new();
    for name in documents() {
        let doc = read(&name);
        for block in blocks(&doc) {
            if let Some(reason) = not_played(&block) {
                *counted.entry((name.clone(), reason.to_owned())).or_insert(0) += 1;
                block.lines().for_each(|(number, line)| named::check(&format!("{name}, line {number}"), line));
            } else if name != "protocol.md" {
                let known =
                    ["console", "cron", "ini", "sh", "text", "yaml"].contains(&block.kind) && block.more.is_empty();
                assert!(known, "{name}: what is a block `{} {}`?", block.kind, block.more);
            }
        }
    }
    let expected: BTreeMap<_, _> =
        NOT_PLAYED.iter().map(|(name, reason, count)| (((*name).to_owned(), (*reason).to_owned()), *count)).collect();
    assert_eq!(counted, expected);
}

/// The picture of the chat, and the blocks of commands without the text about them.
fn commands(doc: &str) -> Vec<(&str, &str, Vec<&str>)> {
    let bare = |line| named::without_comment(line).trim_end();
    let of_both = blocks(doc).filter(|block| matches!(block.kind, "console" | "sh" | "text"));
    of_both.map(|block| (block.kind, block.more, block.lines().map(|(_, line)| bare(line)).collect())).collect()
}

#[test]
fn both_readmes_show_the_same_commands() {
    let (english, korean) = (read("README.md"), read("README.ko.md"));
    assert_eq!(commands(&english), commands(&korean));
    assert!(commands(&english).len() > 5, "has the form of the blocks changed?");
    let chat = read("docs/chat.md");
    let picture =
        |doc: &str| commands(doc).into_iter().find(|(kind, ..)| *kind == "text").map(|(.., lines)| lines.join("\n"));
    assert_eq!(picture(&english), picture(&chat), "the picture of the chat: in README.md / in docs/chat.md");
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = 0;
    for name in documents() {
        for link in links::relative(&read(&name)) {
            links::check(&name, &link);
            found += 1;
        }
    }
    assert!(found > 50, "only {found} links were found: has their form changed?");
}

#[test]
fn every_option_has_a_row_and_no_other_is_named() {
    let operating = read("docs/operating.md");
    for setting in dantok::config::SETTINGS {
        let row = format!("| `--{}` |", setting.name);
        assert!(operating.lines().any(|line| line.starts_with(&row)), "no row `{row}` in docs/operating.md");
    }
    let command = dantok::cli::command();
    let of_one = |option: &str| {
        command.get_subcommands().any(|one| one.get_arguments().any(|argument| argument.get_long() == Some(option)))
    };
    for name in [
        "README.md",
        "README.ko.md",
        "SECURITY.md",
        "protocol.md",
        "docs/backup.md",
        "docs/comparison.md",
        "docs/operating.md",
        "docs/web.md",
    ] {
        let doc = read(name);
        for option in doc.split('`').filter_map(|code| code.strip_prefix("--")).filter(|code| !code.contains(' ')) {
            let known = dantok::config::SETTINGS.iter().any(|setting| setting.name == option);
            let of_verb =
                dantok_protocol::line::VERBS.iter().any(|verb| verb.options.contains(&&*format!("--{option}")));
            assert!(
                known || of_one(option) || of_verb || matches!(option, "config" | "release" | ""),
                "{name}: --{option} is not an option"
            );
        }
    }
}
