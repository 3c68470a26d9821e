//! What survives a power cut.

use super::operations::apply;
use super::{Change, Disk, FileData, Names, Node, ROOT};

/// Sectors are written whole or not at all.
const SECTOR: usize = 512;

/// How much unsynced data survives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leaves {
    Nothing,
    Everything,
    /// Each sector with this probability.
    Sectors(f64),
    /// Each write, whole, with this probability.
    Writes(f64),
    /// The writes before this operation.
    Until(u64),
}

impl Disk {
    /// Turns the power back on: what was synced is there, and a random part of the rest. Describes what survived.
    pub fn power_on(&mut self) -> String {
        let mut random = self.random.fork();
        let leaves = match random.u8(..6) {
            0 => Leaves::Nothing,
            1 => Leaves::Everything,
            2 | 3 => Leaves::Sectors([0.1, 0.5, 0.9][random.usize(..3)]),
            4 => Leaves::Writes([0.1, 0.5, 0.9][random.usize(..3)]),
            _ => Leaves::Until(self.last_changes(&mut random)),
        };
        let names = std::mem::take(&mut self.names);
        let (all, mode) = (names.len(), self.names_mode);
        let until = random.usize(..=all);
        let kept: Vec<_> = names
            .into_iter()
            .enumerate()
            .filter(|(place, _)| match leaves {
                Leaves::Nothing => false,
                Leaves::Everything => true,
                _ if mode == Names::Strict => random.bool(),
                _ => *place < until,
            })
            .map(|(_, change)| change)
            .collect();
        self.counts.lost_names += (all - kept.len()) as u64;
        self.settle_names(kept);
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => self.counts.lost_writes += file.settle(leaves, &mut random),
                Node::Dir(dir) => dir.seen = dir.stable.clone(),
            }
        }
        self.drop_nameless();
        self.cut_at = None;
        self.heal();
        self.names_mode = if random.bool() { Names::Strict } else { Names::Journaled };
        let leaves = match leaves {
            Leaves::Nothing => "nothing",
            Leaves::Everything => "everything",
            Leaves::Sectors(_) => "some sectors",
            Leaves::Writes(_) => "some writes",
            Leaves::Until(_) => "everything before some moment",
        };
        format!("{leaves}; names {mode:?}").to_lowercase()
    }

    /// The operation of a random unsynced change, usually a late one.
    fn last_changes(&self, random: &mut fastrand::Rng) -> u64 {
        let files = self.nodes.values().filter_map(|node| if let Node::File(file) = node { Some(file) } else { None });
        let mut operations: Vec<u64> =
            files.flat_map(|file| file.pending.iter().map(|(operation, _)| *operation)).collect();
        operations.sort_unstable();
        let last = operations.len().min(8);
        let place =
            if random.bool() { operations.len() - random.usize(..=last) } else { random.usize(..=operations.len()) };
        operations.get(place).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn drop_nameless(&mut self) {
        let mut named = vec![ROOT];
        let mut next = 0;
        while let Some(&ino) = named.get(next) {
            next += 1;
            if let Some(Node::Dir(dir)) = self.nodes.get(&ino) {
                named.extend(dir.seen.values());
            }
        }
        self.nodes.retain(|ino, _| named.contains(ino));
        let sizes =
            self.nodes.values().map(|node| if let Node::File(file) = node { file.seen.len() as u64 } else { 0 });
        self.used = sizes.sum();
    }
}

impl FileData {
    /// Reduces the file to what survives the cut; returns how many changes were lost.
    fn settle(&mut self, leaves: Leaves, random: &mut fastrand::Rng) -> u64 {
        let mut lost = 0;
        let synced = self.stable.len();
        for (operation, change) in std::mem::take(&mut self.pending) {
            let whole = match leaves {
                Leaves::Nothing => false,
                Leaves::Everything | Leaves::Sectors(_) => true,
                Leaves::Writes(kept) => random.f64() < kept,
                Leaves::Until(until) => operation < until,
            };
            match (leaves, &change) {
                (Leaves::Sectors(kept), Change::Write { at, bytes }) => {
                    let mut from = 0;
                    let mut torn = false;
                    while from < bytes.len() {
                        let to = (from + SECTOR - (at + from) % SECTOR).min(bytes.len());
                        if random.f64() < kept {
                            self.stable.put(at + from, &bytes[from..to]);
                        } else {
                            torn = true;
                        }
                        from = to;
                    }
                    lost += u64::from(torn);
                }
                (Leaves::Sectors(kept), Change::Resize(_)) if random.f64() >= kept => lost += 1,
                _ if whole => apply(&mut self.stable, &change),
                _ => lost += 1,
            }
        }
        // The size is written separately from the bytes.
        if self.stable.len() > synced && !matches!(leaves, Leaves::Everything) && random.u8(..4) == 0 {
            let size = if random.bool() { synced } else { random.usize(synced..=self.stable.len()) };
            self.stable.resize(size);
            lost += 1;
        }
        self.seen = self.stable.clone();
        lost
    }
}
