//! A chat client on `dantok::client`, for people and for scripts.
//!
//! ```text
//! chat lobby --as alice              talk
//! make 2>&1 | chat lobby --as bot    post each line; exit status 0: all of them are on disk
//! chat lobby --as bot --fetch        print what is new, once
//! chat lobby --as bot --follow       print what comes
//! ```

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches};
use dantok::client::{Client, Error, Follow, Options, Receipt, Tls};
use dantok::protocol::text::{escape, is_unsafe};
use dantok::protocol::{Item, Message};
use futures_util::FutureExt;
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::sync::mpsc;

/// Messages sent and not yet acknowledged.
const UNACKNOWLEDGED_MAX: usize = 256;
/// Lines read ahead of sending.
const READ_AHEAD: usize = 64;
/// Messages fetched, or printed before a flush.
const PAGE: usize = 512;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn command() -> clap::Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    clap::Command::new("chat")
        .about("Talks in a room of dantok. On a terminal: type, and see what others write. Otherwise each line of the input is posted.")
        .after_help("Exit status: 0 when everything was done, and every line that was posted is on disk; 1 otherwise.")
        .arg(Arg::new("room").value_name("ROOM").required(true).help("The room; made if it is missing"))
        .arg(option("as", "NAME", "Who you are; with /device behind it to read apart from your other devices").required(true))
        .arg(option("server", "HOST:PORT", "Where the daemon listens").default_value("127.0.0.1:7420"))
        .arg(option("token", "TOKEN", "Your secret, where the daemon wants one").env("DANTOK_TOKEN").hide_env_values(true))
        .arg(
            option("retry-for", "TIME", "How long to keep trying while the daemon does not answer; 'forever' never gives up")
                .default_value("30s")
                .value_parser(retry_for),
        )
        .arg(flag("fetch", "Print what is new since the last time, acknowledge it, and end").conflicts_with("follow"))
        .arg(flag("follow", "Print what is new and what comes, acknowledging it; reads no input"))
        .arg(flag("json", "Print a JSON object a line"))
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
}

/// TLS, where it is asked for.
fn tls(arguments: &ArgMatches) -> Option<Tls> {
    let file = |name: &str| arguments.get_one::<String>(name);
    let ca = file("ca").filter(|_| arguments.get_flag("tls"))?;
    let cert_and_key = file("client-cert").zip(file("client-key")).map(|(cert, key)| (cert.into(), key.into()));
    Some(Tls { cert_and_key, ..Tls::new(ca) })
}

/// None: for ever. In a struct, because clap takes an `Option` for an option's presence.
#[derive(Clone, Copy)]
struct RetryFor(Option<Duration>);

fn retry_for(text: &str) -> Result<RetryFor, humantime::DurationError> {
    Ok(RetryFor(if text == "forever" { None } else { Some(humantime::parse_duration(text)?) }))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = command().get_matches();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What a daemon said is not trusted to be safe on a terminal.
            eprintln!("chat: {}", escape(error.to_string().as_bytes()));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &ArgMatches) -> Outcome<()> {
    let text = |name: &str| arguments.get_one::<String>(name).cloned();
    let room = text("room").unwrap_or_default();
    let options = Options {
        token: text("token"),
        reconnect: arguments.get_one::<RetryFor>("retry-for").and_then(|retry| retry.0),
        tls: tls(arguments),
        ..Options::new(text("server").unwrap_or_default(), text("as").unwrap_or_default())
    };
    let json = arguments.get_flag("json");
    let client = Client::connect(options).await?;
    client.join(&room).await?;
    if arguments.get_flag("fetch") {
        fetch(&client, &room, json).await
    } else if arguments.get_flag("follow") {
        follow(&client, &room, json).await
    } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
        // An end while a line is being edited would leave the terminal as the editor has set it.
        let terminal = rustix::termios::tcgetattr(io::stdin())?;
        let talked = talk(&client, &room, json).await;
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Drain, &terminal)?;
        talked
    } else {
        post(&client, &room).await
    }
}

