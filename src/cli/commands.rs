//! The commands of the program, and the settings that each of them uses.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::{AFTER, brief};
use dantok_protocol::units;

/// Which settings a command uses.
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

/// The settings that `dantok hook` uses.
#[cfg(feature = "web")]
const OF_HOOK: &[&str] = &["data-dir", "web-path"];
#[cfg(not(feature = "web"))]
const OF_HOOK: &[&str] = &["data-dir"];

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
        (hook(), Reads::Only(OF_HOOK)),
        (doctor(), of_doctor),
    ];
    #[cfg(feature = "manual")]
    let all = [all, vec![(completions(), Reads::Nothing), (man(), Reads::Nothing)]].concat();
    all
}

/// A command. Where all of them are listed, only the first part of `about` is shown.
fn named(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(brief(about)).long_about(about)
}

/// An option without a value.
fn switch(name: &'static str, help: &'static str) -> Arg {
    explained(Arg::new(name).long(name).action(ArgAction::SetTrue), help)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    explained(Arg::new(name).long(name).value_name(value), help)
}

fn explained(arg: Arg, help: &'static str) -> Arg {
    arg.help(brief(help)).long_help(help)
}

/// A positional argument that names a file.
fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    explained(
        Arg::new(name).value_name(value).value_parser(value_parser!(PathBuf)).value_hint(ValueHint::AnyPath),
        help,
    )
}

fn room(help: &'static str) -> Arg {
    explained(Arg::new("room").value_name("ROOM").required(true), help)
}

/// Tests the configuration.
pub(super) fn test() -> Arg {
    explained(
        Arg::new("test").short('t').action(ArgAction::SetTrue),
        "Check the configuration and exit; nothing is started: the same as `dantok config --check`",
    )
}

fn serve() -> Command {
    named("serve", "Run the daemon (the default)").after_long_help(AFTER).arg(test())
}

fn configuration() -> Command {
    named("config", "Print the values in effect and where each comes from; exits with 2 if one is invalid")
        .after_long_help(
            "  $ dantok config --example > dantok.toml
  $ dantok config --check --config dantok.toml
The store is not checked: see `dantok check`.",
        )
        .arg(explained(
            test().long("check"),
            "Report everything that is wrong; opens and reads what a start would, and changes nothing: exits with 2 if \
             anything is wrong",
        ))
        .arg(
            switch("example", "Print a file with every setting; each is commented out and shows its default")
                .conflicts_with("test"),
        )
}

fn check() -> Command {
    named("check", "Look for damage in a data directory that is not in use; exits with 1 if there is any").arg(
        option(
            "scratch",
            "DIR",
            "Where to copy the store; the check runs on a copy, by default inside the data directory",
        )
        .value_parser(value_parser!(PathBuf)),
    )
}

fn epoch() -> Command {
    named("epoch", "Print the epoch, which identifies the history of the rooms").arg(switch(
        "renew",
        "Start a new epoch; do this once after you copy files back from a backup by hand, while no daemon runs",
    ))
}

fn backup() -> Command {
    named("backup", "Copy everything into a file; works with and without a running daemon")
        .after_long_help(
            "\
The backup has everything that was acknowledged before it began: messages, rooms, cursors, groups,
nicks, hooks, and the hashes of tokens if tokens.toml is in the data directory. A daemon that uses
--data-dir keeps serving meanwhile. The file is verified before it gets its name.
  $ dantok backup /srv/backup
  $ dantok backup --incremental /srv/backup
  $ dantok backup - | ssh elsewhere 'cat > dantok.backup'",
        )
        .arg(
            path("to", "DIR|-", "The directory for the file; created if missing; or - for standard output")
                .required(true),
        )
        .arg(switch(
            "incremental",
            "Only what is new since the newest backup; the newest valid one of this store in DIR counts: without one, the backup is full",
        ))
}

fn restore() -> Command {
    named("restore", "Make a data directory from a backup")
        .after_long_help(
            "\
--data-dir must be empty or missing. The backups that an incremental one builds on must be beside it.
  $ dantok restore --dry-run /srv/backup
  $ dantok restore /srv/backup --data-dir /var/lib/dantok
  $ dantok check --data-dir /var/lib/dantok",
        )
        .arg(
            path("from", "FILE|DIR|-", "The backup; in a directory, the newest one; or - for standard input")
                .required(true),
        )
        .arg(switch("dry-run", "Only verify the backup; reads all of it: exits with 1 if it is not valid"))
}

fn export() -> Command {
    named("export", "Print a room's messages")
        .arg(room("The room's name"))
        .arg(
            option(
                "format",
                "FORMAT",
                "jsonl, or text for people; jsonl has one object per line, with everything; text has time, client and text",
            )
            .value_parser(["jsonl", "text"])
            .default_value("jsonl")
            .hide_possible_values(true),
        )
        .arg(option("after", "SEQ", "Only messages after this seq").value_parser(value_parser!(u64)))
        .arg(
            option(
                "since",
                "TIME",
                "Only messages sent since then; a time like 2026-11-21T00:30:00Z, or a duration before now, like 1h",
            )
            .conflicts_with("after")
            .value_parser(since),
        )
}

