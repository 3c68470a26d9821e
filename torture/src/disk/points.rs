//! Points at which the power may be cut: copies of the disk around each operation that affects what survives a cut.
//!
//! A copy is made before and after each sync, and after each change of a name or size. It is kept together with what
//! was known outside the daemon at that moment. What survives a cut at a copy is not random: see [`Keeps`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::operations::apply;
use super::{Change, Disk, NameChange, Names, Node};
use crate::history::History;

/// The most copies for one kind of operation in one phase, chosen at random.
const OF_ONE_KIND: usize = 10;

/// The operation that a point is just before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// After this change of a name or size.
    Change(u64),
    /// Before a sync of this file or directory.
    SyncToCome(u64),
    /// After a sync.
    Sync,
}

/// How much unsynced data survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The worst case at this point: after a change of a name or size, that change alone; before a sync, everything
    /// except what it would write; after a sync, nothing.
    Worst,
    /// Nothing: the worst case that must not harm what was synced.
    Nothing,
    /// Names and sizes, but no bytes.
    Names,
    /// Everything in these files, and nothing else.
    Only(&'static str),
    /// Everything except in these files.
    AllBut(&'static str),
    /// Everything, as after SIGKILL.
    Everything,
}

/// All that are tried, worst first.
pub const KEEPS: [Keeps; 7] = [
    Keeps::Worst,
    Keeps::Nothing,
    Keeps::Names,
    Keeps::Only("/sled/"),
    Keeps::AllBut("/sled/"),
    Keeps::Only("/journal/"),
    Keeps::Everything,
];

/// A point at which the power may be cut.
#[derive(Debug)]
pub struct Point {
    /// The phase of the run.
    pub phase: &'static str,
    /// The operation, in words.
    pub what: String,
    around: Around,
    /// The disk.
    pub disk: Disk,
    /// What was known at that moment.
    pub known: History,
}

/// Makes the copies.
#[derive(Debug)]
pub(super) struct Watch {
    history: Arc<History>,
    phase: &'static str,
    kinds: BTreeMap<(&'static str, String), (usize, Vec<Point>)>,
    order: Vec<(&'static str, String)>,
    random: fastrand::Rng,
}

impl Disk {
    /// Starts making copies, each together with what this history knows.
    pub fn watch(&mut self, history: &Arc<History>, phase: &'static str) {
        let random = self.random.fork();
        // The daemon must not rely on more than POSIX promises.
        self.names_mode = Names::Strict;
        let watch = Watch { history: history.clone(), phase, kinds: BTreeMap::new(), order: Vec::new(), random };
        self.watch = Some(Box::new(watch));
    }

    /// Starts another phase.
    pub fn set_phase(&mut self, phase: &'static str) {
        if let Some(watch) = &mut self.watch {
            watch.phase = phase;
        }
    }

    /// How often an operation, as named in [`Point::what`], occurred in this phase.
    pub fn times(&self, what: &str) -> usize {
        let Some(watch) = &self.watch else { return 0 };
        watch.kinds.get(&(watch.phase, what.to_owned())).map_or(0, |(times, _)| *times)
    }

    /// Stops making copies; returns them by kind of operation, in the order in which each kind first occurred.
    pub fn points(&mut self) -> Vec<Vec<Point>> {
        let Some(mut watch) = self.watch.take() else { return Vec::new() };
        let kinds = watch.order.iter().filter_map(|kind| watch.kinds.remove(kind));
        kinds.map(|(_, points)| points).collect()
    }

    /// Makes a copy if copies are being made.
    pub(super) fn point(&mut self, around: Around, what: impl FnOnce(&Disk) -> String) {
        let Some(mut watch) = self.watch.take() else { return };
        let what = without_numbers(&what(self));
        let kind = (watch.phase, what);
        if !watch.kinds.contains_key(&kind) {
            watch.order.push(kind.clone());
        }
        let (times, points) = watch.kinds.entry(kind.clone()).or_default();
        *times += 1;
        let place = if points.len() < OF_ONE_KIND { points.len() } else { watch.random.usize(..*times) };
        if place < OF_ONE_KIND {
            let (phase, what) = kind;
            let point = Point { phase, what, around, disk: self.clone(), known: watch.history.copy() };
            match points.get_mut(place) {
                Some(other) => *other = point,
                None => points.push(point),
            }
        }
        self.watch = Some(watch);
    }

    /// Identifies what survives a cut, among copies that all still exist.
    pub fn mark(&self, kept: &[u64]) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (ino, node) in &self.nodes {
            ino.hash(&mut hasher);
            match node {
                Node::File(file) => file.stable.mark(&mut hasher),
                Node::Dir(dir) => dir.stable.hash(&mut hasher),
            }
        }
        kept.hash(&mut hasher);
        hasher.finish()
    }

    /// The disk after a cut: what was synced, and these changes of the rest.
    pub fn after_cut(&self, kept: &[u64]) -> Disk {
        let mut left = Disk { watch: None, cut_at: None, faults: Vec::new(), ..self.clone() };
        let is_kept = |operation: &u64| kept.contains(operation);
        let names = std::mem::take(&mut left.names).into_iter().filter(|(operation, _)| is_kept(operation));
        left.settle_names(names.collect());
        for node in left.nodes.values_mut() {
            match node {
                Node::File(file) => {
                    for (operation, change) in std::mem::take(&mut file.pending) {
                        if is_kept(&operation) {
                            apply(&mut file.stable, &change);
                        }
                    }
                    file.seen = file.stable.clone();
                }
                Node::Dir(dir) => dir.seen = dir.stable.clone(),
            }
        }
        left.drop_nameless();
        left
    }
}

impl Point {
    /// The unsynced changes that survive.
    pub fn kept(&self, keeps: Keeps) -> Vec<u64> {
        let disk = &self.disk;
        let mut kept = Vec::new();
        for (ino, node) in &disk.nodes {
            let Node::File(file) = node else { continue };
            if file.pending.is_empty() {
                continue;
            }
            let path = disk.path(*ino);
            let is_kept = |(operation, change): &&(u64, Change)| {
                self.keeps(keeps, *operation, *ino, &path, matches!(change, Change::Write { .. }))
            };
            kept.extend(file.pending.iter().filter(is_kept).map(|(operation, _)| *operation));
        }
        for (operation, change) in &disk.names {
            let (NameChange::Link { dir, name, .. }
            | NameChange::Unlink { dir, name }
            | NameChange::Rename { to: (dir, name), .. }) = change;
            let path = format!("{}/{}", disk.path(*dir), name.to_string_lossy());
            if self.keeps(keeps, *operation, *dir, &path, false) {
                kept.push(*operation);
            }
        }
        kept
    }

    /// Whether a change to the file `of`, or to a name in the directory `of`, survives.
    fn keeps(&self, keeps: Keeps, operation: u64, of: u64, path: &str, is_bytes: bool) -> bool {
        match (keeps, self.around) {
            (Keeps::Worst, Around::Change(change)) => operation == change,
            (Keeps::Worst, Around::SyncToCome(ino)) => of != ino,
            (Keeps::Worst, Around::Sync) | (Keeps::Nothing, _) => false,
            (Keeps::Names, _) => !is_bytes,
            (Keeps::Only(part), _) => path.contains(part),
            (Keeps::AllBut(part), _) => !path.contains(part),
            (Keeps::Everything, _) => true,
        }
    }
}

/// A path with its numbers replaced, so that it is the same for all files of a kind.
fn without_numbers(path: &str) -> String {
    let is_number = |word: &str| {
        word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'T' || byte == b'Z')
    };
    let words = path.split_inclusive(['/', '.', '-', ' ']).map(|word| {
        let end = word.len() - usize::from(word.ends_with(['/', '.', '-', ' ']));
        let (stem, rest) = word.split_at(end);
        if is_number(stem) { format!("N{rest}") } else { word.to_owned() }
    });
    words.collect()
}
