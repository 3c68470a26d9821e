//! What the program can be told to do, and which settings each of these goes by.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::{AFTER, brief};
use dantok_protocol::units;

/// Which settings a command goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// All.
    Everything,
    /// These, and the file that has them.
    Only(&'static [&'static str]),
    #[cfg(feature = "manual")]
    /// None.
    Nothing,
}

impl Reads {
    pub(super) fn has(self, name: &str) -> bool {
        match self {
            Reads::Everything => true,
            Reads::Only(names) => name == "config" || names.contains(&name),
            #[cfg(feature = "manual")]
            Reads::Nothing => false,
        }
    }
}

/// All of them, in the order of the help.
pub(super) fn all() -> Vec<(Command, Reads)> {
    let data = Reads::Only(&["data-dir"]);
    let of_doctor = Reads::Only(&["data-dir", "max-connections", "listen-tls", "tls-cert", "tls-key", "tls-client-ca"]);
    let all = vec![
        (serve(), Reads::Everything),
        (configuration(), Reads::Everything),
        (check(), data),
        (epoch(), data),
        (backup(), Reads::Only(&["data-dir", "tokens"])),
        (restore(), data),
        (export(), data),
        (import(), Reads::Only(&["data-dir", "max-rooms"])),
        (token(), Reads::Only(&["data-dir", "tokens"])),
        (doctor(), of_doctor),
    ];
    #[cfg(feature = "manual")]
    let all = [all, vec![(completions(), Reads::Nothing), (man(), Reads::Nothing)]].concat();
    all
}

/// A command; the first part of what it is about is told where all are listed.
fn named(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(brief(about)).long_about(about)
}

/// An option that is said, or not.
fn switch(name: &'static str, help: &'static str) -> Arg {
    explained(Arg::new(name).long(name).action(ArgAction::SetTrue), help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    explained(Arg::new(name).long(name).value_name(value), help)
}

fn explained(arg: Arg, help: &'static str) -> Arg {
    arg.help(brief(help)).long_help(help)
}

/// What stands behind a command, and names a file.
fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    explained(
        Arg::new(name).value_name(value).value_parser(value_parser!(PathBuf)).value_hint(ValueHint::AnyPath),
        help,
    )
}

fn room(help: &'static str) -> Arg {
    explained(Arg::new("room").value_name("ROOM").required(true), help)
}

/// Have the configuration tested.
pub(super) fn test() -> Arg {
    explained(
        Arg::new("test").short('t').action(ArgAction::SetTrue),
        "Say whether the configuration is sound; nothing is started: `dantok config --check` does the same",
    )
}

fn serve() -> Command {
    named("serve", "Run the daemon (the default)").after_long_help(AFTER).arg(test())
}

fn configuration() -> Command {
    named("config", "Print the values in force and where each came from; exits with 2 where one can't be")
        .after_long_help(
            "  $ dantok config --example > dantok.toml
  $ dantok config --check --config dantok.toml
What is in the store is not looked at: see `dantok check`.",
        )
        .arg(explained(
            test().long("check"),
            "Say everything that is wrong; what a start would open and read is opened and read, and nothing changed: \
             exits with 2 where anything is wrong",
        ))
        .arg(
            switch("example", "Print a file with every setting; each has its default, and all are comments")
                .conflicts_with("test"),
        )
}

fn check() -> Command {
    named("check", "Look for damage in a data directory that no daemon has; exits with 1 where there is any").arg(
        option(
            "scratch",
            "DIR",
            "Where to copy the store; a copy is what is looked at, and without this it is made in the data directory",
        )
        .value_parser(value_parser!(PathBuf)),
    )
}

fn epoch() -> Command {
    named("epoch", "Print which history the data directory's rooms have").arg(switch(
        "renew",
        "Say that it is another one from here on; to be done once where the files were copied back from a backup, \
         while no daemon has them",
    ))
}

fn backup() -> Command {
    named("backup", "Copy everything into a file; the daemon may run, or not")
        .after_long_help(
            "\
Everything that was acknowledged before is in the backup: messages, rooms, cursors, groups, nicks,
and the tokens' hashes if tokens.toml lies in the data directory. The daemon is that of --data-dir;
it goes on meanwhile. The file is read again before it gets its name.
  $ dantok backup /srv/backup
  $ dantok backup --incremental /srv/backup
  $ dantok backup - | ssh elsewhere 'cat > dantok.backup'",
        )
        .arg(
            path("to", "DIR|-", "The directory that gets the file; made if it is missing; or - for standard output")
                .required(true),
        )
        .arg(switch(
            "incremental",
            "Only what came after the newest backup; that is the newest sound one of this store in DIR: all of it where there is none",
        ))
}

