//! A chat client for a terminal, and for pipes.
//!
//! ```text
//! chat lobby --as alice                 backlog, then live messages; sends what is typed
//! date | chat lobby --as cron           posts each line; exits non-zero unless all were acknowledged
//! chat lobby --as alice --fetch         prints what is new, acknowledges it, ends
//! chat lobby --as alice --follow --json prints what is new and what comes, an object a line
//! ```

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};

use clap::{Arg, ArgAction, ArgMatches, Command};
use dantok::client::{Client, Error as ClientError, Options, Sent};
use dantok::protocol::text::escape;
use dantok::protocol::{Item, Message, line};
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Lines that may wait for their acknowledgement.
const UNDER_WAY: usize = 256;
/// Messages of one fetch: what is printed before it is acknowledged.
const FETCH: u64 = 500;

fn command() -> Command {
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("chat")
        .about("Talk in a room of a dantok daemon")
        .arg(Arg::new("room").required(true).value_name("ROOM").help("Joined, and made if it is missing"))
        .arg(
            Arg::new("as")
                .long("as")
                .required(true)
                .value_name("CLIENT")
                .help("Who you are, like alice or alice/phone"),
        )
        .arg(Arg::new("server").long("server").value_name("ADDRESS").default_value("127.0.0.1:7420").help("The daemon"))
        .arg(Arg::new("token").long("token").value_name("TOKEN").help("A secret, where the daemon wants one"))
        .arg(switch("fetch").help("Print what is new, acknowledge it, and end"))
        .arg(switch("follow").conflicts_with("fetch").help("Print what is new and what comes; send nothing"))
        .arg(switch("json").help("Print an object a line"))
}

#[tokio::main]
async fn main() {
    let ended = run(&command().get_matches()).await;
    if let Err(error) = &ended {
        eprintln!("chat: {error}");
    }
    // A thread may still wait for the standard input: it is not waited for.
    std::process::exit(i32::from(ended.is_err()));
}

async fn run(matches: &ArgMatches) -> Result<(), Error> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let room = text("room").ok_or("ROOM is missing")?;
    let mut options = Options::new(text("server").unwrap_or_default(), text("as").unwrap_or_default());
    options.token = text("token");
    let json = matches.get_flag("json");
    let client = Arc::new(Client::connect(options).await?);
    client.join(&room).await?;
    if matches.get_flag("fetch") {
        return fetch(&client, &room, json).await;
    }
    if matches.get_flag("follow") {
        return follow(&client, &room, |item| print(item, json)).await;
    }
    match (io::stdin().is_terminal(), io::stdout().is_terminal()) {
        (true, true) => talk(client, room, json).await,
        (true, false) => follow(&client, &room, |item| print(item, json)).await,
        (false, _) => post(&client, &room).await,
    }
}

/// An item as a line of output.
fn show(item: &Item, json: bool) -> String {
    match item {
        Item::Message(Message { room, seq, time_ms, client, body }) if json => {
            let time = line::time(*time_ms).to_string();
            let value = match std::str::from_utf8(body) {
                Ok(text) => serde_json::json!({"room": room, "seq": seq, "time": time, "client": client, "text": text}),
                // Not text: in the line protocol's escapes, which tell every byte.
                Err(_) => {
                    serde_json::json!({"room": room, "seq": seq, "time": time, "client": client, "escaped": escape(body)})
                }
            };
            value.to_string()
        }
        Item::Gap { room, from, to, .. } if json => {
            serde_json::json!({"room": room, "gap": {"from": from, "to": to, "reason": "expired"}}).to_string()
        }
        Item::Message(Message { time_ms, client, body, .. }) => {
            let time = line::time(*time_ms).to_string();
            let time = time.get(..16).map_or(time.clone(), |minute| minute.replace('T', " "));
            format!("{time} {client}: {}", escape(body))
        }
        Item::Gap { from, to, .. } => format!("({} messages have expired)", to - from + 1),
        _ => String::new(),
    }
}

