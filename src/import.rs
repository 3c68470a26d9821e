//! `dantok import`: imports messages into a room, from lines of JSON as [`export`](crate::export) writes them.
//!
//! A line needs `client` and one of `text`, `base64`, `redacted` and `redacts`. The message keeps its client and its `time`, except that
//! the times of a room never go back and none is in the future. It gets the room's next seq. A `reply` refers to the new seq of
//! the message that it replied to; if that was not imported, the message becomes a plain one. Redacted messages and redactions have
//! no text.
//!
//! Retention counts from the import. An imported message is kept as long as if it were sent now, but shows when it was sent. So nothing
//! is dropped sooner than promised, and seqs expire in order.
//!
//! Each message gets an id, made of its room, seq, time, client and id at the source; without a seq, also of its text and of how many
//! lines before it are the same. So importing a file again, even after an interruption, adds only what is new in it, as long as the
//! room keeps what was imported. A line with the id of an imported message and another text is refused.

mod spool;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::committer::import::{About, Import, Imported, Refused};
use crate::config::Config;
use crate::control::{self, CarryOut, Connection, JobError, Request, Wire, Work};
use crate::error::Error;
use crate::progress::Progress;
use dantok_protocol::name::{check_client, check_room, composed};
use dantok_protocol::units;
use spool::Spool;

/// Lines, and bytes of them, stored in one commit.
const BATCH_LINES: usize = 1024;
const BATCH_BYTES: usize = 256 * 1024;
/// The longest line: the longest message, with every byte escaped.
const LINE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A line. Other fields are ignored.
#[derive(Debug, Deserialize)]
struct Line {
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

/// The progress of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Messages stored.
    pub stored: u64,
    /// Messages that were there already.
    pub repeated: u64,
    /// Redactions of what was not imported or is a redaction.
    pub left_out: u64,
    /// Lines whose type is not a message.
    pub passed_over: u64,
}

/// Imports a file, or standard input for `-`, into a room.
///
/// # Errors
/// What went wrong and in which line, for whoever typed the command. Lines before it may have been imported.
pub fn run(config: &Config, carry_out: CarryOut, room: &str, from: &Path) -> Result<(), Error> {
    check_room(&composed(room)).map_err(|refusal| Error::Command(refusal.text))?;
    let opened = || File::open(from).map_err(Error::io("open", from));
    let mut input: Box<dyn BufRead> = match from.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(opened()?)),
    };
    skip_mark(&mut *input, from)?;
    let mut importing = Importing { config, carry_out, room, from, spool: None, connection: None, tried: None };
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
        figures = importing.submit(first, batch)?.unwrap_or(figures);
        first += lines;
        progress.tell(|| format!("importing: {} lines", first - 1));
    }
    figures = importing.finish()?.unwrap_or(figures);
    progress.clear();
    report(room, from, first - 1, &figures)
}

/// Prints the result. It is an error if there were lines and no message among them.
fn report(room: &str, from: &Path, lines: u64, figures: &Figures) -> Result<(), Error> {
    let Figures { stored, repeated, left_out, passed_over } = *figures;
    if lines > 0 && stored + repeated + left_out == 0 {
        return Err(Error::Command(format!(
            "{}: nothing was imported: no line of {lines} is a message as `dantok export` writes it (of another type: {passed_over}, \
             blank: {})",
            from.display(),
            lines - passed_over.min(lines)
        )));
    }
    let passed_over = if passed_over > 0 { format!(", skipped: {passed_over}") } else { String::new() };
    // Nobody may be reading standard output.
    let _ = writeln!(
        io::stdout(),
        "{room}: imported: {stored}, already there: {repeated}, left out: {left_out}{passed_over}"
    );
    Ok(())
}

/// Skips the byte order mark of UTF-8, and refuses the others.
fn skip_mark(input: &mut dyn BufRead, from: &Path) -> Result<(), Error> {
    let begins = input.fill_buf().map_err(Error::io("read", from))?;
    if begins.starts_with(b"\xff\xfe") || begins.starts_with(b"\xfe\xff") {
        let what = "this is UTF-16, and lines of JSON are UTF-8: convert it with `iconv -f UTF-16 -t UTF-8`";
        return Err(Error::Command(format!("{}: {what}", from.display())));
    }
    // If a pipe delivers less at first, the mark makes the first line invalid, which is reported.
    if begins.starts_with(b"\xef\xbb\xbf") {
        input.consume(3);
    }
    Ok(())
}

