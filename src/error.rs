//! Errors for the operator. A client gets a [`Refusal`](dantok_protocol::Refusal) instead.

use std::io;
use std::path::{Path, PathBuf};

/// The operation that fails if the tokens file exists but is not usable.
pub(crate) const READ_TOKENS: &str = "read the tokens";
/// The same for the file of hooks.
pub(crate) const READ_HOOKS: &str = "read the hooks";

/// Why the daemon can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not a backup, or has been changed since it was written.
    #[error("{}: not a valid backup: {what}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        what: String,
    },
    /// The operator's configuration can't work.
    #[error("{0}")]
    Setup(String),
    /// A command can't be carried out.
    #[error("{0}")]
    Command(String),
    /// A file of tokens or hooks is malformed.
    #[error("{}, line {line}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The tokens file is missing.
    #[error("{}: there is no such file{}: {why}", path.display(), if *is_link { " behind that link" } else { "" })]
    NoTokens {
        /// The file.
        path: PathBuf,
        /// Whether it is a link that leads nowhere.
        is_link: bool,
        /// Why this does not just mean "no tokens", and what to do.
        why: String,
    },
    /// Without tokens, anyone on the network could connect as any client.
    #[error(
        "{address} can be reached from other machines, and there are no tokens: anyone could connect as any client. Issue one with `dantok token issue NAME`, or allow this with --open"
    )]
    NotOpen {
        /// The address to listen on.
        address: std::net::SocketAddr,
    },
    /// An error of the store or of another file.
    #[error(transparent)]
    Store(#[from] dantok_store::Error),
}

impl Error {
    /// Whether only the operator can fix it. A restart would fail as well, so the service manager need not try.
    pub fn is_for_the_operator(&self) -> bool {
        match self {
            Error::Store(dantok_store::Error::Io { what: READ_TOKENS | READ_HOOKS, .. }) => true,
            Error::Store(error) => error.is_for_the_operator(),
            Error::Setup(_) | Error::Malformed { .. } | Error::NoTokens { .. } | Error::NotOpen { .. } => true,
            Error::Backup { .. } | Error::Command(_) => false,
        }
    }

    /// Makes an I/O error an error that names its file.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| dantok_store::Error::io(what, path)(source).into()
    }

    /// Whether a retry may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Error::Store(error) if error.is_passing())
    }

    /// Damage in a file.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Error {
        dantok_store::Error::damaged(path, what).into()
    }
}
