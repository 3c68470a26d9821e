//! `dantok import`: messages from elsewhere into a room, from lines of JSON as [`export`](crate::export) writes them.
//!
//! Of a line, `client` is wanted, and one of `text`, `base64`, `redacted` and `redacts`. The message keeps its client, and its `time`, but
//! for two things: the times of a room never go back, so that one is never less than that of the message before it; and
//! none is later than now. It gets the room's next seq. A `reply` is led to where the message of that `seq` has gone; where it is
//! not in what is imported, the message stands alone. What was redacted comes without a text, and so does what redacted it.
//!
//! Retention counts from the import: what the room gets now is kept as long as if it were sent now, and shows when it was sent. So
//! is nothing dropped sooner than it is promised, and seqs expire in their order.
//!
//! Each message gets an id, made of its room, seq, time, client and id there; where it has no seq, of its text and of how many
//! before it say the same. So a file that is imported again, also after it was cut off, adds only what is new in it, as long as what
//! the room has got of it is kept. A line that has the id of what was imported, and another text, is refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::committer::import::{About, Import, Imported, Refused};
use crate::config::Config;
use crate::control::{self, Connection, Ended, Request, Wire, Work};
use crate::error::Error;
use crate::progress::Progress;
use crate::protocol::name::{check_client, check_room};

/// Lines, and bytes of them, that are stored together, in one commit.
const BATCH_LINES: usize = 1024;
const BATCH_BYTES: usize = 256 * 1024;
/// The longest line: the longest message, with every byte escaped.
const LINE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A line. What else is in it is passed over.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: Option<String>,
    room: Option<String>,
    seq: Option<u64>,
    time: Option<String>,
    client: Option<String>,
    id: Option<String>,
    reply: Option<u64>,
    redacts: Option<u64>,
    redacted: Option<u64>,
    text: Option<String>,
    base64: Option<String>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Messages stored.
    pub stored: u64,
    /// Those that were there already.
    pub repeated: u64,
    /// Redactions of what was not imported, or is one.
    pub left_out: u64,
}

/// Imports a file into a room; `-`: from standard input.
///
/// # Errors
/// What went wrong, for whoever typed the command, with the line. What stands before it may be imported then.
pub fn run(config: &Config, room: &str, from: &Path) -> Result<(), Error> {
    check_room(room).map_err(|refusal| Error::Command(refusal.text))?;
    let opened = || File::open(from).map_err(Error::io("open", from));
    let mut input: Box<dyn BufRead> = match from.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(opened()?)),
    };
    let mut connection = control::connect(&config.data_dir, &config.limits)?;
    connection.ask(&Request::Import { room: room.to_owned() })?;
    let mut progress = Progress::default();
    let mut figures = Figures::default();
    let mut first = 1u64;
    loop {
        let (lines, batch) = next_batch(&mut *input, first).map_err(|error| match error {
            BatchError::Io(error) => Error::io("read", from)(error),
            BatchError::TooLong(line) => Error::Command(format!("{}: line {line} is too long", from.display())),
        })?;
        if lines == 0 {
            break;
        }
        figures = send(&mut connection, &batch, first).map_err(|error| match error {
            Error::Command(what) => Error::Command(format!("{}: {what}", from.display())),
            error => error,
        })?;
        first += lines;
        progress.tell(|| format!("importing: {} lines", first - 1));
    }
    progress.clear();
    let Figures { stored, repeated, left_out } = figures;
    println!("{room}: imported: {stored}, were there already: {repeated}, left out: {left_out}");
    Ok(())
}

/// A batch begins with the number of its first line.
fn send(connection: &mut Connection, lines: &[u8], first: u64) -> Result<Figures, Error> {
    connection.send(b'D', &[&first.to_le_bytes(), lines].concat())?;
    let frame = connection.receive()?;
    connection.json(&frame)
}

enum BatchError {
    Io(io::Error),
    TooLong(u64),
}

/// The next lines, and how many they are; none at the end.
fn next_batch(input: &mut dyn BufRead, first: u64) -> Result<(u64, Vec<u8>), BatchError> {
    let (mut lines, mut batch) = (0, Vec::new());
    while lines < BATCH_LINES as u64 && batch.len() < BATCH_BYTES {
        let read = input.take(LINE_MAX_BYTES).read_until(b'\n', &mut batch).map_err(BatchError::Io)?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_MAX_BYTES {
            return Err(BatchError::TooLong(first + lines));
        }
        lines += 1;
    }
    Ok((lines, batch))
}