/// How often to try again to open a data directory that another command has open, while there is input to read.
const TRIED_EVERY: Duration = Duration::from_millis(100);

/// An import's connection to the store. If another command has the data directory open, the input is spooled to a file: it may be that
/// command's output, which ends only when all of it is read. For the same reason nothing is opened before there is input.
struct Importing<'a> {
    config: &'a Config,
    carry_out: CarryOut,
    room: &'a str,
    from: &'a Path,
    spool: Option<Spool>,
    connection: Option<Connection>,
    tried: Option<Instant>,
}

impl Importing<'_> {
    /// Imports a batch or spools it. Returns the progress so far, if anything was imported.
    fn submit(&mut self, first: u64, batch: Vec<u8>) -> Result<Option<Figures>, Error> {
        if self.connection.is_none() && self.tried.is_none_or(|tried| tried.elapsed() >= TRIED_EVERY) {
            self.tried = Some(Instant::now());
            if let Some(connection) =
                control::connect_unless_busy(&self.config.data_dir, &self.config.limits, self.carry_out)?
            {
                self.begin(connection)?;
            }
        }
        match &mut self.connection {
            Some(connection) => send(connection, &batch, first).map(Some).map_err(|error| named(self.from, error)),
            None => {
                let spool = match &mut self.spool {
                    Some(spool) => spool,
                    None => self.spool.insert(Spool::create()?),
                };
                spool.push(first, &batch)?;
                Ok(None)
            }
        }
    }

    fn begin(&mut self, mut connection: Connection) -> Result<Option<Figures>, Error> {
        connection.ask(&Request::Import { room: self.room.to_owned() })?;
        let mut figures = None;
        if let Some(spool) = self.spool.take() {
            let mut batches = spool.read()?;
            while let Some((first, batch)) = batches.next()? {
                figures = Some(send(&mut connection, &batch, first).map_err(|error| named(self.from, error))?);
            }
        }
        self.connection = Some(connection);
        Ok(figures)
    }

    /// Imports what was spooled, which must succeed now.
    fn finish(&mut self) -> Result<Option<Figures>, Error> {
        match &self.connection {
            Some(_) => Ok(None),
            None => control::connect(&self.config.data_dir, &self.config.limits, self.carry_out)
                .and_then(|made| self.begin(made)),
        }
    }
}

/// Adds the name of the input to an error.
fn named(from: &Path, error: Error) -> Error {
    match error {
        Error::Command(what) => Error::Command(format!("{}: {what}", from.display())),
        error => error,
    }
}

/// Sends a batch, which starts with the number of its first line.
fn send(connection: &mut Connection, lines: &[u8], first: u64) -> Result<Figures, Error> {
    connection.send(b'D', &[&first.to_le_bytes(), lines].concat())?;
    let frame = connection.receive()?;
    connection.json(&frame)
}

enum BatchError {
    Io(io::Error),
    TooLong(u64),
}

/// The number of the next lines, and their bytes; 0 at the end.
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

