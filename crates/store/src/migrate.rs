//! The format of the data directory, and upgrades from each format to the next.
//!
//! `FORMAT` states the format. A version opens data directories of its own format or older, and refuses newer ones. An older one
//! is upgraded step by step, before anything else is opened:
//!
//! 1. `MIGRATING` is created, so that the next start knows of one that was interrupted. If there is no room for the copy, or
//!    something is in its place, nothing is done at all.
//! 2. What the steps change is copied into `before-format-N/`, which becomes a data directory of the old format. Its own `FORMAT`
//!    is written last, and says that the copy is complete. No daemon changes it again; the operator removes it.
//! 3. Each step is run, and after it `FORMAT` is replaced by a rename. Then `MIGRATING` is removed.
//!
//! Each of these is durable before the next begins. So an interruption leaves an unchanged data directory of the old format, or
//! one of the new.
//!
//! To change what is stored:
//!
//! - If earlier versions read what is written now as it is meant, or leave it alone, the format stays.
//! - Otherwise, add one to [`FORMAT`] and a [`Step`] to [`STEPS`]. A step writes new files beside the old ones, under names that
//!   the old format does not use, so that it can be interrupted and run again. The old files are removed when the store is
//!   opened. `changes` lists what earlier versions could not read any more once the daemon has run, even if the step itself
//!   leaves it alone.
//! - Make sure that `dantok check` checks the earlier formats as well, without changing them.
//! - At a release, keep a data directory of it, as `tests/data/README.md` says. A test opens all of them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Error;
use crate::files::sync_dir;
use crate::limits::FREE_SPACE_MIN_BYTES;

/// The format that this build writes.
pub(crate) const FORMAT: u32 = 2;

/// An upgrade from one format to the next.
struct Step {
    /// What the upgrade does, for the log.
    what: &'static str,
    /// The parts of the data directory that earlier versions can't read afterwards.
    changes: &'static [&'static str],
    /// Runs it. After an error, the next start tries again.
    run: fn(&Path) -> Result<(), Error>,
}

/// The first is from format 1 to 2.
const STEPS: [Step; FORMAT as usize - 1] = [Step {
    what: "new messages are stored in the journal and in segments; those in sled stay there until they expire",
    changes: &["journal", "segments", "sled"],
    // Old and new records can both be read.
    run: |_| Ok(()),
}];

const MARKER: &str = "MIGRATING";
/// Marks the copy until it is complete: everything beside it is ours, and may be removed.
const COPYING: &str = "COPYING";
/// What an empty file system may contain.
const OF_FILE_SYSTEM: &str = "lost+found";

/// The directory that keeps what a format has replaced.
fn kept(dir: &Path, format: u32) -> PathBuf {
    dir.join(format!("before-format-{format}"))
}

/// All such directories that exist.
pub(crate) fn all_kept(dir: &Path) -> Vec<PathBuf> {
    (2..=FORMAT).map(|format| kept(dir, format)).filter(|kept| kept.join("FORMAT").exists()).collect()
}

/// The format of a data directory; none if nothing is stored yet.
///
/// # Errors
/// It is newer than this build's, or not a number; I/O errors.
pub(crate) fn format_of(dir: &Path) -> Result<Option<u32>, Error> {
    let path = dir.join("FORMAT");
    let found = match std::fs::read_to_string(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    match found.trim() {
        // An empty file is what a power cut left when format 1 or 2 was to be written.
        "" => Ok(dir.join("sled").exists().then_some(1)),
        text => match text.parse() {
            Ok(format @ 1..=FORMAT) => Ok(Some(format)),
            _ => Err(Error::Format { path, found: text.to_owned(), known: FORMAT }),
        },
    }
}

/// If the data directory has an older format, copies what the upgrade changes. Changes nothing else.
///
/// # Errors
/// It has a newer format; there is no room for the copy, or already one; I/O errors.
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    keep_for(dir, format_of(dir)?, &STEPS)
}

/// Upgrades the data directory to this build's format, after [`prepare`].
///
/// # Errors
/// As [`prepare`].
pub(crate) fn run(dir: &Path) -> Result<(), Error> {
    run_steps(dir, format_of(dir)?, &STEPS)?;
    for kept in all_kept(dir) {
        let bytes = disk::bytes_in(&kept, &|metadata| metadata.len());
        tracing::info!(path = %kept.display(), bytes, "the copy from before an upgrade still exists; remove it when you do not want to go back");
    }
    Ok(())
}

/// After a failure: writes the format again, in case only memory has it.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn write_again(dir: &Path) -> Result<(), Error> {
    match format_of(dir)? {
        Some(format) if dir.join("FORMAT").exists() => write_format(dir, format),
        _ => Ok(()),
    }
}

