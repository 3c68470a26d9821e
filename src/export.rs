//! `dantok export`: a room's messages as text, for people or for programs.
//!
//! A line of JSON is what a client gets after `FORMAT json`, with the sender's device and, if there are any, the message's `id` and the
//! sender's `nick`. [`import`](crate::import) reads it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::path::Path;

use crate::config::Config;
use crate::control::{self, CarryOut, Export, ExportFormat, JobError, Request, Wire, Work};
use crate::error::Error;
use crate::message::shown;
use crate::progress::Progress;
use crate::retention::cutoff_ms;
use crate::rooms::Room;
use dantok_protocol::text::escape_into;
use dantok_protocol::{json, line};
use dantok_store::Page;
use dantok_store::record::Kind;
use dantok_store::record::StoredRef;

/// Bytes of lines sent together.
const BLOCK_BYTES: usize = 256 * 1024;
/// Messages read together.
const PAGE_MESSAGES: usize = 4096;

/// Prints a room's messages up to the last one acknowledged now.
///
/// # Errors
/// What went wrong, for whoever typed the command.
pub fn run(config: &Config, carry_out: CarryOut, asked: Export) -> Result<(), Error> {
    let path = Path::new("standard output");
    let stdout = io::stdout();
    // On a terminal the lines themselves show progress.
    let mut progress = (!stdout.is_terminal()).then(Progress::default);
    let mut out = stdout.as_fd().try_clone_to_owned().map(File::from).map_err(Error::io("write to", path))?;
    let mut connection = control::connect(&config.data_dir, &config.limits, carry_out)?;
    connection.ask(&Request::Export(asked))?;
    let mut bytes = 0;
    loop {
        let frame = connection.receive()?;
        if frame.kind == b'Z' {
            return Ok(());
        }
        match out.write_all(&frame.bytes) {
            // The reader has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(Error::io("write to", path))?,
        }
        bytes += frame.bytes.len();
        if let Some(progress) = &mut progress {
            progress.tell(|| format!("exporting: {bytes} bytes"));
        }
    }
}

/// The daemon's side: sends the lines, then the end.
pub(crate) fn produce(wire: &mut Wire, work: &Work<'_>, asked: &Export) -> Result<(), JobError> {
    let Some(room) = work.rooms.find(&asked.room) else {
        return Err(Error::Command(format!(
            "there is no room {}",
            dantok_protocol::text::escape(asked.room.as_bytes())
        ))
        .into());
    };
    let (last, cutoff_ms) = (room.last_seq(), cutoff_ms(work.store, room.retention(work.retention)));
    let mut page = Page {
        room: room.id,
        after: asked.after,
        through: last,
        cutoff_ms,
        max_messages: PAGE_MESSAGES,
        max_bytes: BLOCK_BYTES,
    };
    if asked.since_ms > 0 {
        page.after = page.after.max(last_before(work, &page, asked.since_ms)?);
    }
    let mut out = Vec::new();
    while page.after < last {
        let messages = work.store.read_patiently(&page)?;
        let Some(newest) = messages.last() else { break };
        page.after = newest.seq;
        messages.each(|message| put(work, &room, asked.format, message, &mut out));
        if out.len() >= BLOCK_BYTES {
            wire.send(b'D', &out)?;
            out.clear();
        }
    }
    wire.send(b'D', &out)?;
    wire.send_json(b'Z', &())?;
    Ok(())
}

/// The last seq of a message sent before this time; 0 if there is none.
fn last_before(work: &Work<'_>, page: &Page, time_ms: u64) -> Result<u64, Error> {
    // A room's times never go back.
    let (mut low, mut high) = (0, page.through);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let one = Page { after: middle - 1, through: middle, max_messages: 1, ..*page };
        // An expired message is older than all stored ones.
        if work.store.read_patiently(&one)?.first().is_none_or(|message| message.time_ms < time_ms) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

fn put(work: &Work<'_>, room: &Room, format: ExportFormat, message: StoredRef<'_>, out: &mut Vec<u8>) {
    let StoredRef { time_ms, client, id, body, kind, .. } = message;
    if format == ExportFormat::Jsonl {
        let nick = work.rooms.nick(client);
        return json::encode_exported(shown(&room.name, message), id, nick.as_deref(), out);
    }
    out.extend_from_slice(line::time(time_ms).to_string().as_bytes());
    for part in [" ", client, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    match kind {
        Kind::Plain | Kind::Reply(_) => escape_into(out, body),
        Kind::Redaction(seq) => out.extend_from_slice(format!("(redacts {seq})").as_bytes()),
        Kind::Redacted(_) => out.extend_from_slice(b"(redacted)"),
    }
    out.push(b'\n');
}
