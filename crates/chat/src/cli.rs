//! The command line of `dantok-chat`, for the program and for its manual page.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, value_parser};
use dantok_protocol::units;

/// The command line.
pub fn command() -> clap::Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    clap::Command::new("dantok-chat")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Talks in rooms of dantok. On a terminal: full screen. Otherwise each line of the input is posted.")
        .after_help(
            "Exit status: 0 when everything was done, and every line that was posted is on disk; 1 otherwise.\n\n\
             On the full screen, /help lists keys and commands. What is typed is kept in the outbox until it is stored, also \
             over a kill of this program, and the daemon is waited for without end.",
        )
        .arg(
            Arg::new("room")
                .value_name("ROOM")
                .num_args(0..)
                .help("A room; made if it is missing. On the full screen several, or none: those that you are a member of"),
        )
        .arg(option("as", "NAME", "Who you are; with /device behind it to read apart from your other devices").required(true))
        .arg(option("server", "HOST:PORT", "Where the daemon listens").default_value("127.0.0.1:7420"))
        .arg(option("token", "TOKEN", "Your secret, where the daemon wants one").env("DANTOK_TOKEN").hide_env_values(true))
        .arg(
            option("retry-for", "TIME", "How long to keep trying while the daemon does not answer; 'forever' never gives up")
                .default_value("30s")
                .value_parser(retry_for),
        )
        .args([
            flag("tls", "Talk TLS, which the daemon speaks on an address of its own"),
            option("ca", "FILE", "Who may sign the daemon's certificate, in PEM form")
                .env("SSL_CERT_FILE")
                .required_if_eq("tls", "true"),
            option("client-cert", "FILE", "Your certificate in PEM form, where the daemon wants one")
                .requires("client-key")
                .requires("tls"),
            option("client-key", "FILE", "Its key").requires("client-cert"),
        ])
        .arg(
            option("outbox", "DIR", "Where what is not sent yet is kept; otherwise $XDG_STATE_HOME/dantok or ~/.local/state/dantok")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(flag("fetch", "Print what is new since the last time, acknowledge it, and end").conflicts_with("follow"))
        .arg(flag("follow", "Print what is new and what comes, acknowledging it; reads no input"))
        .arg(flag("json", "Print a JSON object a line"))
}

/// How long to keep trying; none: for ever. In a struct, because clap takes an `Option` for an option's presence.
#[derive(Clone, Copy)]
pub struct RetryFor(pub Option<Duration>);

fn retry_for(text: &str) -> Result<RetryFor, units::Wrong> {
    Ok(RetryFor(if text == "forever" { None } else { Some(units::duration(text)?) }))
}
