//! A copy of sled's files, to open.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Error;
use crate::limits::FREE_SPACE_MIN_BYTES;

/// A copy of sled's files, removed when it is dropped.
pub(super) struct Copy(pub(super) PathBuf);

impl Copy {
    const PREFIX: &str = "dantok-check-";

    pub(super) fn of(sled: &Path, scratch: &Path) -> Result<Copy, Error> {
        // Remove what an earlier check has left that was killed.
        for entry in std::fs::read_dir(scratch).map_err(Error::io("list the directory", scratch))?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.strip_prefix(Self::PREFIX)?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let (needed, free) =
            (disk::bytes_in(sled, &|metadata| metadata.len()), disk::free_bytes(scratch).unwrap_or(u64::MAX));
        if free < needed + FREE_SPACE_MIN_BYTES {
            let why =
                format!("it takes {needed} bytes, but {free} are free; name a directory that has room with --scratch");
            return Err(Error::io("copy the store to check it", scratch)(io::Error::new(
                io::ErrorKind::StorageFull,
                why,
            )));
        }
        let copy = Copy(scratch.join(format!("{}{}", Self::PREFIX, std::process::id())));
        copy_dir(sled, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The next check removes what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(Error::io("create the directory", to))?;
    for entry in std::fs::read_dir(from).map_err(Error::io("list the store", from))? {
        let path = entry.map_err(Error::io("list the store", from))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_dir(&path, &to.join(name))?;
        } else {
            // If the file system can share the blocks of two files, this takes no space.
            std::fs::copy(&path, to.join(name)).map_err(Error::io("copy", &path))?;
        }
    }
    Ok(())
}