/// The format that these steps lead to.
fn newest(steps: &[Step]) -> u32 {
    u32::try_from(steps.len() + 1).unwrap_or(u32::MAX)
}

/// The steps that are still to be run.
fn todo(found: Option<u32>, steps: &[Step]) -> &[Step] {
    found.and_then(|found| steps.get(found.saturating_sub(1) as usize..)).unwrap_or_default()
}

fn keep_for(dir: &Path, found: Option<u32>, steps: &[Step]) -> Result<(), Error> {
    let todo = todo(found, steps);
    if todo.is_empty() {
        return Ok(());
    }
    let (marker, kept) = (dir.join(MARKER), kept(dir, newest(steps)));
    let parts = parts(dir, todo);
    if !marker.exists() {
        expect_empty(&kept)?;
        expect_room(dir, &kept, &parts)?;
        act("write", &marker, || File::create(&marker)?.sync_all())?;
        act("sync", dir, || File::open(dir)?.sync_all())?;
    }
    if kept.join("FORMAT").exists() { copied(&kept) } else { keep(dir, &kept, found.unwrap_or(1), &parts) }
}

/// The parts that the steps change and that exist.
fn parts(dir: &Path, steps: &[Step]) -> Vec<&'static str> {
    let mut parts: Vec<&str> = steps.iter().flat_map(|step| step.changes).copied().collect();
    parts.sort_unstable();
    parts.dedup();
    parts.retain(|part| dir.join(part).exists());
    parts
}

/// Fails if the directory for the copy is not empty. It may be missing.
fn expect_empty(kept: &Path) -> Result<(), Error> {
    if !kept.exists() || list(kept)?.iter().all(|entry| entry.ends_with(OF_FILE_SYSTEM)) {
        return Ok(());
    }
    let why = "it is not empty, perhaps from an earlier upgrade; remove it, or move it away";
    Err(Error::io("copy the data directory to", kept)(io::Error::new(ErrorKind::AlreadyExists, why)))
}

/// Fails if there is no room for the copy. If its directory is missing, it will be in the data directory.
fn expect_room(dir: &Path, kept: &Path, parts: &[&str]) -> Result<(), Error> {
    let needed: u64 = parts.iter().map(|part| disk::bytes_in(&dir.join(part), &|metadata| metadata.len())).sum();
    let free = disk::free_bytes(if kept.exists() { kept } else { dir }).unwrap_or(u64::MAX);
    let missing = (needed + FREE_SPACE_MIN_BYTES).saturating_sub(free);
    if missing == 0 {
        return Ok(());
    }
    let why = format!(
        "the upgrade first copies {needed} bytes and leaves {FREE_SPACE_MIN_BYTES} free, but only {free} are free: {missing} are missing. Make room, or make this a symbolic link to an empty directory on a disk that has it. Nothing was changed; the earlier version still opens the data directory"
    );
    Err(Error::io("copy the data directory to", kept)(io::Error::new(ErrorKind::StorageFull, why)))
}

fn run_steps(dir: &Path, found: Option<u32>, steps: &[Step]) -> Result<(), Error> {
    let (newest, marker) = (newest(steps), dir.join(MARKER));
    let Some(found) = found else { return write_format(dir, newest) };
    for (step, to) in todo(Some(found), steps).iter().zip(found + 1..) {
        tracing::warn!(path = %dir.display(), from = to - 1, to, "upgrading the data directory: {}", step.what);
        (step.run)(dir)?;
        write_format(dir, to)?;
    }
    if marker.exists() {
        act("remove", &marker, || std::fs::remove_file(&marker))?;
        sync_dir(dir)?;
        tracing::warn!(
            path = %dir.display(), format = newest,
            "the data directory is upgraded. To go back, stop the daemon and run the earlier version with --data-dir {0}: that is a copy from before the upgrade, without anything sent since. Remove it when you no longer need it",
            kept(dir, newest).display()
        );
    }
    Ok(())
}

/// Copies these parts into a data directory of their own, durably.
fn keep(dir: &Path, kept: &Path, format: u32, parts: &[&str]) -> Result<(), Error> {
    // The directory itself is not removed below: it may be a link to another disk.
    if !kept.exists() {
        act("create the directory", kept, || std::fs::create_dir(kept))?;
    }
    let copying = kept.join(COPYING);
    if !copying.exists() {
        expect_empty(kept)?;
        act("write", &copying, || File::create(&copying)?.sync_all())?;
        act("sync", kept, || File::open(kept)?.sync_all())?;
    }
    // Remove what an interrupted start has left.
    for entry in list(kept)?.iter().filter(|entry| !entry.ends_with(COPYING) && !entry.ends_with(OF_FILE_SYSTEM)) {
        act("remove", entry, || {
            if entry.is_dir() { std::fs::remove_dir_all(entry) } else { std::fs::remove_file(entry) }
        })?;
    }
    expect_room(dir, kept, parts)?;
    tracing::warn!(path = %kept.display(), "copying the data directory before it is upgraded");
    for part in parts {
        copy_dir(&dir.join(part), &kept.join(part))?;
    }
    act("sync", kept, || File::open(kept)?.sync_all())?;
    write_format(kept, format)?;
    copied(kept)?;
    act("sync", dir, || File::open(dir)?.sync_all())
}