fn restore() -> Command {
    named("restore", "Make a data directory of a backup")
        .after_long_help(
            "\
--data-dir must be empty or missing. What an incremental backup goes on from is looked for beside it.
  $ dantok restore --dry-run /srv/backup
  $ dantok restore /srv/backup --data-dir /var/lib/dantok
  $ dantok check --data-dir /var/lib/dantok",
        )
        .arg(
            path("from", "FILE|DIR|-", "The backup; of a directory, the newest in it; or - for standard input")
                .required(true),
        )
        .arg(switch("dry-run", "Only say whether it is sound; all of it is read: exits with 1 where it is not"))
}

fn export() -> Command {
    named("export", "Print a room's messages")
        .arg(room("The room's name"))
        .arg(
            option(
                "format",
                "FORMAT",
                "jsonl, or text for people; jsonl: an object a line, with everything; text: time, client and text",
            )
            .value_parser(["jsonl", "text"])
            .default_value("jsonl")
            .hide_possible_values(true),
        )
        .arg(option("after", "SEQ", "Only what comes after this seq").value_parser(value_parser!(u64)))
        .arg(
            option(
                "since",
                "TIME",
                "Only what was sent since then; a time like 2026-11-21T00:30:00Z, or how long ago, like 1h",
            )
            .conflicts_with("after")
            .value_parser(since),
        )
}

fn import() -> Command {
    named("import", "Put messages into a room; they keep the clients and times that they have")
        .after_long_help(
            "\
A line wants a client, and text or base64; time, seq, room, id, reply, redacts and redacted may be there:
  {\"time\":\"2026-11-21T00:30:00Z\",\"client\":\"alice\",\"text\":\"Hello, all!\"}
A room's times never go back: one that is earlier than the room's last becomes that. Retention counts
from the import. What was imported before is known, and not stored again.",
        )
        .arg(room("The room's name; made if it is missing"))
        .arg(path("file", "FILE|-", "Lines as `dantok export` prints them; or - for standard input").default_value("-"))
}

fn token() -> Command {
    named("token", "Say who may connect, and as whom; a running daemon is told at once")
        .subcommand_required(true)
        .subcommand(
            named("issue", "Make a token and print it; it is shown this once")
                .arg(explained(
                    Arg::new("client").value_name("CLIENT").required(true),
                    "Whose it is; a name, and all devices behind it; or with /device, that one only",
                ))
                .arg(
                    option("expires", "TIME", "How long it is good for, like 90d; for ever without it")
                        .value_parser(units::duration),
                )
                .arg(switch("admin", "Its bearer may do what members may not; in every room"))
                .arg(switch("as-is", "Take the name byte for byte; for a client from before names that look alike were refused")),
        )
        .subcommand(named("list", "Print the tokens' ids, whose they are, and when they end"))
        .subcommand(named("revoke", "Take a token back; connections that came with it are closed").arg(explained(
            Arg::new("which").value_name("ID|CLIENT").required(true),
            "The token's id, or a client; the id as `dantok token list` shows it: of a client all tokens are taken back",
        )))
}

fn doctor() -> Command {
    named("doctor", "Say whether this machine can keep the promises; exits with 1 where it can't")
        .arg(switch("json", "Print one JSON object, for programs"))
}

#[cfg(feature = "manual")]
fn completions() -> Command {
    named("completions", "Print what a shell completes after dantok; it is for the shell to read")
        .after_long_help(
            "  $ dantok completions bash > ~/.local/share/bash-completion/completions/dantok
  $ dantok completions zsh > /usr/local/share/zsh/site-functions/_dantok
  $ dantok completions fish > ~/.config/fish/completions/dantok.fish
A package of dantok has brought them already.",
        )
        .arg(explained(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .hide_possible_values(true)
                .value_parser(super::completions::SHELLS.map(|(name, _)| name)),
            "bash, zsh or fish",
        ))
}

#[cfg(feature = "manual")]
fn man() -> Command {
    named("man", "Print a manual page; it is for man to read")
        .after_long_help(
            "  $ dantok man | man -l -
  $ dantok man token issue | man -l -
  $ dantok man dantok.toml > dantok.toml.5
A package of dantok has brought them already.",
        )
        .arg(explained(
            Arg::new("page").value_name("COMMAND").num_args(0..),
            "Of which command; or dantok.toml, for the file of settings: without it, of dantok itself",
        ))
}

/// A point in time, in milliseconds since 1970 UTC.
fn since(text: &str) -> Result<u64, String> {
    let time = match units::duration(text) {
        // Before 1970 there is nothing.
        Ok(ago) => Some(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let since = time.map(|time| time.duration_since(UNIX_EPOCH).map_or(0, units::ms));
    since.ok_or_else(|| "takes a time like 2026-11-21T00:30:00Z, or how long ago, like 1h".to_owned())
}
