//! Marks: proof that a store continues from a moment of its own past.
//!
//! Numbers prove nothing: a data directory that was set back to an older copy numbers its commits, rooms and messages on from
//! there, so it soon uses the same numbers for something else; and its epoch is the copy's. So each backup's cut is a commit that
//! stores a random number, and the backup keeps that number. A store that has the mark has everything that was stored before it,
//! as it was then: it is the same store, or a copy from after the cut. One that lacks it was set back to before the cut, or is
//! another store. This holds for copies of a running daemon too, such as a machine's snapshot that is resumed twice, and costs
//! nothing between backups.

use std::sync::Mutex;

use bytes::BufMut;

use crate::limits::MARKS_MAX;
use crate::mutex::lock;
use crate::record::{Reader, VERSION};

/// The newest marks of a store, oldest first.
#[derive(Debug, Default)]
pub struct Marks(Mutex<Vec<u64>>);

impl Marks {
    pub(crate) fn of(marks: Vec<u64>) -> Marks {
        Marks(Mutex::new(marks))
    }

    /// Adds a mark that is durable.
    pub(crate) fn add(&self, mark: u64) {
        push(&mut lock(&self.0), mark);
    }

    /// All marks, oldest first.
    pub fn get(&self) -> Vec<u64> {
        lock(&self.0).clone()
    }
}

/// Adds a mark, unless it is there: a start may replay it.
pub(crate) fn push(marks: &mut Vec<u64>, mark: u64) {
    if !marks.contains(&mark) {
        marks.push(mark);
        let excess = marks.len().saturating_sub(MARKS_MAX);
        marks.drain(..excess);
    }
}

pub(crate) fn encode(marks: &[u64]) -> Vec<u8> {
    let mut out = vec![VERSION];
    marks.iter().for_each(|mark| out.put_u64_le(*mark));
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut reader = Reader::versioned(bytes)?;
    let mut marks = Vec::new();
    while !reader.0.is_empty() {
        marks.push(reader.u64()?);
    }
    reader.end(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_each_once_and_come_back() {
        let mut marks = Vec::new();
        (1..=MARKS_MAX as u64 + 3).for_each(|mark| push(&mut marks, mark));
        push(&mut marks, 7);
        assert_eq!((marks.len(), marks[0], marks.last()), (MARKS_MAX, 4, Some(&(MARKS_MAX as u64 + 3))));
        assert_eq!(decode(&encode(&marks)), Some(marks));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
        assert_eq!(decode(&encode(&[1])[..5]), None);
    }
}
