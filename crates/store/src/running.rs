//! Which data directories the running daemons of this machine use, as far as this process may know: for users who have named
//! another one by mistake.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::files::LOCK_FILE;

/// The running daemons.
#[derive(Debug, Default, PartialEq, Eq)]
struct Running {
    data_dirs: BTreeSet<PathBuf>,
    /// Whether there is a daemon of another user, whose files we may not list.
    is_hidden: bool,
}

impl Running {
    /// Finds daemons by the lock files that they hold open.
    fn find(proc: &Path) -> Running {
        let mut running = Running::default();
        for process in std::fs::read_dir(proc).into_iter().flatten().flatten() {
            let process = process.path();
            let Ok(files) = std::fs::read_dir(process.join("fd")) else {
                let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
                running.is_hidden |= name.trim_end() == "dantok";
                continue;
            };
            let files = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
            let locks = files.filter(|file| file.file_name().is_some_and(|name| name == LOCK_FILE));
            running.data_dirs.extend(locks.filter_map(|lock| lock.parent().map(Path::to_owned)));
        }
        running
    }
}

/// Says which data directory the user may have meant.
pub(crate) fn hint() -> String {
    let Running { data_dirs, is_hidden } = Running::find(Path::new("/proc"));
    let dirs: Vec<_> = data_dirs.iter().map(|dir| format!("--data-dir {}", dir.display())).collect();
    match (dirs.is_empty(), is_hidden) {
        (false, _) => format!("a daemon is running with {}", dirs.join(", another with ")),
        (true, true) => {
            "a daemon of another user is running: name its data directory with --data-dir, and run this as root"
                .to_owned()
        }
        (true, false) => "name the data directory with --data-dir".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn daemons_are_known_by_the_lock_that_they_hold() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, name, files) in [
            ("1", "init", &["/dev/null"][..]),
            ("20", "dantok", &["/srv/a/dantok.lock", "/srv/a/journal/1"]),
            ("21", "renamed", &["socket:[1]", "/srv/b/dantok.lock"]),
        ] {
            let dir = proc.path().join(pid);
            std::fs::create_dir_all(dir.join("fd")).unwrap();
            std::fs::write(dir.join("comm"), format!("{name}\n")).unwrap();
            for (number, file) in files.iter().enumerate() {
                symlink(file, dir.join("fd").join(number.to_string())).unwrap();
            }
        }
        let found = Running::find(proc.path());
        assert_eq!(found.data_dirs.into_iter().collect::<Vec<_>>(), [Path::new("/srv/a"), Path::new("/srv/b")]);
        assert!(!found.is_hidden);
        std::fs::remove_dir_all(proc.path().join("20/fd")).unwrap();
        assert!(Running::find(proc.path()).is_hidden);
    }
}