/// The daemon's part: takes batches of lines, until the connection ends.
pub(crate) fn take(wire: &mut Wire, work: &Work<'_>, room: &str) -> Result<(), Ended> {
    check_room(room).map_err(|refusal| Error::Command(refusal.text))?;
    let mut import = Import::into(room);
    // Lines without a seq may say the same: so each is counted.
    let mut alike: HashMap<String, u64> = HashMap::new();
    while let Some(frame) = wire.receive()? {
        let (first, lines) = frame.bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let first = u64::from_le_bytes(*first);
        let mut numbers = Vec::new();
        let mut messages = Vec::new();
        for (line, number) in lines.split(|byte| *byte == b'\n').zip(first..) {
            let parsed = parse(line).map_err(|what| Error::Command(format!("line {number}: {what}")))?;
            if let Some(mut message) = parsed {
                if message.seq.is_none() {
                    let count = alike.entry(message.id.clone()).or_default();
                    *count += 1;
                    message.id = format!("{}-{count}", message.id);
                }
                numbers.push(number);
                messages.push(message);
            }
        }
        import = match work.committer.import(import, messages) {
            Some(Ok(import)) => import,
            Some(Err(Refused(place, refusal))) => {
                let number = numbers.get(place).copied().unwrap_or(first);
                return Err(Error::Command(format!("line {number}: {}", refusal.text)).into());
            }
            None => {
                return Err(Error::Command("the daemon has stopped taking writes; its log says why".to_owned()).into());
            }
        };
        let Import { stored, repeated, left_out, .. } = import;
        wire.send_json(b'P', &Figures { stored, repeated, left_out })?;
    }
    Ok(())
}

/// A line's message; none where it is of something else.
fn parse(line: &[u8]) -> Result<Option<Imported>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let line: Line =
        serde_json::from_slice(line).map_err(|error| format!("no JSON as `dantok export` writes it: {error}"))?;
    if line.kind.as_deref().is_some_and(|kind| kind != "message") {
        return Ok(None);
    }
    let client = line.client.as_deref().ok_or("it has no client")?;
    check_client(client).map_err(|refusal| refusal.text)?;
    let body = match (&line.text, &line.base64) {
        // What was redacted, and what says so, have no text.
        _ if line.redacts.or(line.redacted).is_some() => Vec::new(),
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(base64)) => STANDARD.decode(base64).map_err(|_| "its base64 is none")?,
        (None, None) => return Err("it has neither text nor base64".to_owned()),
    };
    let time_ms = match &line.time {
        Some(time) => {
            let time = humantime::parse_rfc3339(time).map_err(|_| "its time is none, like 2026-11-21T00:30:00.000Z")?;
            Some(
                time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            )
        }
        None => None,
    };
    let about = match (line.redacts, line.reply) {
        (Some(seq), _) => About::Redaction(seq),
        (None, Some(seq)) => About::Reply(seq),
        (None, None) => About::Nothing,
    };
    let id = id(&line, &body);
    Ok(Some(Imported { seq: line.seq, time_ms, client: client.into(), id, body: body.into(), about }))
}

/// The same for the same message, and for no other.
fn id(line: &Line, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    let texts = [&line.room, &line.time, &line.client, &line.id];
    for text in texts {
        let text = text.as_deref().unwrap_or_default();
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    for number in [line.seq, line.reply, line.redacts] {
        hasher.update(number.map_or(0, |number| number.wrapping_add(1)).to_le_bytes());
    }
    // Whether it was redacted when it was exported is not what it is known by: neither is its text, then.
    if line.seq.is_none() {
        hasher.update(body);
    }
    let digits: String = hasher.finalize().iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    format!("import-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_says() {
        let parsed = |line: &str| parse(line.as_bytes());
        let line = r#"{"type":"message","room":"r","seq":7,"time":"1970-01-01T00:00:01.500Z","client":"al/x","reply":3,"base64":"AP8="}"#;
        let message = parsed(line).unwrap().unwrap();
        assert_eq!((message.seq, message.time_ms, &*message.client), (Some(7), Some(1500), "al/x"));
        assert_eq!((&message.body[..], message.about), (&b"\0\xff"[..], About::Reply(3)));
        assert!(message.id.len() <= crate::limits::NAME_MAX_BYTES);
        let redacted = line.replace(r#""base64":"AP8=""#, r#""redacted":9,"text":"""#);
        let again = parsed(&redacted).unwrap().unwrap();
        assert_eq!((again.id == message.id, again.body.len()), (true, 0), "the same, though it was redacted since");
        assert_ne!(parsed(&line.replace("\"seq\":7", "\"seq\":8")).unwrap().unwrap().id, message.id);
        assert_eq!(parsed(r#"{"type":"end","room":"r"}"#).unwrap(), None);
        assert_eq!(parsed(" ").unwrap(), None);
        for bad in ["hi", "{}", r#"{"client":"a b","text":"x"}"#, r#"{"client":"a"}"#, r#"{"client":"a","base64":"%"}"#]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        assert!(parsed(r#"{"client":"a","text":"x","time":"yesterday"}"#).is_err());
    }
}
