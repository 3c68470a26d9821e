//! The command line: built from the table of [settings](crate::config::SETTINGS), and from that of `commands`.
//!
//! `-h` is short: one line per option, and only what most users need. `--help` has everything. A command shows the settings that it uses,
//! and accepts the others too, so that the same environment and flags work for all commands.

mod commands;
#[cfg(feature = "manual")]
pub mod completions;
#[cfg(feature = "manual")]
pub mod manual;

use clap::{Arg, ArgAction, Command, value_parser};
use std::path::PathBuf;

use crate::config::{Config, SETTINGS, Setting};

/// The version, followed by the commit that it was built from and the commit's date, if known.
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match env!("DANTOK_COMMIT") {
        "" => version.to_owned(),
        commit => format!("{version} ({commit})"),
    }
}

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
and a key of the --config file (max-body = \"64KiB\"). A flag overrides the environment,
which overrides the file. `dantok config` prints what is in effect, and why.";

/// Compact, so that `dantok -h` fits on a screen.
const TEMPLATE: &str = "{about}\n{usage-heading} {usage}\n{all-args}{after-help}";

/// The daemon's settings that `-h` shows; `--help` shows the others as well.
const FIRST: &[&str] = &["config", "listen", "data-dir"];

/// What happens to settings that a command does not use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// They are accepted, and hidden.
    Hidden,
    /// They are left out.
    Gone,
}

/// The whole command line.
pub fn command() -> Command {
    let mut command = tree(Others::Hidden);
    command.build();
    without_help(command)
}

/// Hides the command `help`, which still works: it would take a line of the screen, and does what --help does.
fn without_help(command: Command) -> Command {
    command.mut_subcommands(|inner| if inner.get_name() == "help" { inner.hide(true) } else { without_help(inner) })
}

/// The command line for manual pages and completions: without the settings that a command does not use.
pub fn shown() -> Command {
    tree(Others::Gone)
}

fn tree(others: Others) -> Command {
    let command = Command::new("dantok")
        .version(version())
        .about(ABOUT)
        .after_long_help(AFTER)
        .help_template(TEMPLATE)
        .arg(commands::test().hide_short_help(false))
        .subcommands(commands::all().into_iter().map(|(command, reads)| with_settings(command, reads, others)));
    with_settings(command, commands::Reads::Everything, others)
}

/// Gives a command its settings.
fn with_settings(command: Command, reads: commands::Reads, others: Others) -> Command {
    let is_daemon = reads == commands::Reads::Everything;
    let args = std::iter::once(config()).chain(SETTINGS.iter().map(of_setting));
    args.fold(command, |command, arg| {
        let name = arg.get_id().as_str();
        if !reads.has(name) {
            return if others == Others::Hidden { command.arg(arg.hide(true).global(true)) } else { command };
        }
        let is_first = FIRST.contains(&name);
        let is_inherited = others == Others::Hidden || !is_daemon;
        let arg = arg.global(is_inherited).hide_short_help(is_daemon && !is_first);
        command.arg(if is_daemon && !is_first { arg } else { arg.help_heading(None::<&str>) })
    })
}

fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env("DANTOK_CONFIG")
        .hide_env(true)
        .value_parser(value_parser!(PathBuf))
        .help("A TOML file with any of the settings")
}

fn of_setting(setting: &Setting) -> Arg {
    let default = default(setting).map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(format!("{}{default}", brief(setting.help)))
        .long_help(format!("{}{default}", setting.help))
        .help_heading(setting.heading)
        .env(setting.env())
        .hide_env(true)
        .action(if setting.many { ArgAction::Append } else { ArgAction::Set });
    if setting.switch {
        arg.num_args(0..=1).default_missing_value("true").require_equals(true).hide_possible_values(true)
    } else {
        arg.allow_hyphen_values(false)
    }
}

/// The default value, as the help shows it.
fn default(setting: &Setting) -> Option<String> {
    let default = (setting.show)(&Config::default());
    match (setting.name, default.trim_matches(['[', ']', '"'])) {
        ("data-dir" | "tokens" | "open" | "allow-short-retention", _) | (_, "") => None,
        (_, default) => Some(default.to_owned()),
    }
}

/// The first part of a text, which fits on a line.
fn brief(text: &str) -> &str {
    let ends = ["; ", ": ", ", like ", ", and ", ", without ", ", over "].iter().filter_map(|end| text.find(end));
    ends.min().and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that is shown, by its words, and what it prints for `-h` and `--help`.
    fn helps() -> Vec<(String, String, String)> {
        fn below(command: &mut Command, words: &str, all: &mut Vec<(String, String, String)>) {
            let text = |command: &Command, is_long: bool| {
                let mut command = command.clone().term_width(80);
                if is_long { command.render_long_help() } else { command.render_help() }.to_string()
            };
            all.push((words.to_owned(), text(command, false), text(command, true)));
            for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set()) {
                let words = format!("{words} {}", inner.get_name());
                below(inner, &words, all);
            }
        }
        let mut all = Vec::new();
        below(&mut command(), "dantok", &mut all);
        all
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        shown().debug_assert();
    }

    #[test]
    fn the_short_help_has_a_line_for_each_option_and_fits_on_a_screen() {
        for (words, short, long) in helps() {
            let lines: Vec<&str> = short.lines().collect();
            assert!(lines.len() <= 24, "{words} -h has {} lines:\n{short}", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() <= 80), "{words} -h is too wide:\n{short}");
            assert!(long.len() > short.len(), "{words} --help tells no more than -h");
            let behind = lines.iter().skip_while(|line| **line != "Options:").skip(1);
            for line in behind.filter(|line| !line.is_empty()) {
                assert!(line.trim_start().starts_with('-'), "{words} -h: {line:?} belongs to the line before");
            }
        }
    }
}
