//! The command line of `dantok-chat`, for the program itself and for its manual page.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, value_parser};
use dantok_protocol::units;

/// Builds the command line.
pub fn command() -> clap::Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    clap::Command::new("dantok-chat")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A chat client for dantok. On a terminal it takes the full screen; otherwise it posts each line of its input.")
        .after_help(
            "Exit status: 0 if everything succeeded and every posted line is on disk; 1 otherwise.\n\n\
             On the full screen, /help lists keys and commands. The outbox keeps what you type until the daemon has stored it, \
             even if this program is killed, and the program waits for the daemon for as long as it takes.",
        )
        .arg(
            Arg::new("room")
                .value_name("ROOM")
                .num_args(0..)
                .help("A room, created if it does not exist. The full screen takes several, or none; it shows all your rooms anyway"),
        )
        .arg(option("as", "NAME", "Your name; NAME/DEVICE reads separately from your other devices").required(true))
        .arg(option("server", "HOST:PORT", "The daemon's address").default_value("127.0.0.1:7420"))
        .arg(option("token", "TOKEN", "Your secret, if the daemon requires one").env("DANTOK_TOKEN").hide_env_values(true))
        .arg(
            option("retry-for", "TIME", "How long to keep trying while the daemon does not answer; 'forever' never gives up")
                .default_value("30s")
                .value_parser(retry_for),
        )
        .args([
            flag("tls", "Use TLS, for which the daemon has a separate address"),
            option("ca", "FILE", "CA certificates that may sign the daemon's certificate, in PEM format")
                .env("SSL_CERT_FILE")
                .required_if_eq("tls", "true"),
            option("client-cert", "FILE", "Your certificate in PEM format, if the daemon requires one")
                .requires("client-key")
                .requires("tls"),
            option("client-key", "FILE", "The key of that certificate, in PEM format").requires("client-cert"),
        ])
        .arg(
            option("outbox", "DIR", "Directory for unsent messages; by default $XDG_STATE_HOME/dantok or ~/.local/state/dantok")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(flag("fetch", "Print what is new since the last time, acknowledge it, and exit").conflicts_with("follow"))
        .arg(flag("follow", "Print what is new and what arrives, and acknowledge it; reads no input"))
        .arg(flag("json", "Print one JSON object per line"))
}

/// How long to keep trying; `None`: forever. It is wrapped in a struct because clap would read a bare `Option` as an optional argument.
#[derive(Clone, Copy)]
pub struct RetryFor(pub Option<Duration>);

fn retry_for(text: &str) -> Result<RetryFor, units::Wrong> {
    Ok(RetryFor(if text == "forever" { None } else { Some(units::duration(text)?) }))
}
