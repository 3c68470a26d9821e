//! Errors that an operator reads. What a client is answered is a [`Refusal`](dantok_protocol::Refusal).

use std::io;
use std::path::{Path, PathBuf};

/// What can't be done where there is a tokens file and it is of no use.
pub(crate) const READ_TOKENS: &str = "read the tokens";

/// Why the daemon can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is no backup, or not as it was written.
    #[error("{}: no sound backup: {what}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        what: String,
    },
    /// What the operator has said can't be.
    #[error("{0}")]
    Setup(String),
    /// A command can't be carried out.
    #[error("{0}")]
    Command(String),
    /// The file of the tokens is none.
    #[error("{}, line {line}: {what}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The tokens' file is not there.
    #[error("{}: there is no such file{}: {why}", path.display(), if *is_link { " behind that link" } else { "" })]
    NoTokens {
        /// The file.
        path: PathBuf,
        /// Whether it is a link that leads nowhere.
        is_link: bool,
        /// Why that is not taken for "no tokens", and what to do.
        why: String,
    },
    /// Anybody could be anybody, from anywhere.
    #[error(
        "{address} can be reached from other machines, and there are no tokens: whoever connected could be any client. Make some with `dantok token issue NAME`, or say --open if that is meant"
    )]
    NotOpen {
        /// Where to listen.
        address: std::net::SocketAddr,
    },
    /// Something is wrong with what is stored, or another file.
    #[error(transparent)]
    Store(#[from] dantok_store::Error),
}

impl Error {
    /// Whether only the operator can mend it, so that the next start would fail as well: who starts the daemon need not try again.
    pub fn is_for_the_operator(&self) -> bool {
        match self {
            Error::Store(dantok_store::Error::Io { what: READ_TOKENS, .. }) => true,
            Error::Store(error) => error.is_for_the_operator(),
            Error::Setup(_) | Error::Tokens { .. } | Error::NoTokens { .. } | Error::NotOpen { .. } => true,
            Error::Backup { .. } | Error::Command(_) => false,
        }
    }

    /// Makes an I/O error an error that names its file.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| dantok_store::Error::io(what, path)(source).into()
    }

    /// Whether the same may succeed a moment later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Error::Store(error) if error.is_passing())
    }

    /// Damage in a file.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Error {
        dantok_store::Error::damaged(path, what).into()
    }
}
