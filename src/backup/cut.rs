//! The daemon's part of a backup: the cut, and the messages up to it.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::item::{self, Files};
use crate::control::{JobError, Wire, Work};
use crate::error::Error;
use crate::{hooks, tokens};
use dantok_store::clock::wall_ms;
use dantok_store::{Page, RoomState, State};

/// Bytes of items that are sent and compressed together.
const BLOCK_BYTES: usize = 512 * 1024;
/// Messages, and their bytes, that are read together.
const PAGE_MESSAGES: usize = 4096;
const PAGE_BYTES: usize = 256 * 1024;

/// Sent before the backup itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When the cut was made, by the wall clock.
    pub time_ms: u64,
    /// The same by the kept clock.
    pub kept_ms: u64,
    /// The mark that the cut left in the store.
    pub mark: Option<u64>,
    /// The marks that the store had before, oldest first.
    pub marks: Vec<u64>,
    /// How many rooms are in it.
    pub rooms: u64,
    /// How many messages will follow, or fewer if some expire meanwhile.
    pub messages: u64,
    /// Whether the tokens file is in it.
    pub tokens: bool,
    /// Whether the file of hooks is in it.
    pub hooks: bool,
}

/// Makes the cut and sends everything up to it: a [`Head`], then items, then the end. Of the rooms in `after`, sends only messages after
/// that seq: those that the backup with the mark `base` does not have.
pub(crate) fn produce(
    wire: &mut Wire,
    work: &Work<'_>,
    after: &HashMap<u64, u64>,
    base: Option<u64>,
) -> Result<(), JobError> {
    let marks = work.store.marks().get();
    if base.is_some_and(|base| !marks.contains(&base)) {
        // The command has checked this before, so many backups were made since, or something else is asking.
        return Err(
            Error::Command("the store can't be shown to build on that backup; make a full one".to_owned()).into()
        );
    }
    let (rooms, store) = (work.rooms.clone(), work.store.clone());
    let cut = work.committer.at_mark(move |mark| {
        let started = Instant::now();
        (rooms.snapshot(), wall_ms(), store.clock().now_ms(), mark, store.marks().get(), started.elapsed())
    });
    let Some((state, time_ms, kept_ms, mark, mut marks, held_up)) = cut else {
        return Err(Error::Command("the daemon has stopped taking writes; its log says why".to_owned()).into());
    };
    marks.retain(|before| Some(*before) != mark);
    let files = Files {
        tokens: tokens::command::to_back_up(work.dir)?.map(Bytes::from),
        hooks: hooks::command::to_back_up(work.dir)?.map(Bytes::from),
    };
    let messages = state.rooms.iter().map(|room| room.last.seq.saturating_sub(begins(work, room, after))).sum();
    let rooms = state.rooms.len() as u64;
    tracing::info!(rooms, messages, is_full = after.is_empty(), commits_held_up = ?held_up, "backup started");
    let tokens = files.tokens.as_ref().is_some_and(|tokens| !tokens.is_empty());
    let hooks = files.hooks.is_some();
    wire.send_json(b'H', &Head { time_ms, kept_ms, mark, marks, rooms, messages, tokens, hooks })?;
    let mut out = Vec::new();
    let mut send = |out: &mut Vec<u8>, least: usize| -> Result<(), JobError> {
        if out.len() >= least.max(1) {
            wire.send(b'D', out)?;
            out.clear();
        }
        Ok(())
    };
    item::put_state(&mut out, &state, &files, |out| send(out, BLOCK_BYTES))?;
    produce_messages(work, &state, after, &mut out, &mut send)?;
    send(&mut out, 0)?;
    wire.send_json(b'Z', &())?;
    tracing::info!("backup sent");
    Ok(())
}

/// The seq after which a room's messages are both wanted and stored.
fn begins(work: &Work<'_>, room: &RoomState, after: &HashMap<u64, u64>) -> u64 {
    after.get(&room.id).copied().unwrap_or(0).max(work.store.floor(room.id))
}

fn produce_messages(
    work: &Work<'_>,
    state: &State,
    after: &HashMap<u64, u64>,
    out: &mut Vec<u8>,
    send: &mut impl FnMut(&mut Vec<u8>, usize) -> Result<(), JobError>,
) -> Result<(), JobError> {
    for room in &state.rooms {
        let mut reached = begins(work, room, after);
        while reached < room.last.seq {
            let page = Page {
                room: room.id,
                after: reached,
                through: room.last.seq,
                // Messages past retention are left to expiry, because a room may still be told to keep them longer.
                cutoff_ms: 0,
                max_messages: PAGE_MESSAGES,
                max_bytes: PAGE_BYTES,
            };
            let messages = work.store.read_patiently(&page)?.to_stored();
            let Some(newest) = messages.last() else { break };
            reached = newest.seq;
            item::put_messages(out, room.id, &messages);
            send(out, BLOCK_BYTES)?;
        }
        // Last, so that it covers messages that expired while the others were read.
        item::put_floor(out, room.id, work.store.floor(room.id).min(room.last.seq));
        send(out, BLOCK_BYTES)?;
    }
    Ok(())
}
