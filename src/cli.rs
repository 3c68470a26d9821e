//! The command line: built from the table of [settings](crate::config::SETTINGS).

use clap::{Arg, ArgAction, Command, value_parser};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::SETTINGS;
use crate::units;

const ABOUT: &str = "Durable group chat over raw TCP: what is answered OK is on disk.";

const AFTER: &str = "\
Try it, with netcat in another terminal:
  $ nc localhost 7420
  HELLO alice
  JOIN lobby
  SEND lobby hello, world
  FETCH lobby
  HELP

Every option is also an environment variable, DANTOK_ and its name (DANTOK_MAX_BODY),
and a key of the --config file (max-body = \"64KiB\"). A flag beats the environment,
which beats the file. `dantok config` prints what is in force, and why.";

const AFTER_BACKUP: &str = "\
Everything that was acknowledged before is in the backup: messages, rooms, cursors, groups, nicks,
and the tokens' hashes if tokens.toml lies in the data directory. The daemon is that of --data-dir;
it goes on meanwhile. The file is read again before it gets its name.
  $ dantok backup /srv/backup
  $ dantok backup --incremental /srv/backup
  $ dantok backup - | ssh elsewhere 'cat > dantok.backup'";

const AFTER_RESTORE: &str = "\
--data-dir must be empty or missing. What an incremental backup goes on from is looked for beside it.
  $ dantok restore --dry-run /srv/backup
  $ dantok restore /srv/backup --data-dir /var/lib/dantok
  $ dantok check --data-dir /var/lib/dantok";

const AFTER_IMPORT: &str = "\
A line wants a client, and text or base64; time, seq, room, id, reply, redacts and redacted may be there:
  {\"time\":\"2026-11-21T00:30:00Z\",\"client\":\"alice\",\"text\":\"Hello, all!\"}
A room's times never go back: one that is earlier than the room's last becomes that. Retention counts
from the import. What was imported before is known, and not stored again.";

const AFTER_CONFIG: &str = "\
  $ dantok config --example > dantok.toml
  $ dantok config --check --config dantok.toml
What is in the store is not looked at: see `dantok check`.";

/// Have the configuration tested.
fn test() -> Arg {
    Arg::new("test")
        .short('t')
        .action(ArgAction::SetTrue)
        .help("Start nothing; say whether the configuration is sound, as `dantok config --check` does")
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

/// The whole command line.
pub fn command() -> Command {
    let command = Command::new("dantok")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .arg(test())
        .subcommand(Command::new("serve").about("Run the daemon (the default)").after_help(AFTER).arg(test()))
        .subcommand(
            Command::new("config")
                .about("Print the values in force and where each came from; exits with 2 where one can't be")
                .after_help(AFTER_CONFIG)
                .arg(test().long("check").help(
                    "Open and read all that a start would, changing nothing, and say everything that is wrong: exits with 2 then",
                ))
                .arg(
                    Arg::new("example")
                        .long("example")
                        .action(ArgAction::SetTrue)
                        .conflicts_with("test")
                        .help("Print a file with every setting and its default, as comments"),
                ),
        )
        .subcommand(
            Command::new("check")
                .about("Look for damage in a data directory that no daemon has; exits with 1 where there is any")
                .arg(
                    Arg::new("scratch")
                        .long("scratch")
                        .value_name("DIR")
                        .value_parser(value_parser!(PathBuf))
                        .help("Where a copy of the store is made to look at; without it, in the data directory"),
                ),
        )
        .subcommand(
            Command::new("epoch")
                .about("Print which history the data directory's rooms have")
                .arg(
                    Arg::new("renew")
                        .long("renew")
                        .action(ArgAction::SetTrue)
                        .help("Say that it is another one from here on: to be done once where the files were copied back from a backup, while no daemon has them"),
                ),
        )
        .subcommand(
            Command::new("backup")
                .about("Copy everything into a file, from a running daemon or a stopped one")
                .after_help(AFTER_BACKUP)
                .arg(Arg::new("to").value_name("DIR|-").required(true).value_parser(value_parser!(PathBuf)).help(
                    "The directory that gets the file, made if it is missing; or - for standard output",
                ))
                .arg(
                    Arg::new("incremental")
                        .long("incremental")
                        .action(ArgAction::SetTrue)
                        .help("Only what came after the newest sound backup of this store in DIR; all of it where there is none"),
                ),
        )
        .subcommand(
            Command::new("restore")
                .about("Make a data directory of a backup")
                .after_help(AFTER_RESTORE)
                .arg(Arg::new("from").value_name("FILE|DIR|-").required(true).value_parser(value_parser!(PathBuf)).help(
                    "The backup; of a directory, the newest in it; or - for standard input",
                ))
                .arg(
                    Arg::new("dry-run")
                        .long("dry-run")
                        .action(ArgAction::SetTrue)
                        .help("Only read all of it and say whether it is sound; exits with 1 where it is not"),
                ),
        )
        .subcommand(
            Command::new("export")
                .about("Print a room's messages")
                .arg(Arg::new("room").value_name("ROOM").required(true).help("The room's name"))
                .arg(
                    Arg::new("format")
                        .long("format")
                        .value_name("FORMAT")
                        .value_parser(["jsonl", "text"])
                        .default_value("jsonl")
                        .hide_possible_values(true)
                        .help("jsonl: an object a line, with everything; text: time, client and text, for people"),
                )
                .arg(
                    Arg::new("after")
                        .long("after")
                        .value_name("SEQ")
                        .value_parser(value_parser!(u64))
                        .help("Only what comes after this seq"),
                )
                .arg(
                    Arg::new("since")
                        .long("since")
                        .value_name("TIME")
                        .conflicts_with("after")
                        .value_parser(since)
                        .help("Only what was sent since then: a time like 2026-11-21T00:30:00Z, or how long ago, like 1h"),
                ),
        )
        .subcommand(
            Command::new("import")
                .about("Put messages into a room, with the clients and times that they have")
                .after_help(AFTER_IMPORT)
                .arg(Arg::new("room").value_name("ROOM").required(true).help("The room's name; made if it is missing"))
                .arg(
                    Arg::new("file")
                        .value_name("FILE|-")
                        .default_value("-")
                        .value_parser(value_parser!(PathBuf))
                        .help("Lines as `dantok export` prints them; or - for standard input"),
                ),
        )
        .subcommand(
            Command::new("token")
                .about("Say who may connect, and as whom; a running daemon is told at once")
                .subcommand_required(true)
                .subcommand(
                    Command::new("issue")
                        .about("Make a token and print it; it is shown this once")
                        .arg(
                            Arg::new("client")
                                .value_name("CLIENT")
                                .required(true)
                                .help("Whose it is: a name, and all devices behind it; or with /device, that one only"),
                        )
                        .arg(
                            Arg::new("expires")
                                .long("expires")
                                .value_name("TIME")
                                .value_parser(units::duration)
                                .help("How long it is good for, like 90d; for ever without it"),
                        )
                        .arg(
                            Arg::new("admin")
                                .long("admin")
                                .action(ArgAction::SetTrue)
                                .help("Its bearer may do what members may not, in every room"),
                        ),
                )
                .subcommand(Command::new("list").about("Print the tokens' ids, whose they are, and when they end"))
                .subcommand(
                    Command::new("revoke")
                        .about("Take a token back; connections that came with it are closed")
                        .arg(Arg::new("which").value_name("ID|CLIENT").required(true).help(
                        "The token's id, as `dantok token list` shows it; or a client, to take back all of its tokens",
                    )),
                ),
        )
        .subcommand(
            Command::new("doctor")
                .about("Say whether this machine can keep the promises; exits with 1 where it can't")
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object, for programs")),
        );
    let command = command.arg(
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("DANTOK_CONFIG")
            .hide_env(true)
            .global(true)
            .value_parser(value_parser!(PathBuf))
            .help("A TOML file with any of these options"),
    );
    SETTINGS.iter().fold(command, |command, setting| {
        let arg = Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.value)
            .help(help(setting))
            .help_heading(setting.heading)
            .env(setting.env())
            .hide_env(true)
            .global(true)
            .action(if setting.many { ArgAction::Append } else { ArgAction::Set });
        command.arg(if setting.switch {
            arg.num_args(0..=1).default_missing_value("true").require_equals(true).hide_possible_values(true)
        } else {
            arg.allow_hyphen_values(false)
        })
    })
}

fn help(setting: &crate::config::Setting) -> String {
    let default = (setting.show)(&crate::config::Config::default());
    match (setting.name, default.trim_matches(['[', ']', '"'])) {
        ("data-dir" | "tokens" | "open" | "allow-short-retention", _) | (_, "") => setting.help.to_owned(),
        (_, default) => format!("{} [default: {default}]", setting.help),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
