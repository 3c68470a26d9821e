//! A chat client built on `dantok_client`, for people and for scripts.
//!
//! ```text
//! dantok-chat lobby --as alice              chat on the full screen
//! make 2>&1 | dantok-chat lobby --as bot    post each line; exit status 0: all of them are on disk
//! dantok-chat lobby --as bot --fetch        print what is new, once
//! dantok-chat lobby --as bot --follow       print what is new and what arrives
//! ```
//!
//! The full screen:
//!
//! - `screen` is the loop, and `app` the state. `told` applies results of requests to it, `list` changes of membership, `keys` key
//!   presses and `commands` typed lines. `ask` defines the requests to the daemon, and `net` carries them out.
//! - `room` is one room, with its `timeline` in memory, its `rows` on the screen, its `presence` and its `selection`.
//! - `draw` draws the screen, with an `overlay` on top. `text` measures and sanitises what is shown. `input` is the line being typed,
//!   and `typed` parses commands in it.
//!
//! `plain` is everything that needs no screen. [`dantok_client::outbox`] keeps unacknowledged messages.

mod app;
mod ask;
mod commands;
mod draw;
mod input;
mod keys;
mod list;
mod net;
mod overlay;
mod plain;
mod presence;
mod room;
mod rows;
mod screen;
mod selection;
mod text;
mod timeline;
mod told;
mod typed;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use dantok_chat::{RetryFor, command};
use dantok_client::{Client, Options, Tls};
use dantok_protocol::name;
use dantok_protocol::text::escape;

/// The result of something that can fail in many ways; the error is only printed.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = command().get_matches();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error may contain text from the daemon, which is not trusted to be safe on a terminal.
            eprintln!("dantok-chat: {}", escape(error.to_string().as_bytes()));
            ExitCode::FAILURE
        }
    }
}

/// The TLS settings, if `--tls` is given.
fn tls(arguments: &ArgMatches) -> Option<Tls> {
    let file = |name: &str| arguments.get_one::<String>(name);
    let ca = file("ca").filter(|_| arguments.get_flag("tls"))?;
    let cert_and_key = file("client-cert").zip(file("client-key")).map(|(cert, key)| (cert.into(), key.into()));
    Some(Tls { cert_and_key, ..Tls::new(ca) })
}

async fn run(arguments: &ArgMatches) -> Outcome<()> {
    let text = |name: &str| arguments.get_one::<String>(name).cloned();
    let rooms: Vec<String> = arguments.get_many("room").into_iter().flatten().cloned().collect();
    let options = Options {
        token: text("token"),
        tls: tls(arguments),
        reconnect: arguments.get_one::<RetryFor>("retry-for").and_then(|retry| retry.0),
        ..Options::new(text("server").unwrap_or_default(), text("as").unwrap_or_default())
    };
    let (once, follow, json) = (arguments.get_flag("fetch"), arguments.get_flag("follow"), arguments.get_flag("json"));
    if !once && !follow && io::stdin().is_terminal() && io::stdout().is_terminal() {
        return full_screen(options, rooms, arguments.get_one("outbox").cloned()).await;
    }
    let [room] = rooms.as_slice() else {
        let text = "give exactly one ROOM; only the full screen takes several, or none";
        command().error(clap::error::ErrorKind::WrongNumberOfValues, text).exit();
    };
    let client = Client::connect(options).await?;
    if once || follow {
        client.join(room).await?;
    } else {
        // A client that only posts must not count as somebody who has yet to read.
        client.join_to_write(room).await?;
    }
    if once {
        plain::fetch(&client, room, json).await
    } else if follow {
        plain::follow(&client, room, json).await
    } else {
        plain::post(&client, room).await
    }
}

async fn full_screen(options: Options, rooms: Vec<String>, outbox: Option<PathBuf>) -> Outcome<()> {
    // Check names before anybody types messages for these rooms.
    name::check_client(&name::composed(&options.client))?;
    let rooms: Vec<String> = rooms.iter().map(|room| name::composed(room).into_owned()).collect();
    rooms.iter().try_for_each(|room| name::check_room(room))?;
    let dir = outbox
        .or_else(dantok_client::outbox::default_dir)
        .ok_or("neither $XDG_STATE_HOME nor $HOME is set; use --outbox")?;
    let outbox = dantok_client::outbox::Outbox::open(&dir, &options.address, &options.client)?;
    let left = screen::run(Options { reconnect: None, ..options }, rooms, outbox).await?;
    if left > 0 {
        let dir = escape(dir.as_os_str().as_encoded_bytes());
        println!("unsent messages: {left}; they are kept in {dir} and sent when you next start dantok-chat");
    }
    Ok(())
}
