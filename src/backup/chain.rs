//! The backups in a directory, and which of them belong together.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::file::{Hash, Header, Reader};
use super::survey::{Survey, survey};
use crate::error::Error;
use dantok_store::replace::above;

/// What the file name of a backup starts with, …
pub const PREFIX: &str = "dantok-";
/// … and ends with.
pub const SUFFIX: &str = ".backup";

/// A backup in a directory, of which only the header was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// Its header.
    pub header: Header,
    /// The hash that identifies it.
    pub hash: Hash,
}

/// Reads the header and the hash at the end of a file.
///
/// # Errors
/// The file is not a backup, or can't be read.
pub fn look_at(path: &Path) -> Result<Found, Error> {
    let header = Reader::open(path)?.header().clone();
    let mut hash = Hash::default();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-(hash.len() as i64)))?;
        file.read_exact(&mut hash)
    });
    read.map_err(Error::io("read the backup", path))?;
    Ok(Found { path: path.to_owned(), header, hash })
}

/// The backups in a directory, and an error for each file that is named like a backup and is not one.
///
/// # Errors
/// The directory can't be read.
pub fn list(dir: &Path) -> Result<(Vec<Found>, Vec<Error>), Error> {
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))? {
        let entry = entry.map_err(Error::io("list the directory", dir))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            match look_at(&entry.path()) {
                Ok(backup) => found.push(backup),
                Err(error) => broken.push(error),
            }
        }
    }
    Ok((found, broken))
}

/// A backup and those that it builds on, the full one first.
///
/// # Errors
/// One of them is missing.
pub fn of(tip: &Found, among: &[Found]) -> Result<Vec<PathBuf>, Error> {
    let mut chain = vec![tip.path.clone()];
    let mut at = tip;
    while let Some(base) = at.header.base {
        // Hashes can't form a cycle.
        let Some(before) = among.iter().find(|found| found.hash == base) else {
            let what = format!(
                "it builds on the backup {}, which is not in {}",
                super::file::short(&base),
                at.path.parent().unwrap_or(Path::new(".")).display()
            );
            return Err(Error::Backup { path: at.path.clone(), what });
        };
        chain.push(before.path.clone());
        at = before;
    }
    chain.reverse();
    Ok(chain)
}

/// The backups in a directory that a store can build on.
#[derive(Debug, Default)]
pub struct Bases {
    /// Backups of moments that are in the store's past, the newest first.
    tips: Vec<Found>,
    /// Backups of moments that are in the past neither of the store nor of any of `tips`: the store was set back to before them, or they
    /// are of a copy of it that is in use elsewhere.
    pub strays: Vec<Found>,
    all: Vec<Found>,
}

/// Sorts the backups in a directory by whether a store of this epoch, with these marks, can be shown to build on them. Reports invalid
/// files to `complain`.
///
/// # Errors
/// The directory can't be read.
pub fn bases(dir: &Path, epoch: &str, marks: &[u64], complain: &mut dyn FnMut(&Error)) -> Result<Bases, Error> {
    let (all, broken) = list(dir)?;
    broken.iter().for_each(complain);
    let of_store: Vec<&Found> = all.iter().filter(|found| found.header.epoch == epoch).collect();
    let behind = behind(marks.iter().copied().collect(), &of_store);
    let place = |found: &Found| marks.iter().position(|mark| Some(*mark) == found.header.mark);
    let mut tips: Vec<(usize, Found)> =
        of_store.iter().filter_map(|found| Some((place(found)?, (*found).clone()))).collect();
    tips.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    let is_stray = |found: &&Found| found.header.mark.is_some_and(|mark| !behind.contains(&mark));
    let strays = of_store.into_iter().filter(is_stray).cloned().collect();
    Ok(Bases { tips: tips.into_iter().map(|(_, found)| found).collect(), strays, all })
}

impl Bases {
    /// The newest valid backup and what it holds. Reports newer invalid ones to `complain`.
    pub fn newest_sound(
        &self,
        tell: &mut dyn FnMut(&Path, u64),
        complain: &mut dyn FnMut(&Error),
    ) -> Option<(Found, Survey)> {
        self.tips.iter().find_map(|tip| {
            let chain = of(tip, &self.all);
            match chain.and_then(|chain| survey(chain.iter().map(|path| Reader::open(path)), tell)) {
                // Now it has been read to its end, not only its header.
                Ok(survey) if survey.end.is_some_and(|end| end.hash == tip.hash) => return Some((tip.clone(), survey)),
                Ok(_) => {
                    complain(&Error::Backup { path: tip.path.clone(), what: "it changed while it was read".to_owned() })
                }
                Err(error) => complain(&error),
            }
            None
        })
    }
}

/// These marks and, as far as the backups tell, those of all moments before them.
fn behind(mut marks: HashSet<u64>, among: &[&Found]) -> HashSet<u64> {
    loop {
        let known = marks.len();
        for found in among {
            if found.header.mark.is_some_and(|mark| marks.contains(&mark)) {
                marks.extend(&found.header.marks);
            }
        }
        if marks.len() == known {
            return marks;
        }
    }
}