async fn fetch(client: &Client, room: &str, json: bool) -> Outcome<()> {
    let mut after = None;
    loop {
        let page = client.fetch(room, after, Some(PAGE as u64)).await?;
        print(page.items.iter().map(|item| show(item, json)))?;
        if !page.items.is_empty() {
            client.ack(room, Some(page.handed)).await?;
        }
        if page.handed >= page.last {
            return Ok(());
        }
        after = Some(page.handed);
    }
}

async fn follow(client: &Client, room: &str, json: bool) -> Outcome<()> {
    let mut follow = client.follow(room);
    while let Some(item) = follow.next().await {
        let items = batch(&mut follow, item?);
        print(items.iter().map(|item| show(item, json)))?;
        acknowledge(client, room, &items).await?;
    }
    Ok(())
}

/// An item, and those that have come already behind it. An error among them is met again as the end of the stream.
fn batch(follow: &mut Follow, first: Item) -> Vec<Item> {
    let mut items = vec![first];
    while items.len() < PAGE
        && let Some(Some(Ok(item))) = follow.next().now_or_never()
    {
        items.push(item);
    }
    items
}

async fn acknowledge(client: &Client, room: &str, items: &[Item]) -> Result<(), Error> {
    let last = items.iter().rev().find_map(|item| match item {
        Item::Message(message) => Some(message.seq),
        Item::Gap { to, .. } => Some(*to),
        _ => None,
    });
    if let Some(last) = last {
        client.ack(room, Some(last)).await?;
    }
    Ok(())
}

/// Writes lines, down to the reader behind standard output.
fn print(lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn time(message: &Message) -> String {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(message.time_ms))
        .map(|time| humantime::format_rfc3339_millis(time).to_string())
        .unwrap_or_default()
}

/// An item as a line that is safe on a terminal.
fn show(item: &Item, json: bool) -> String {
    match item {
        Item::Message(message) if json => {
            let (key, body) = match std::str::from_utf8(&message.body) {
                Ok(text) => ("text", text.to_owned()),
                Err(_) => ("escaped", escape(&message.body)),
            };
            plain_json(&serde_json::json!({
                "type": "message", "room": *message.room, "seq": message.seq, "time": time(message),
                "client": *message.client, key: body,
            }))
        }
        Item::Gap { room, from, to, .. } if json => {
            plain_json(&serde_json::json!({"type": "gap", "room": **room, "from": from, "to": to, "reason": "expired"}))
        }
        Item::Message(message) => {
            let client = escape(message.client.as_bytes());
            format!("{} {} {client}: {}", message.seq, time(message), escape(&message.body))
        }
        Item::Gap { from, to, .. } => format!("-- {from} to {to} have expired --"),
        other => escape(format!("{other:?}").as_bytes()),
    }
}