/// The daemon's side: imports batches of lines until the connection ends.
pub(crate) fn receive(wire: &mut Wire, work: &Work<'_>, room: &str) -> Result<(), JobError> {
    check_room(&composed(room)).map_err(|refusal| Error::Command(refusal.text))?;
    let mut import = Import::into(room);
    // Lines without a seq may be identical, so they are counted.
    let mut alike: HashMap<String, u64> = HashMap::new();
    let mut passed_over = 0;
    while let Some(frame) = wire.receive()? {
        let (first, lines) = frame.bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let first = u64::from_le_bytes(*first);
        let mut numbers = Vec::new();
        let mut messages = Vec::new();
        for (line, number) in lines.split(|byte| *byte == b'\n').zip(first..) {
            let parsed = parse(line).map_err(|what| Error::Command(format!("line {number}: {what}")))?;
            if parsed == Parsed::OfAnotherType {
                passed_over += 1;
            }
            if let Parsed::Message(mut message) = parsed {
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
        wire.send_json(b'P', &Figures { stored, repeated, left_out, passed_over })?;
    }
    Ok(())
}

/// What a line is.
#[derive(Debug, PartialEq)]
enum Parsed {
    Blank,
    /// Its type says so.
    OfAnotherType,
    Message(Imported),
}

/// The type of a line, parsed before the rest.
#[derive(Debug, Deserialize)]
struct Type {
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn parse(line: &[u8]) -> Result<Parsed, String> {
    let text = line.trim_ascii();
    if text.is_empty() {
        return Ok(Parsed::Blank);
    }
    // An array would be parsed by position.
    if !text.starts_with(b"{") {
        let is_array = text.starts_with(b"[");
        let hint = if is_array { ": this is an array; `jq -c '.[]'` puts each of its elements on a line" } else { "" };
        return Err(format!("not a JSON object as `dantok export` writes them, one per line{hint}"));
    }
    let no_json = |error| format!("not JSON as `dantok export` writes it, one object per line: {error}");
    let of_type: Type = serde_json::from_slice(text).map_err(no_json)?;
    if of_type.kind.is_some_and(|kind| kind != "message") {
        return Ok(Parsed::OfAnotherType);
    }
    let line: Line = serde_json::from_slice(text).map_err(no_json)?;
    let client = line.client.as_deref().ok_or("it has no client")?;
    check_client(client).map_err(|refusal| refusal.text)?;
    let body = match (&line.text, &line.base64) {
        // Redacted messages and redactions have no text.
        _ if line.redacts.or(line.redacted).is_some() => Vec::new(),
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(base64)) => STANDARD.decode(base64).map_err(|_| "its base64 is not valid")?,
        (None, None) => return Err("it has neither text nor base64".to_owned()),
    };
    let time_ms = match &line.time {
        Some(time) => {
            let time =
                humantime::parse_rfc3339(time).map_err(|_| "its time is not one like 2026-11-21T00:30:00.000Z")?;
            Some(time.duration_since(UNIX_EPOCH).map_or(0, units::ms))
        }
        None => None,
    };
    let about = match (line.redacts, line.reply) {
        (Some(seq), _) => About::Redaction(seq),
        (None, Some(seq)) => About::Reply(seq),
        (None, None) => About::Nothing,
    };
    let id = id(&line, &body);
    Ok(Parsed::Message(Imported { seq: line.seq, time_ms, client: client.into(), id, body: body.into(), about }))
}

/// An id that is the same for the same message, and for no other.
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
    // A message with a seq may be exported before and after it is redacted, so its text is left out.
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
        let parsed = |line: &str| match parse(line.as_bytes())? {
            Parsed::Message(message) => Ok(Some(message)),
            Parsed::Blank | Parsed::OfAnotherType => Ok::<_, String>(None),
        };
        let line = r#"{"type":"message","room":"r","seq":7,"time":"1970-01-01T00:00:01.500Z","client":"al/x","reply":3,"base64":"AP8="}"#;
        let message = parsed(line).unwrap().unwrap();
        assert_eq!((message.seq, message.time_ms, &*message.client), (Some(7), Some(1500), "al/x"));
        assert_eq!((&message.body[..], message.about), (&b"\0\xff"[..], About::Reply(3)));
        assert!(message.id.len() <= dantok_protocol::limits::NAME_MAX_BYTES);
        let redacted = line.replace(r#""base64":"AP8=""#, r#""redacted":9,"text":"""#);
        let again = parsed(&redacted).unwrap().unwrap();
        assert_eq!((again.id == message.id, again.body.len()), (true, 0), "the same, though it was redacted since");
        assert_ne!(parsed(&line.replace("\"seq\":7", "\"seq\":8")).unwrap().unwrap().id, message.id);
        assert_eq!(parsed(r#"{"type":"end","room":"r"}"#).unwrap(), None);
        assert_eq!(parsed(" ").unwrap(), None);
        assert_eq!(parse(br#"{"type":"room","seq":"x","client":[]}"#), Ok(Parsed::OfAnotherType));
        for bad in
            ["hi", "7", "null", r#"["message","r",1,null,"a",null,null,null,null,"x"]"#, r#"{"client":"a","text":7}"#]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        for bad in ["hi", "{}", r#"{"client":"a b","text":"x"}"#, r#"{"client":"a"}"#, r#"{"client":"a","base64":"%"}"#]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        assert!(parsed(r#"{"client":"a","text":"x","time":"yesterday"}"#).is_err());
    }
}