/// The backup to restore, and the newest one of each other history, if the store has had others because it was set back.
#[derive(Debug, PartialEq, Eq)]
struct Newest<'a> {
    tip: &'a Found,
    others: Vec<&'a Found>,
}

/// The newest backup. Marks tell which of a store's backups comes after another, whatever the wall clock did. Only the wall clock tells
/// which of two histories, or of two stores, is later.
fn newest(found: &[Found]) -> Option<Newest<'_>> {
    let mut of_stores: HashMap<&str, Vec<&Found>> = HashMap::new();
    for backup in found {
        of_stores.entry(&backup.header.epoch).or_default().push(backup);
    }
    let newest = of_stores.into_values().filter_map(|backups| {
        let before = |backup: &Found| behind(backup.header.marks.iter().copied().collect(), &backups);
        let superseded: HashSet<u64> = backups.iter().flat_map(|backup| before(backup)).collect();
        let is_last = |backup: &&Found| backup.header.mark.is_none_or(|mark| !superseded.contains(&mark));
        let mut last: Vec<&Found> = backups.iter().copied().filter(is_last).collect();
        let tip = last.iter().copied().reduce(|one, other| if is_newer(other, one) { other } else { one })?;
        last.retain(|backup| *backup != tip && backup.header.mark.is_some());
        Some(Newest { tip, others: last })
    });
    newest.max_by_key(|newest| newest.tip.header.time_ms)
}

/// Whether `one` is newer than `other`, if marks don't tell. Both are of one store.
fn is_newer(one: &Found, other: &Found) -> bool {
    let (one, other) = (&one.header, &other.header);
    if one.mark.is_some() && other.mark.is_some() {
        return one.time_ms > other.time_ms;
    }
    // A store's kept clock goes forward, whatever the wall clock does.
    (one.kept_ms, one.time_ms) > (other.kept_ms, other.time_ms)
}

/// What to restore: this file, or the newest backup in this directory, with those that it builds on, the full one first.
///
/// # Errors
/// There is no backup; one that it builds on is missing; or a file in the directory is named like a backup and is not one, so it can't
/// be told which is the newest.
pub fn from(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        let tip = look_at(path)?;
        if tip.header.base.is_none() {
            return Ok(vec![tip.path]);
        }
        return of(&tip, &list(above(path))?.0);
    }
    let (found, broken) = list(path)?;
    if let Some(error) = broken.into_iter().next() {
        return Err(Error::Command(format!("{error}. Move it away, or name the file to restore")));
    }
    let Some(Newest { tip, others }) = newest(&found) else {
        return Err(Error::Command(format!("{}: there is no file {PREFIX}…{SUFFIX} in it", path.display())));
    };
    for other in others {
        eprintln!(
            "dantok: {} is of another history of these rooms, which were set back to an older state. Skipped in favour of {}, which is \
            later by the wall clock; to restore it anyway, name the file",
            other.path.display(),
            tip.path.display()
        );
    }
    of(tip, &found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(epoch: &str, time_ms: u64, kept_ms: u64) -> Found {
        let header = Header { epoch: epoch.to_owned(), time_ms, kept_ms, ..Header::default() };
        Found { path: PathBuf::from(format!("{epoch}{time_ms}")), header, hash: Hash::default() }
    }

    #[test]
    fn a_wall_clock_that_was_wrong_once_makes_no_backup_the_newest_of_its_store() {
        // The wall clock was far ahead while `b` was made.
        let (a, b, c) = (backup("one", 10, 1), backup("one", 9_000, 2), backup("one", 30, 3));
        let tip = |found: &[Found]| newest(found).map(|newest| newest.tip.clone());
        assert_eq!(tip(&[a.clone(), b.clone(), c.clone()]), Some(c.clone()));
        assert_eq!(tip(&[b.clone(), a]), Some(b.clone()));
        // A restored store's kept clock continues from that of the backup.
        let restored = backup("two", 40, 2);
        assert_eq!(tip(&[c, restored.clone(), b]), Some(restored));
        assert_eq!(newest(&[]), None);
    }

    fn marked(mark: u64, marks: &[u64], time_ms: u64, kept_ms: u64) -> Found {
        let mut found = backup("one", time_ms, kept_ms);
        (found.header.mark, found.header.marks) = (Some(mark), marks.to_vec());
        found
    }

    #[test]
    fn of_a_store_that_was_set_back_the_later_history_is_the_newest() {
        // 1 and 2, set back to before 2, then 3 and 4: the kept clock was set back as well, and the wall clock was wrong for 4.
        let all = [marked(1, &[], 10, 10), marked(2, &[1], 20, 90), marked(3, &[1], 30, 20), marked(4, &[1, 3], 5, 30)];
        let found = newest(&all[..3]).unwrap();
        assert_eq!((found.tip, found.others), (&all[2], vec![&all[1]]));
        // The last does not know of the first, because a store keeps only so many marks.
        let all = [marked(1, &[], 90, 1), marked(2, &[1], 80, 2), marked(3, &[2], 70, 3)];
        let found = newest(&all).unwrap();
        assert_eq!((found.tip, found.others), (&all[2], vec![]));
        assert_eq!(behind([3].into(), &all.iter().collect::<Vec<_>>()), [1, 2, 3].into());
    }
}