/// JSON without what JSON leaves raw and a terminal does not: the same value.
fn plain_json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if is_unsafe(c) {
            // All of them are in the basic plane, and stand in strings.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Messages on their way, in order.
#[derive(Default)]
struct Unacknowledged {
    receipts: VecDeque<Receipt>,
    answered: u64,
}

impl Unacknowledged {
    /// Waits for the first of them. Cancel safe.
    async fn next(&mut self) -> Result<(), Unsent> {
        let Some(first) = self.receipts.front_mut() else { return Ok(()) };
        let answer = first.await;
        self.receipts.pop_front();
        self.answered += 1;
        answer.map(drop).map_err(|error| Unsent { number: self.answered, error })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("message {number} was not acknowledged: {error}")]
struct Unsent {
    number: u64,
    error: Error,
}

async fn post(client: &Client, room: &str) -> Outcome<()> {
    let (sender, mut lines) = mpsc::channel(READ_AHEAD);
    let max = client.welcome().max_body;
    // A thread that is not waited for: a read of standard input can't be stopped.
    std::thread::spawn(move || read_lines(max, &sender));
    let mut unacknowledged = Unacknowledged::default();
    loop {
        tokio::select! {
            line = lines.recv(), if unacknowledged.receipts.len() < UNACKNOWLEDGED_MAX => match line {
                Some(line) => match line {
                    Ok(line) => unacknowledged.receipts.push_back(client.queue(room, line).await?),
                    Err(error) => {
                        finish(&mut unacknowledged).await?;
                        return Err(error.into());
                    }
                },
                None => return finish(&mut unacknowledged).await,
            },
            answer = unacknowledged.next(), if !unacknowledged.receipts.is_empty() => answer?,
        }
    }
}

async fn finish(unacknowledged: &mut Unacknowledged) -> Outcome<()> {
    while !unacknowledged.receipts.is_empty() {
        unacknowledged.next().await?;
    }
    Ok(())
}

/// Reads standard input by lines of any bytes; the last may lack its line end.
fn read_lines(max: u64, lines: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut input = io::stdin().lock();
    for number in 1_u64.. {
        let mut line = Vec::new();
        let line = match input.by_ref().take(max.saturating_add(2)).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                if line.pop_if(|end| *end == b'\n').is_some() {
                    line.pop_if(|end| *end == b'\r');
                }
                if line.len() as u64 > max {
                    Err(io::Error::other(format!(
                        "line {number} is longer than {max} bytes; nothing from it on was sent"
                    )))
                } else {
                    Ok(line)
                }
            }
            Err(error) => Err(error),
        };
        let failed = line.is_err();
        if lines.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

fn notice(error: &Error) -> String {
    format!("-- {} --\n", escape(error.to_string().as_bytes()))
}

async fn talk(client: &Client, room: &str, json: bool) -> Outcome<()> {
    let mut editor = DefaultEditor::new()?;
    let mut printer = editor.create_external_printer()?;
    let (sender, mut lines) = mpsc::channel(1024);
    let prompt = format!("{}> ", escape(room.as_bytes()));
    std::thread::spawn(move || edit(&mut editor, &prompt, &sender));
    let mut follow = client.follow(room);
    let mut unacknowledged = Unacknowledged::default();
    loop {
        tokio::select! {
            line = lines.recv(), if unacknowledged.receipts.len() < UNACKNOWLEDGED_MAX => match line {
                // A message that is refused is no reason to end.
                Some(Ok(line)) => match client.queue(room, line).await {
                    Ok(receipt) => unacknowledged.receipts.push_back(receipt),
                    Err(error @ Error::Refused(_)) => printer.print(notice(&error))?,
                    Err(error) => return Err(error.into()),
                },
                Some(Err(error)) => return Err(error.into()),
                None => return finish(&mut unacknowledged).await,
            },
            answer = unacknowledged.next(), if !unacknowledged.receipts.is_empty() => match answer {
                Err(Unsent { error: error @ Error::Refused(_), .. }) => printer.print(notice(&error))?,
                answer => answer?,
            },
            item = follow.next() => {
                let Some(item) = item else { return Err(Error::Closed.into()) };
                let items = batch(&mut follow, item?);
                for item in &items {
                    printer.print(format!("{}\n", show(item, json)))?;
                }
                acknowledge(client, room, &items).await?;
            }
        }
    }
}

/// Reads lines from the terminal until it is closed or interrupted.
fn edit(editor: &mut DefaultEditor, prompt: &str, lines: &mpsc::Sender<Result<String, ReadlineError>>) {
    loop {
        let line = match editor.readline(prompt) {
            Ok(line) if line.is_empty() => continue,
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return,
            Err(error) => {
                let _ = lines.blocking_send(Err(error));
                return;
            }
        };
        // Without a history one can still talk.
        let _ = editor.add_history_entry(line.as_str());
        if lines.blocking_send(Ok(line)).is_err() {
            return;
        }
    }
}
