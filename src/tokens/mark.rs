//! Remembers that a store has tokens, by a small file in the data directory that names the tokens file. A tokens file that is lost or
//! mistyped must not let everybody in; see [`Tokens::of_store`](super::Tokens::of_store).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;
use dantok_store::replace::Target;

/// The name of that small file.
pub const FILE: &str = "TOKENS-WANTED";

/// The tokens file in a data directory, unless another is named.
pub const DEFAULT: &str = "tokens.toml";

/// The tokens file that was in use; none if there never was one.
///
/// # Errors
/// I/O errors.
pub fn read(data_dir: &Path) -> Result<Option<PathBuf>, Error> {
    let path = data_dir.join(FILE);
    match std::fs::read(&path) {
        // The name may be relative to the data directory, which can be moved.
        Ok(bytes) => Ok(Some(data_dir.join(String::from_utf8_lossy(&bytes).trim_end()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Remembers durably that a store has its tokens in this file.
///
/// # Errors
/// I/O errors.
pub fn set(data_dir: &Path, tokens: &Path) -> Result<(), Error> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (dir, tokens) = (absolute(data_dir), absolute(tokens));
    let shown = tokens.strip_prefix(&dir).unwrap_or(&tokens);
    if read(data_dir)?.is_some_and(|noted| noted == data_dir.join(shown)) {
        return Ok(());
    }
    let what = "note that there are tokens";
    Ok(Target::find(&data_dir.join(FILE), what)?.write(format!("{}\n", shown.display()).as_bytes(), what)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        std::fs::create_dir(&first).unwrap();
        assert_eq!(read(&first).unwrap(), None);
        set(&first, &first.join(DEFAULT)).unwrap();
        std::fs::rename(&first, &second).unwrap();
        assert_eq!(read(&second).unwrap(), Some(second.join(DEFAULT)));
        set(&second, Path::new("/etc/dantok/tokens.toml")).unwrap();
        assert_eq!(read(&second).unwrap(), Some("/etc/dantok/tokens.toml".into()));
    }
}