fn import() -> Command {
    named("import", "Add messages to a room; they keep their clients and times")
        .after_long_help(
            "\
Each line needs client, and text or base64. time, seq, room, id, reply, redacts and redacted are optional:
  {\"time\":\"2026-11-21T00:30:00Z\",\"client\":\"alice\",\"text\":\"Hello, all!\"}
Times in a room never go backwards: one that is earlier than the last in the room becomes that one.
Retention counts from the import. Messages that were imported before are recognised and skipped.",
        )
        .arg(room("The room's name; created if missing"))
        .arg(path("file", "FILE|-", "Lines as `dantok export` prints them; or - for standard input").default_value("-"))
}

fn token() -> Command {
    named("token", "Manage who may connect, and as whom; takes effect in a running daemon at once")
        .subcommand_required(true)
        .subcommand(
            named("issue", "Create a token and print it; it is shown only once")
                .arg(explained(
                    Arg::new("client").value_name("CLIENT").required(true),
                    "Who it is for; a name stands for all its devices; with /device, for that one only",
                ))
                .arg(
                    option("expires", "TIME", "How long it is valid, like 90d; by default it never expires")
                        .value_parser(units::duration),
                )
                .arg(switch("admin", "Make the bearer an admin of every room"))
                .arg(switch(
                    "as-is",
                    "Use the name byte for byte; for a client whose name predates the rules for look-alike names",
                )),
        )
        .subcommand(named("list", "List tokens by id, with their clients and expiry"))
        .subcommand(named("revoke", "Revoke tokens; connections that use them are closed").arg(explained(
            Arg::new("which").value_name("ID|CLIENT").required(true),
            "A token's id, or a client; ids are those of `dantok token list`: for a client, all its tokens are revoked",
        )))
}

fn hook() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true);
    named("hook", "Manage URLs that post into a room; takes effect in a running daemon at once")
        .subcommand_required(true)
        .subcommand(
            named("add", "Create a hook and print the path of its URL; it is shown only once")
                .after_long_help(
                    "\
The path has a secret: whoever knows it may write into that room, and nothing else. It takes plain text,
what is sent to Slack, and what GitHub, GitLab, Alertmanager and Grafana send:
  $ dantok hook add general --name ci
  /hook/0123456789abcdef0123456789abcdef01234567
  $ curl -d 'build 7 failed' http://127.0.0.1:7480/hook/0123456789abcdef0123456789abcdef01234567",
                )
                .arg(explained(
                    Arg::new("room").value_name("ROOM").required(true),
                    "The room that it writes into; if there is none of this name yet, the first that is created",
                ))
                .arg(explained(name().long("name"), "What to call it; its messages are signed hook/NAME"))
                .arg(
                    option(
                        "github-secret-file",
                        "FILE",
                        "The webhook's secret at GitHub; then only requests that GitHub has signed with it are taken",
                    )
                    .value_parser(value_parser!(PathBuf))
                    .value_hint(ValueHint::FilePath),
                ),
        )
        .subcommand(named("list", "List hooks with their rooms; the numbers tell apart rooms that had the same name"))
        .subcommand(
            named("remove", "Remove a hook; its URL is worthless from then on")
                .arg(explained(name(), "The hook's name; see `dantok hook list`")),
        )
}

fn doctor() -> Command {
    named("doctor", "Check whether this machine can keep the promises; exits with 1 if it can't")
        .arg(switch("json", "Print one JSON object, for programs"))
}

#[cfg(feature = "manual")]
fn completions() -> Command {
    named("completions", "Print completions for a shell; the shell reads them")
        .after_long_help(
            "  $ dantok completions bash > ~/.local/share/bash-completion/completions/dantok
  $ dantok completions zsh > /usr/local/share/zsh/site-functions/_dantok
  $ dantok completions fish > ~/.config/fish/completions/dantok.fish
Packages install them already.",
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
    named("man", "Print a manual page; in the format of man")
        .after_long_help(
            "  $ dantok man | man -l -
  $ dantok man token issue | man -l -
  $ dantok man dantok.toml > dantok.toml.5
Packages install them already.",
        )
        .arg(explained(
            Arg::new("page").value_name("COMMAND").num_args(0..),
            "The command; or dantok.toml, for the settings file: by default dantok itself",
        ))
}

/// A point in time, in milliseconds since 1970 UTC; nothing is older than that.
fn since(text: &str) -> Result<u64, String> {
    let time = match units::duration(text) {
        // Before 1970 there is nothing.
        Ok(ago) => Some(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let since = time.map(|time| time.duration_since(UNIX_EPOCH).map_or(0, units::ms));
    since.ok_or_else(|| "takes a time like 2026-11-21T00:30:00Z, or how long ago, like 1h".to_owned())
}
