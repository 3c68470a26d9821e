//! What applying, replaying and expiring leave in the trees.

use std::sync::Arc;

use super::*;
use crate::chunk;
use crate::commit::{Commit, Op};
use crate::files::Spot;
use crate::record::{Kind, Stored};

fn opened() -> (tempfile::TempDir, Tables) {
    let dir = tempfile::tempdir().unwrap();
    for part in ["sled", "segments"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    let tables = Tables::open(&dir.path().join("sled"), Segments::of(dir.path())).unwrap();
    (dir, tables)
}

fn commit(seqs: std::ops::RangeInclusive<u64>) -> Journaled {
    let message = |seq| Op::Message {
        room: 1,
        message: Stored {
            seq,
            time_ms: seq,
            kept_ms: seq,
            client: "alice".into(),
            id: None,
            body: vec![seq as u8; 10].into(),
            kind: Kind::Plain,
        },
    };
    let commit = Arc::new(Commit { kept_ms: 1, ops: seqs.map(message).collect() });
    Journaled { commit, chunks: Vec::new(), spot: Spot { file: FileId::Journal(1), at: 0 } }
}

fn chunks_of_room(tables: &Tables) -> Vec<Vec<u64>> {
    let mut next = 1;
    let mut chunks = Vec::new();
    while let Some(chunk) = tables.chunk_at(1, next).unwrap() {
        next = chunk.last().unwrap().seq + 1;
        chunks.push(chunk.iter().map(|message| message.seq).collect());
    }
    chunks
}

#[test]
fn a_replay_drops_what_a_kill_left_of_a_batch() {
    let (_dir, tables) = opened();
    tables.apply(&[commit(1..=5)]).unwrap();
    let before = tables.lasts.get(key::room(1)).unwrap().unwrap();
    tables.apply(&[commit(6..=7)]).unwrap();
    tables.apply(&[commit(8..=9)]).unwrap();
    // The kill came after the messages and before the room's last seq.
    tables.lasts.insert(key::room(1), before).unwrap();
    tables.load_lasts().unwrap();
    tables.replay(&[commit(4..=6), commit(7..=9)]).unwrap();
    assert_eq!(chunks_of_room(&tables), [vec![1, 2, 3, 4, 5], vec![6, 7, 8, 9]]);
    assert_eq!(tables.messages.len(), 2, "a leftover chunk");
}

fn redact(seq: u64) -> Journaled {
    let commit = Arc::new(Commit { kept_ms: 1, ops: vec![Op::Redact { room: 1, seq, by: 5 }] });
    Journaled { commit, ..self::commit(1..=5) }
}

#[test]
fn a_redaction_in_a_file_of_which_a_start_knows_only_a_part() {
    let (_dir, tables) = opened();
    tables.apply(&[commit(1..=5)]).unwrap();
    for wanted in tables.references().values_mut() {
        *wanted = Wanted { chunks: 1, bytes: 1 };
    }
    tables.replay(&[redact(2)]).unwrap();
    tables.count_references().unwrap();
    assert_eq!(tables.references().values().map(|wanted| wanted.chunks).sum::<u64>(), 1);
}

#[test]
fn a_replay_counts_what_a_kill_left_of_a_redaction() {
    let (_dir, tables) = opened();
    tables.apply(&[commit(1..=5)]).unwrap();
    let before = tables.lasts.get(key::room(1)).unwrap().unwrap();
    tables.apply(&[redact(2)]).unwrap();
    let redacted = tables.last()[&1];
    assert_ne!(before, redacted.encode(), "a redaction changes what is stored");
    // The kill came after the message and before the room's record.
    tables.lasts.insert(key::room(1), before).unwrap();
    tables.load_lasts().unwrap();
    tables.replay(&[commit(1..=5), redact(2)]).unwrap();
    assert_eq!(tables.last()[&1], redacted);
    assert_eq!(tables.lasts.get(key::room(1)).unwrap().unwrap(), redacted.encode());
}

#[test]
fn chunks_of_the_first_release_are_read_and_expire() {
    let (_dir, tables) = opened();
    // Two chunks in the tree itself, the first of them in parts.
    for (first, last) in [(1, 5), (6, 7)] {
        let journaled = commit(first..=last);
        let messages: Vec<&Stored> = journaled.commit.messages().map(|(_, message)| message).collect();
        let mut bytes = Vec::new();
        chunk::encode(1, messages.iter().copied(), &mut bytes);
        // The second part begins with the byte that a place would begin with.
        let cut = bytes.windows(10).position(|body| body == [2; 10]).unwrap_or(100);
        for (part, value) in (0u32..).zip(bytes.chunks(cut)) {
            tables.messages.insert(key::chunk(1, first, part), value).unwrap();
        }
    }
    tables.last().insert(1, Last { seq: 7, time_ms: 7, ..Last::default() });
    tables.apply(&[commit(8..=9)]).unwrap();
    tables.count_references().unwrap();
    assert_eq!(chunks_of_room(&tables), [vec![1, 2, 3, 4, 5], vec![6, 7], vec![8, 9]]);
    assert_eq!(tables.drop_before(1, 8, 9, |_, _, _| {}).unwrap(), Expired::Until(9));
    assert_eq!(chunks_of_room(&tables), [vec![8, 9]]);
    assert_eq!(tables.messages.len(), 1);
}

#[test]
fn a_file_is_wanted_as_long_as_a_chunk_in_it_is_stored() {
    let (_dir, tables) = opened();
    tables.apply(&[commit(1..=5)]).unwrap();
    tables.apply(&[commit(6..=9)]).unwrap();
    let segment = FileId::Segment(1);
    for dropped in [Expired::Until(9), Expired::Empty] {
        assert!(tables.is_wanted(segment));
        tables.count_references().unwrap();
        assert!(tables.is_wanted(segment));
        let cutoff_ms = if dropped == Expired::Empty { 10 } else { 6 };
        assert_eq!(tables.drop_before(1, cutoff_ms, 9, |_, _, _| {}).unwrap(), dropped);
    }
    assert!(!tables.is_wanted(segment));
}

#[test]
fn only_whole_chunks_go_and_only_when_all_of_them_is_old() {
    let (_dir, tables) = opened();
    tables.apply(&[commit(1..=5)]).unwrap();
    tables.apply(&[commit(6..=9)]).unwrap();
    let gone = std::cell::Cell::new(0);
    let drop_before = |cutoff_ms| tables.drop_before(1, cutoff_ms, 9, |seq, _, _| gone.set(seq)).unwrap();
    assert_eq!(drop_before(5), Expired::Until(5));
    assert_eq!((gone.get(), chunks_of_room(&tables).len()), (4, 2));
    assert_eq!(drop_before(7), Expired::Until(9));
    assert_eq!((gone.get(), chunks_of_room(&tables)), (6, vec![vec![6, 7, 8, 9]]));
    assert_eq!(drop_before(10), Expired::Empty);
    assert_eq!(tables.last()[&1], Last { seq: 9, time_ms: 9, floor: 9, bytes: 0 });
}
