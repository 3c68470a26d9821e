//! Everything for pipes and scripts: posting lines, and printing messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};

use dantok_client::{Client, Error, Follow, Receipt};
use dantok_protocol::text::{escape, is_unsafe};
use dantok_protocol::units;
use dantok_protocol::{Item, Kind, Message};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::Outcome;

/// Messages sent and not yet acknowledged.
const UNACKNOWLEDGED_MAX: usize = 256;
/// Lines read ahead of those being sent.
const READ_AHEAD: usize = 64;
/// Messages fetched at a time, or printed between two flushes.
const PAGE: usize = 512;

/// Prints what is new, and acknowledges it.
pub async fn fetch(client: &Client, room: &str, json: bool) -> Outcome<()> {
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

/// Prints what is new and what arrives, and acknowledges it.
pub async fn follow(client: &Client, room: &str, json: bool) -> Outcome<()> {
    let mut follow = client.follow(room);
    while let Some(first) = follow.next().await {
        let (mut items, error) = batch(&mut follow, first);
        items.retain(|item| !is_trouble(item));
        print(items.iter().map(|item| show(item, json)))?;
        match acknowledge(client, room, &items).await {
            // The seq is from before the restore; `follow` reports that next.
            Err(Error::Restored { .. } | Error::SetBack(_)) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        match error {
            Some(Error::Restored { epoch }) => {
                client.adopt(&epoch);
                eprintln!("dantok-chat: {room} was restored from a backup; continuing from the cursor in the backup");
            }
            Some(Error::SetBack(_)) => {
                eprintln!(
                    "dantok-chat: {room} was set back to an older state; continuing from the cursor in that state"
                );
            }
            Some(error) => return Err(error.into()),
            None => {}
        }
    }
    Ok(())
}

/// Whether an item only reports that the daemon can't read the room now. That is printed as an error, for people.
fn is_trouble(item: &Item) -> bool {
    let Item::Ended { room, text, .. } = item else { return false };
    eprintln!("dantok-chat: {}: {}; trying again", escape(room.as_bytes()), escape(text.as_bytes()));
    true
}

/// An item and those that have already arrived after it, up to an error.
fn batch(follow: &mut Follow, first: Result<Item, Error>) -> (Vec<Item>, Option<Error>) {
    let (mut items, mut next) = (Vec::new(), Some(first));
    loop {
        match next {
            Some(Ok(item)) => items.push(item),
            Some(Err(error)) => return (items, Some(error)),
            None => return (items, None),
        }
        next = if items.len() < PAGE { follow.next().now_or_never().flatten() } else { None };
    }
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

/// Writes lines to standard output, and flushes it.
fn print(lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn time(message: &Message) -> String {
    units::time_ms(message.time_ms).to_string()
}

/// The other message that this one refers to, and how; named as in the daemon's own JSON.
fn about(message: &Message) -> Option<(&'static str, u64)> {
    match message.kind {
        Kind::Plain => None,
        Kind::Reply(seq) => Some(("reply", seq)),
        Kind::Redaction(seq) => Some(("redacts", seq)),
        Kind::Redacted(seq) => Some(("redacted", seq)),
    }
}

/// An item as a line that is safe on a terminal.
fn show(item: &Item, json: bool) -> String {
    match item {
        Item::Message(message) if json => {
            let (key, body) = match std::str::from_utf8(&message.body) {
                Ok(text) => ("text", text.to_owned()),
                Err(_) => ("base64", STANDARD.encode(&message.body)),
            };
            let mut value = serde_json::json!({
                "type": "message", "room": *message.room, "seq": message.seq, "time": time(message),
                "client": *message.client, key: body,
            });
            if let (Some((about, seq)), Some(value)) = (about(message), value.as_object_mut()) {
                value.insert(about.to_owned(), seq.into());
            }
            plain_json(&value)
        }
        Item::Gap { room, from, to, .. } if json => {
            plain_json(&serde_json::json!({"type": "gap", "room": **room, "from": from, "to": to, "reason": "expired"}))
        }
        Item::Message(message) => {
            let client = escape(message.client.as_bytes());
            let about = about(message).map(|(about, seq)| format!(" ({about} {seq})")).unwrap_or_default();
            format!("{} {} {client}{about}: {}", message.seq, time(message), escape(&message.body))
        }
        Item::Gap { from, to, .. } => format!("-- {from} to {to} have expired --"),
        other => escape(format!("{other:?}").as_bytes()),
    }
}

/// JSON that also escapes what is unsafe on a terminal; the value is the same.
fn plain_json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if is_unsafe(c) {
            // All unsafe characters are in the Basic Multilingual Plane, and can occur only in strings.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Messages in flight, in order.
#[derive(Default)]
struct Unacknowledged {
    receipts: VecDeque<Receipt>,
    answered: u64,
}

impl Unacknowledged {
    /// Waits for the answer to the first one. Cancel safe.
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

/// Posts each line of the input. Returns when all are on disk.
pub async fn post(client: &Client, room: &str) -> Outcome<()> {
    let (sender, mut lines) = mpsc::channel(READ_AHEAD);
    let max = client.welcome().max_body;
    // The thread is never joined, because a read of standard input can't be cancelled.
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

/// Reads lines of any bytes from standard input. The last one may lack its line end.
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
                        "line {number} is longer than {max} bytes; neither it nor anything after it was sent"
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