fn print(item: &Item, json: bool) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", show(item, json))?;
    // Only what has left this process may be acknowledged.
    out.flush()?;
    Ok(())
}

fn last_seq(item: &Item) -> Option<u64> {
    match item {
        Item::Message(message) => Some(message.seq),
        Item::Gap { to, .. } => Some(*to),
        _ => None,
    }
}

async fn fetch(client: &Client, room: &str, json: bool) -> Result<(), Error> {
    loop {
        let fetched = client.fetch(room, None, Some(FETCH)).await?;
        for item in &fetched.items {
            print(item, json)?;
        }
        client.ack(room, Some(fetched.handed)).await?;
        if fetched.handed >= fetched.last {
            return Ok(());
        }
    }
}

/// Shows what is new and what comes, and acknowledges what was shown, whenever nothing more waits.
async fn follow(client: &Client, room: &str, mut show: impl FnMut(&Item) -> Result<(), Error>) -> Result<(), Error> {
    let mut follow = client.follow(room);
    let mut shown = 0;
    let mut acknowledged = 0;
    loop {
        let next = tokio::select! {
            biased;
            next = follow.next() => next,
            () = std::future::ready(()), if shown > acknowledged => {
                client.ack(room, Some(shown)).await?;
                acknowledged = shown;
                continue;
            }
        };
        let Some(item) = next.transpose()? else { return Ok(()) };
        show(&item)?;
        shown = last_seq(&item).unwrap_or(shown);
    }
}

/// Posts each line of the standard input; all of them are acknowledged when this returns Ok.
async fn post(client: &Client, room: &str) -> Result<(), Error> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut under_way = VecDeque::new();
    let mut number = 0u64;
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text).to_vec();
        under_way.push_back((number, client.send_later(room, text.into()).await?));
        if under_way.len() >= UNDER_WAY {
            settle(under_way.pop_front()).await?;
        }
    }
    while !under_way.is_empty() {
        settle(under_way.pop_front()).await?;
    }
    Ok(())
}

async fn settle<F: Future<Output = Result<Sent, ClientError>>>(sent: Option<(u64, F)>) -> Result<(), Error> {
    let Some((number, sent)) = sent else { return Ok(()) };
    sent.await.map_err(|error| format!("line {number} was not acknowledged: {error}"))?;
    Ok(())
}

/// On a terminal: shows what comes above the line that is edited.
async fn talk(client: Arc<Client>, room: String, json: bool) -> Result<(), Error> {
    let mut editor = DefaultEditor::new()?;
    let printer = Mutex::new(editor.create_external_printer()?);
    let tell = |line: String| -> Result<(), Error> {
        printer.lock().map_err(|_| "the terminal is gone")?.print(format!("{line}\n"))?;
        Ok(())
    };
    let prompt = format!("{room}> ");
    let (typed, mut lines) = mpsc::channel(1);
    // The editor waits for keys, and so has a thread of its own.
    let editing = tokio::task::spawn_blocking(move || {
        loop {
            match editor.readline(&prompt) {
                Ok(line) if line.trim().is_empty() && !typed.is_closed() => {}
                Ok(line) => {
                    // A history that can't be kept is no reason to stop.
                    let _ = editor.add_history_entry(&line);
                    if typed.blocking_send(line).is_err() {
                        return Ok(());
                    }
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    let showing = follow(&client, &room, |item| tell(show(item, json)));
    let sending = async {
        while let Some(line) = lines.recv().await {
            match client.send(&room, line).await {
                Ok(_) => {}
                Err(ClientError::Refused(refusal)) => tell(format!("(not sent: {})", refusal.text))?,
                Err(error) => return Err(Error::from(error)),
            }
        }
        Ok(())
    };
    let ended = tokio::select! {
        shown = showing => shown,
        sent = sending => sent,
    };
    drop(lines);
    if ended.is_err() {
        // Only the editor can give the terminal back as it was.
        tell("(the connection is lost; press Enter to leave)".to_owned())?;
    }
    editing.await??;
    ended
}
