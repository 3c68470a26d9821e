//! The backups in a directory, and which of them belong together.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::file::{Hash, Header, Reader};
use super::survey::{Survey, survey};
use crate::error::Error;

/// How backups' names begin and end.
pub const PREFIX: &str = "dantok-";
/// See [`PREFIX`].
pub const SUFFIX: &str = ".backup";

/// A backup in a directory. Only its header was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// What it says of itself.
    pub header: Header,
    /// What it is known by.
    pub hash: Hash,
}

/// Looks at a file's header and end.
///
/// # Errors
/// It is no backup; what the system says.
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

/// The backups in a directory, and files that have a backup's name and are none.
///
/// # Errors
/// What the system says of the directory.
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

/// A backup and what it goes on from, the full one first.
///
/// # Errors
/// One of them is missing.
pub fn of(tip: &Found, among: &[Found]) -> Result<Vec<PathBuf>, Error> {
    let mut chain = vec![tip.path.clone()];
    let mut at = tip;
    while let Some(base) = at.header.base {
        // A hash can't be made to lead round in a circle.
        let Some(before) = among.iter().find(|found| found.hash == base) else {
            let what = format!(
                "it goes on from the backup {}, which is not in {}",
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

/// The newest backup that a store of this epoch may go on from, with all that it holds. `complain` hears what is not sound.
///
/// # Errors
/// What the system says of the directory.
pub fn newest_sound(
    dir: &Path,
    epoch: &str,
    tell: &mut dyn FnMut(&Path, u64),
    complain: &mut dyn FnMut(&Error),
) -> Result<Option<(Found, Survey)>, Error> {
    let (found, broken) = list(dir)?;
    broken.iter().for_each(&mut *complain);
    let mut tips: Vec<&Found> = found.iter().filter(|found| found.header.epoch == epoch).collect();
    // The kept clock of a store never goes back.
    tips.sort_by_key(|found| std::cmp::Reverse(found.header.kept_ms));
    for tip in tips {
        match of(tip, &found).and_then(|chain| survey(chain.iter().map(|path| Reader::open(path)), tell)) {
            // Read to its end now, and not only looked at.
            Ok(survey) if survey.end.is_some_and(|end| end.hash == tip.hash) => return Ok(Some((tip.clone(), survey))),
            Ok(_) => complain(&Error::Backup { path: tip.path.clone(), what: "it has changed just now".to_owned() }),
            Err(error) => complain(&error),
        }
    }
    Ok(None)
}

/// The newest backup. A store's kept clock never goes back, whatever the wall clock has done; which of two stores came later, only
/// the wall clock says.
fn newest(found: &[Found]) -> Option<&Found> {
    let mut of_stores: HashMap<&str, &Found> = HashMap::new();
    let age = |found: &Found| (found.header.kept_ms, found.header.time_ms);
    for backup in found {
        let newest = of_stores.entry(&backup.header.epoch).or_insert(backup);
        if age(backup) > age(newest) {
            *newest = backup;
        }
    }
    of_stores.into_values().max_by_key(|found| found.header.time_ms)
}

/// What a restore is made from: a file, or the newest backup in a directory; with what it goes on from, the full one first.
///
/// # Errors
/// There is none; one of them is missing; something in the directory has a backup's name and is none, so that it can't be told which
/// is the newest.
pub fn from(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        let tip = look_at(path)?;
        if tip.header.base.is_none() {
            return Ok(vec![tip.path]);
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return of(&tip, &list(dir)?.0);
    }
    let (found, broken) = list(path)?;
    if let Some(error) = broken.into_iter().next() {
        return Err(Error::Command(format!("{error}. Move it away, or name the file that is to be restored")));
    }
    let Some(tip) = newest(&found) else {
        return Err(Error::Command(format!("{}: there is no file {PREFIX}…{SUFFIX} in it", path.display())));
    };
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
        // While `b` was made the wall clock was ahead by far.
        let (a, b, c) = (backup("one", 10, 1), backup("one", 9_000, 2), backup("one", 30, 3));
        assert_eq!(newest(&[a.clone(), b.clone(), c.clone()]), Some(&c));
        assert_eq!(newest(&[b.clone(), a]), Some(&b));
        // A restored store counts on from what it was restored from.
        let restored = backup("two", 40, 2);
        assert_eq!(newest(&[c, restored.clone(), b]), Some(&restored));
        assert_eq!(newest(&[]), None);
    }
}
