//! What can go wrong with what is stored, as an operator reads it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store can't be opened, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{}: can't {what}: {source}", path.display())]
    Io {
        /// What was tried, as in "can't …".
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon has the data directory.
    #[error("{}: another dantok is running on this data directory; stop it, or give this one its own --data-dir", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// There is no data directory of dantok.
    #[error("{}: no data directory of dantok: FORMAT is not in it; {hint}", path.display())]
    NoStore {
        /// What was named.
        path: PathBuf,
        /// Which may be meant.
        hint: String,
    },
    /// A restore into the data directory did not come to its end.
    #[error("{}: a restore into this directory was cut off: run `dantok restore` again, or empty the directory", path.display())]
    Unfinished {
        /// The data directory.
        path: PathBuf,
    },
    /// A restore wants an empty directory.
    #[error("{}: not empty: {found} is in it; name an empty or missing directory by --data-dir, or move what is in this one away", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// The data directory is of a version that this build does not know.
    #[error("{path}: the data directory has format {found:?}; this dantok knows up to {known}: use the version that wrote it, or go back to what it kept in before-format-{0}, if that is there", found.escape_debug(), path = path.display())]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this build knows.
        known: u32,
    },
    /// Stored bytes are not what was written.
    #[error("{}: damaged: {what}. Copy the data directory away before anything else is tried; `dantok check` says what in it is damaged; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        what: String,
    },
    /// sled failed.
    #[error("{}: the store can't {what}: {source}. If the disk is full, make room. If this stays after a restart, copy the data directory away; `dantok check` says what in it is damaged; restore it from a backup", path.display())]
    Store {
        /// What was tried, as in "can't …".
        what: &'static str,
        /// sled's directory.
        path: PathBuf,
        /// What sled said.
        source: sled::Error,
    },
    /// The daemon stopped taking writes.
    #[error("stopped taking writes: {0}")]
    Failed(String),
    /// The linker took the C library's functions where the store brings its own.
    #[error(
        "sync_file_range and pread64 are not dantok's own in this build, so that a power cut or a read that fails could lose messages; rebuild dantok as its Cargo.toml says"
    )]
    NotInterposed,
}

impl Error {
    /// Whether only the operator can mend it, so that the next start would fail as well: who starts the daemon need not try again.
    pub fn is_for_the_operator(&self) -> bool {
        use io::ErrorKind;
        match self {
            // The file system is full, hangs or is not there yet: that may pass.
            Error::Io { source, .. } => matches!(
                source.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::InvalidInput
                    | ErrorKind::InvalidFilename
                    | ErrorKind::InvalidData
            ),
            Error::Unfinished { .. }
            | Error::NotEmpty { .. }
            | Error::Format { .. }
            | Error::Damaged { .. }
            | Error::NoStore { .. }
            | Error::NotInterposed => true,
            // Another daemon may end, a disk may be changed.
            Error::InUse { .. } | Error::Store { .. } | Error::Failed(_) => false,
        }
    }

    /// Makes an I/O error an error that names its file.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }

    /// Whether the same may succeed a moment later: the system could not do it. What is missing or damaged stays so.
    pub fn is_passing(&self) -> bool {
        let passes = |kind| !matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound);
        match self {
            Error::Io { source, .. } => passes(source.kind()),
            Error::Store { source: sled::Error::Io(source), .. } => passes(source.kind()),
            _ => false,
        }
    }

    /// Damage in a file.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Error {
        Error::Damaged { path: path.to_owned(), what: what.into() }
    }
}