fn copied(kept: &Path) -> Result<(), Error> {
    let copying = kept.join(COPYING);
    if !copying.exists() {
        return Ok(());
    }
    act("remove", &copying, || std::fs::remove_file(&copying))?;
    act("sync", kept, || File::open(kept)?.sync_all())
}

/// Copies a directory durably. Not by links: the store writes to its files in place.
fn copy_dir(from: &Path, to: &Path) -> Result<(), Error> {
    act("create the directory", to, || std::fs::create_dir(to))?;
    for path in list(from)? {
        let Some(name) = path.file_name() else { continue };
        let to = to.join(name);
        if path.is_dir() {
            copy_dir(&path, &to)?;
        } else {
            // If the file system can share the blocks of two files, this takes no space.
            act("copy", &path, || std::fs::copy(&path, &to))?;
            act("sync", &to, || File::open(&to)?.sync_all())?;
        }
    }
    act("sync", to, || File::open(to)?.sync_all())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(Error::io("list the directory", dir))
}

/// Writes the format of a data directory, durably and atomically.
pub(crate) fn write_format(dir: &Path, format: u32) -> Result<(), Error> {
    let (path, new) = (dir.join("FORMAT"), dir.join("FORMAT.new"));
    act("write", &new, || {
        let mut file = File::create(&new)?;
        file.write_all(format!("{format}\n").as_bytes())?;
        file.sync_all()
    })?;
    act("write", &path, || std::fs::rename(&new, &path))?;
    act("sync", dir, || File::open(dir)?.sync_all())
}

