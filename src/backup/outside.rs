//! Keeps backups and restored stores out of data directories.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use dantok_store::is_data_dir;

/// Refuses a path that is a data directory or in one, whatever links and mounts lead there, even if it does not exist yet. `data` is the
/// data directory in use, all or part of which may also be mounted elsewhere.
///
/// # Errors
/// A sentence for whoever typed the command; or the path can't be resolved.
pub fn outside(path: &Path, data: Option<&Path>) -> Result<(), Error> {
    let known: Vec<(u64, u64)> = data.map(with_parts).unwrap_or_default();
    let is_known = |dir: &Path| std::fs::metadata(dir).is_ok_and(|metadata| known.contains(&identity(&metadata)));
    let found = real(path)?;
    if data.is_some_and(|data| real(data).is_ok_and(|data| data == found)) {
        let what = "this is the data directory; a backup that is lost with it is useless";
        return Err(Error::Command(format!("{}: {what}", path.display())));
    }
    let inside = found.ancestors().find(|dir| is_known(dir) || is_data_dir(dir));
    inside.map_or(Ok(()), |inside| Err(refused(path, inside)))
}

/// The same for the directories above a path. The path itself is checked elsewhere.
///
/// # Errors
/// As [`outside`].
pub fn outside_above(path: &Path) -> Result<(), Error> {
    let found = real(path)?;
    let inside = found.ancestors().skip(1).find(|dir| is_data_dir(dir));
    inside.map_or(Ok(()), |inside| Err(refused(path, inside)))
}

fn refused(path: &Path, inside: &Path) -> Error {
    let (path, inside) = (path.display(), inside.display());
    Error::Command(format!(
        "{path}: this is in the data directory {inside}; a backup that is lost with it is useless, and nothing else belongs there: \
        name a place outside it, preferably on another disk"
    ))
}

/// The same for an open file, such as standard output.
///
/// # Errors
/// As [`outside`].
pub fn is_outside(file: &File, data: &Path) -> Result<(), Error> {
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    match std::fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())) {
        Ok(path) => outside(&path, Some(data)),
        // Without /proc there is no telling, and no promise depends on this.
        Err(_) => Ok(()),
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The identities of a data directory and the directories in it.
fn with_parts(dir: &Path) -> Vec<(u64, u64)> {
    if !is_data_dir(dir) {
        return Vec::new();
    }
    let within = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = std::iter::once(dir.to_owned()).chain(within).filter_map(|path| std::fs::metadata(path).ok());
    all.filter(Metadata::is_dir).map(|metadata| identity(&metadata)).collect()
}

/// Resolves the part of a path that exists, and appends the rest.
fn real(path: &Path) -> Result<PathBuf, Error> {
    let mut missing = PathBuf::new();
    let mut at = std::path::absolute(path).map_err(Error::io("find", path))?;
    loop {
        match at.canonicalize() {
            Ok(real) => return Ok(real.join(missing)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("find", &at)(error)),
        }
        let Some(name) = at.components().next_back().map(|last| PathBuf::from(last.as_os_str())) else {
            return Ok(missing);
        };
        missing = if missing.as_os_str().is_empty() { name } else { name.join(missing) };
        if !at.pop() {
            return Ok(missing);
        }
    }
}
