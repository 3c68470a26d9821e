//! Errors of the store, as an operator reads them.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store can't be opened, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system reported an error.
    #[error("{}: can't {what}: {source}", path.display())]
    Io {
        /// What was tried, as in "can't …".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another daemon uses the data directory.
    #[error("{}: another dantok is running on this data directory; stop it, or give this one its own --data-dir", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// This is not a data directory.
    #[error("{}: not a data directory of dantok: it has no FORMAT file; {hint}", path.display())]
    NoStore {
        /// The path that was given.
        path: PathBuf,
        /// Which data directory may be meant.
        hint: String,
    },
    /// A restore into the data directory did not finish.
    #[error("{}: a restore into this directory was interrupted: run `dantok restore` again, or empty the directory", path.display())]
    Unfinished {
        /// The data directory.
        path: PathBuf,
    },
    /// A restore needs an empty directory.
    #[error("{}: not empty: {found} is in it; name an empty or missing directory with --data-dir, or move the contents of this one away", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The data directory has a format that this build does not know.
    #[error("{path}: the data directory has format {found:?}; this dantok knows formats up to {known}: use the version that wrote it, or go back to the copy in before-format-{0}, if there is one", found.escape_debug(), path = path.display())]
    Format {
        /// The `FORMAT` file.
        path: PathBuf,
        /// Its content.
        found: String,
        /// The newest format that this build knows.
        known: u32,
    },
    /// Stored bytes are not what was written.
    #[error("{}: damaged: {what}. Before anything else, copy the data directory to a safe place; `dantok check` lists the damage; restore from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// sled failed.
    #[error("{}: the store can't {what}: {source}. If the disk is full, make room. If the error persists after a restart, copy the data directory to a safe place; `dantok check` lists the damage; restore from a backup", path.display())]
    Store {
        /// What was tried, as in "can't …".
        what: &'static str,
        /// sled's directory.
        path: PathBuf,
        /// sled's error.
        source: sled::Error,
    },
    /// The store accepts no more writes.
    #[error("writes have stopped: {0}")]
    Failed(String),
    /// The linker took the C library's functions instead of the store's.
    #[error(
        "this build does not use dantok's own sync_file_range and pread64, so a power cut or a failed read could lose messages; rebuild dantok as its Cargo.toml says"
    )]
    NotInterposed,
}

impl Error {
    /// Whether only the operator can fix it, so that the next start would fail too: the service manager need not try again.
    pub fn is_for_the_operator(&self) -> bool {
        use io::ErrorKind;
        match self {
            // A file system that is full, hangs or is not mounted yet may recover.
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
            // Another daemon may end, a disk may be replaced.
            Error::InUse { .. } | Error::Store { .. } | Error::Failed(_) => false,
        }
    }

    /// Turns an I/O error into an error that names its file.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }

    /// Whether the same may succeed a moment later, because the system failed. What is missing or damaged stays so.
    pub fn is_passing(&self) -> bool {
        let passes = |kind| !matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound);
        match self {
            Error::Io { source, .. } => passes(source.kind()),
            Error::Store { source: sled::Error::Io(source), .. } => passes(source.kind()),
            _ => false,
        }
    }

    /// An error that reports damage in a file.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Error {
        Error::Damaged { path: path.to_owned(), what: what.into() }
    }
}