/// Does something to the disk. A start may be interrupted between any two of these.
fn act<T>(what: &'static str, path: &Path, act: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    #[cfg(test)]
    tests::cut(path)?;
    act().map_err(Error::io(what, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// This many steps are done before a start is interrupted.
        static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    pub(super) fn cut(path: &Path) -> Result<(), Error> {
        match LEFT.get() {
            0 => Err(Error::Failed(format!("cut off before {}", path.display()))),
            left => {
                LEFT.set(left - 1);
                Ok(())
            }
        }
    }

    /// Reverses the contents of one part into another, as the next format has it.
    fn turn(from: &Path, to: &Path) -> Result<(), Error> {
        let text: String = std::fs::read_to_string(from).unwrap().chars().rev().collect();
        // In two pieces, so that one can be cut off in the middle of it.
        act("write", to, || std::fs::write(to, &text[..2]))?;
        act("write", to, || std::fs::write(to, &text))
    }

    const TWO: [Step; 2] = [
        Step { what: "", changes: &["sled", "nowhere"], run: |dir| turn(&dir.join("sled/db"), &dir.join("sled/db2")) },
        Step { what: "", changes: &["sled", "journal"], run: |dir| turn(&dir.join("sled/db2"), &dir.join("sled/db3")) },
    ];

    fn upgrade(dir: &Path, found: Option<u32>, steps: &[Step]) -> Result<(), Error> {
        keep_for(dir, found, steps)?;
        run_steps(dir, found, steps)
    }

    fn old(dir: &Path) {
        for (part, text) in [("sled/db", "abc"), ("journal/1", "xyz"), ("segments/1", "left alone"), ("EPOCH", "e")] {
            std::fs::create_dir_all(dir.join(part).parent().unwrap()).unwrap();
            std::fs::write(dir.join(part), text).unwrap();
        }
        std::fs::write(dir.join("FORMAT"), "1\n").unwrap();
    }

    fn text(path: PathBuf) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn is_old(dir: &Path) -> bool {
        text(dir.join("FORMAT")) == "1\n" && text(dir.join("sled/db")) == "abc" && text(dir.join("journal/1")) == "xyz"
    }

    #[test]
    fn wherever_it_is_cut_off_it_is_old_or_new_and_the_next_start_ends_it() {
        let mut cuts = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            old(dir);
            LEFT.set(cuts);
            let cut = upgrade(dir, Some(1), &TWO);
            LEFT.set(u32::MAX);
            let format: u32 = text(dir.join("FORMAT")).trim().parse().unwrap();
            // What the old version reads is as it was, up to the end of the first step; and so is what the copy has, once it says so.
            assert!(text(dir.join("sled/db")) == "abc" && text(dir.join("journal/1")) == "xyz", "{cuts}");
            assert_eq!(text(dir.join("segments/1")), "left alone");
            let kept = dir.join("before-format-3");
            assert!(format == 1 || is_old(&kept), "{cuts}: {format}");
            assert!(!kept.join("FORMAT").exists() || is_old(&kept), "{cuts}");
            // Cut off again, all over.
            for again in (0..cuts.min(12)).rev().step_by(3) {
                LEFT.set(again);
                let found: u32 = text(dir.join("FORMAT")).trim().parse().unwrap();
                let _ = upgrade(dir, Some(found), &TWO);
                LEFT.set(u32::MAX);
            }
            let found: u32 = text(dir.join("FORMAT")).trim().parse().unwrap();
            upgrade(dir, Some(found), &TWO).unwrap();
            assert_eq!(text(dir.join("FORMAT")), "3\n", "{cuts}");
            assert_eq!((&*text(dir.join("sled/db2")), &*text(dir.join("sled/db3"))), ("cba", "abc"), "{cuts}");
            assert!(is_old(&kept) && !dir.join(MARKER).exists(), "{cuts}");
            assert!(["segments", "EPOCH", COPYING].iter().all(|name| !kept.join(name).exists()));
            // Done is done.
            LEFT.set(0);
            upgrade(dir, Some(3), &TWO).unwrap();
            LEFT.set(u32::MAX);
            match cut {
                Ok(()) => break,
                Err(error) => assert!(error.to_string().contains("cut off before"), "{error}"),
            }
            cuts += 1;
        }
        assert!(cuts > 20, "{cuts}");
    }

    #[test]
    fn a_copy_of_an_upgrade_before_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        old(dir);
        upgrade(dir, Some(1), &TWO).unwrap();
        // Somebody went back, in the same place.
        old(dir);
        std::fs::write(dir.join("sled/db"), "abcd").unwrap();
        let error = upgrade(dir, Some(1), &TWO).unwrap_err().to_string();
        assert!(error.contains("before-format-3") && error.contains("remove it, or move it away"), "{error}");
        assert_eq!(text(dir.join("before-format-3/sled/db")), "abc");
        std::fs::rename(dir.join("before-format-3"), dir.join("elsewhere")).unwrap();
        upgrade(dir, Some(1), &TWO).unwrap();
        assert_eq!(text(dir.join("before-format-3/sled/db")), "abcd");
    }

    #[test]
    fn nothing_that_is_no_copy_is_removed_for_one() {
        for is_begun in [true, false] {
            let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            old(dir.path());
            std::fs::write(disk.path().join("photos"), "").unwrap();
            std::os::unix::fs::symlink(disk.path(), dir.path().join("before-format-3")).unwrap();
            if is_begun {
                std::fs::write(dir.path().join(MARKER), "").unwrap();
            }
            let error = upgrade(dir.path(), Some(1), &TWO).unwrap_err().to_string();
            assert!(error.contains("before-format-3") && error.contains("remove it, or move it away"), "{error}");
            assert!(disk.path().join("photos").exists() && is_old(dir.path()));
            assert_eq!(dir.path().join(MARKER).exists(), is_begun);
            // What a new file system has is nothing.
            std::fs::remove_file(disk.path().join("photos")).unwrap();
            std::fs::create_dir(disk.path().join("lost+found")).unwrap();
            upgrade(dir.path(), Some(1), &TWO).unwrap();
            assert!(is_old(disk.path()) && disk.path().join("lost+found").exists());
        }
    }

    #[test]
    fn the_copy_may_be_on_another_disk() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        old(dir.path());
        std::os::unix::fs::symlink(disk.path(), dir.path().join("before-format-3")).unwrap();
        upgrade(dir.path(), Some(1), &TWO).unwrap();
        assert!(is_old(disk.path()));
    }

    #[test]
    fn a_format_is_read_and_one_that_is_newer_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(format_of(dir).unwrap(), None);
        std::fs::write(dir.join("FORMAT"), "").unwrap();
        assert_eq!(format_of(dir).unwrap(), None);
        std::fs::create_dir(dir.join("sled")).unwrap();
        assert_eq!(format_of(dir).unwrap(), Some(1));
        for format in 1..=FORMAT {
            write_format(dir, format).unwrap();
            assert_eq!(format_of(dir).unwrap(), Some(format));
        }
        for newer in ["3", "0", "x", "-1"] {
            std::fs::write(dir.join("FORMAT"), newer).unwrap();
            let error = format_of(dir).unwrap_err().to_string();
            assert!(error.contains("use the version that wrote it"), "{error}");
        }
    }
}
