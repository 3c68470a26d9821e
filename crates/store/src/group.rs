//! A shared cursor: which messages of a room its workers have done, together.

use bytes::BufMut;

use crate::record::Reader;

/// The version of its record. 1 is that of a member's cursor, which has the same tree.
const VERSION: u8 = 2;

/// Comes before a group's name in a member's key; no client's name begins with it.
const MARK: char = '=';

/// A shared cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecord {
    /// All messages up to this seq are done, or gone.
    pub cursor: u64,
    /// How long a message that a worker has taken is reserved for that worker, in milliseconds.
    pub timeout_ms: u64,
    /// What is done after that: the first and last seq of each run, in order. Between two runs, something is not done.
    pub done: Vec<(u64, u64)>,
}

impl GroupRecord {
    /// Whether a message is done.
    pub fn is_done(&self, seq: u64) -> bool {
        let after = self.done.partition_point(|(first, _)| *first <= seq);
        let before = after.checked_sub(1).and_then(|place| self.done.get(place));
        seq <= self.cursor || before.is_some_and(|(_, last)| seq <= *last)
    }

    /// The number of messages done after the cursor.
    pub fn done_beyond(&self) -> u64 {
        self.done.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The first message that is not done, if those up to `floor` are gone.
    pub fn first_open(&self, floor: u64) -> u64 {
        let next = self.cursor.max(floor) + 1;
        // Between two runs something is not done.
        self.done.iter().find(|(first, last)| (*first..=*last).contains(&next)).map_or(next, |(_, last)| last + 1)
    }

    /// Notes that a message is done, if those up to `floor` are gone. Doing this again changes nothing.
    pub fn set_done(&mut self, seq: u64, floor: u64) {
        if !self.is_done(seq) {
            let at = self.done.partition_point(|(first, _)| *first <= seq);
            self.done.insert(at, (seq, seq));
        }
        self.cursor = self.cursor.max(floor);
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.done.len());
        for (first, last) in std::mem::take(&mut self.done) {
            if first <= self.cursor + 1 {
                self.cursor = self.cursor.max(last);
                continue;
            }
            match joined.last_mut() {
                Some((_, end)) if first == *end + 1 => *end = last,
                _ => joined.push((first, last)),
            }
        }
        self.done = joined;
    }

    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64_le(self.cursor);
        out.put_u64_le(self.timeout_ms);
        out.put_u32_le(u32::try_from(self.done.len()).unwrap_or(u32::MAX));
        for (first, last) in &self.done {
            out.put_u64_le(*first);
            out.put_u64_le(*last);
        }
        out
    }

    /// Decodes the record.
    pub fn decode(bytes: &[u8]) -> Option<GroupRecord> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let (cursor, timeout_ms) = (reader.u64()?, reader.u64()?);
        let mut done = Vec::new();
        let mut before = cursor;
        for _ in 0..reader.u32()? {
            let (first, last) = (reader.u64()?, reader.u64()?);
            if first <= before.checked_add(1)? || last < first {
                return None;
            }
            before = last;
            done.push((first, last));
        }
        reader.end(GroupRecord { cursor, timeout_ms, done })
    }
}

/// The name that a group has among a room's members.
pub(crate) fn member_name(group: &str) -> String {
    format!("{MARK}{group}")
}

/// The group that has this name among members; none if it is a member's.
pub fn of_member(name: &str) -> Option<&str> {
    name.strip_prefix(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn what_is_done_is_done_in_whatever_order(seqs in proptest::collection::vec((1..40u64, 0..20u64), 0..60)) {
            let mut record = GroupRecord { timeout_ms: 7, ..GroupRecord::default() };
            let (mut model, mut gone) = (BTreeSet::new(), 0);
            for (seq, floor) in seqs {
                // What is gone grows.
                gone = gone.max(floor.min(seq));
                record.set_done(seq, gone);
                model.insert(seq);
                for seq in 1..45 {
                    prop_assert_eq!(record.is_done(seq), seq <= gone || model.contains(&seq), "{} {:?}", seq, record);
                }
                let open = (1..).find(|seq| *seq > gone && !model.contains(seq)).unwrap();
                prop_assert_eq!(record.cursor, open - 1);
                for floor in gone..45 {
                    let open = (floor + 1..).find(|seq| !record.is_done(*seq)).unwrap();
                    prop_assert_eq!(record.first_open(floor), open, "{} {:?}", floor, record);
                }
                let again = GroupRecord::decode(&record.encode());
                prop_assert_eq!(again.as_ref(), Some(&record));
                let beyond = model.iter().filter(|seq| **seq > record.cursor).count();
                prop_assert_eq!(record.done_beyond(), beyond as u64);
            }
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let good = GroupRecord { cursor: 3, timeout_ms: 1, done: vec![(5, 6), (9, 9)] };
        assert_eq!(GroupRecord::decode(&good.encode()), Some(good.clone()));
        for bad in [vec![(4, 6)], vec![(6, 5)], vec![(5, 6), (7, 9)], vec![(8, 9), (5, 6)]] {
            assert_eq!(GroupRecord::decode(&GroupRecord { done: bad, ..good.clone() }.encode()), None);
        }
        assert_eq!(GroupRecord::decode(&crate::record::encode_seq(5)), None);
        assert_eq!((of_member(&member_name("w")), of_member("alice")), (Some("w"), None));
    }
}
