//! Files that are replaced atomically: a reader sees the old contents or the new, never a mixture.
//!
//! Commands do this as root in directories of the daemon's user, who must not be able to make root write elsewhere by a link. So
//! the new file has a random name, under which nobody can have put a link; and a link that leads to the file is followed only if
//! whoever made it could have written there without it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;

use crate::error::Error;

/// As many links as the system follows.
const LINKS_MAX: usize = 40;
/// How many random names to try: none is taken by chance twice.
const NAMES_TRIED: usize = 4;

/// A file that may not exist yet, with all links resolved, in a directory that is held open.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    dir: File,
    name: OsString,
}

impl Target {
    /// Resolves a path. `what` is to be done to the file, as in "can't …".
    ///
    /// # Errors
    /// The directory does not exist; I/O errors; a link that must not be followed; not a regular file.
    pub fn find(path: &Path, what: &'static str) -> Result<Target, Error> {
        let mut dir = open_dir(rustix::fs::CWD, above(path)).map_err(failed(what, above(path)))?;
        let (mut at, mut makers) = (path.to_owned(), Vec::new());
        for _ in 0..LINKS_MAX {
            let name = at.file_name().ok_or_else(|| refused(what, &at, "it is not a file name"))?.to_owned();
            let found = stat(&dir, &name).map_err(failed(what, &at))?;
            match found.as_ref().map(kind) {
                None | Some(FileType::RegularFile) => {
                    let place = Target { path: at, dir, name };
                    place.expect_makers(&makers, what)?;
                    return Ok(place);
                }
                Some(FileType::Symlink) => {}
                Some(_) => return Err(refused(what, &at, "it is not a regular file")),
            }
            let to = rustix::fs::readlinkat(&dir, &name, Vec::new()).map_err(failed(what, &at))?;
            let to = PathBuf::from(OsString::from_vec(to.into_bytes()));
            let beside = above(&at).join(above(&to));
            dir = open_dir(&dir, above(&to)).map_err(failed(what, &beside))?;
            makers.extend(found.map(|found| (at, found.st_uid)));
            at = beside.join(to.file_name().ok_or_else(|| refused(what, path, "it does not lead to a regular file"))?);
        }
        Err(refused(what, path, "its links form a circle"))
    }

    /// Refuses links whose makers could not have written there without them.
    fn expect_makers(&self, makers: &[(PathBuf, u32)], what: &'static str) -> Result<(), Error> {
        let owner = rustix::fs::fstat(&self.dir).map_err(failed(what, above(&self.path)))?.st_uid;
        let trusted = [0, rustix::process::geteuid().as_raw(), owner];
        match makers.iter().find(|(_, maker)| !trusted.contains(maker)) {
            None => Ok(()),
            Some((link, maker)) => Err(refused(
                what,
                link,
                &format!(
                    "it is a link to {} made by user {maker}, who does not own the directory there; remove it, or create it \
                     yourself",
                    self.path.display()
                ),
            )),
        }
    }

    /// The path, with all links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps others from changing the file while this exists.
    ///
    /// # Errors
    /// I/O errors.
    pub fn lock(&self) -> Result<(), Error> {
        let dir = above(&self.path);
        self.dir.lock().map_err(Error::io("lock the directory", dir))
    }

    /// Opens the file; none if it does not exist.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open(&self) -> io::Result<Option<File>> {
        let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.dir, &self.name, how, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Replaces the file's contents, durably. The owner and permissions stay; a new file is only for the owner of its directory.
    ///
    /// # Errors
    /// I/O errors, after which the file is as it was.
    pub fn write(&self, contents: &[u8], what: &'static str) -> Result<(), Error> {
        let dir = above(&self.path);
        let old = stat(&self.dir, &self.name).map_err(failed(what, &self.path))?;
        let new = New::create(&self.dir).map_err(Error::io(what, dir))?;
        self.give(&new.file, old.as_ref(), what)?;
        (&new.file).write_all(contents).and_then(|()| new.file.sync_all()).map_err(Error::io(what, &self.path))?;
        new.name(&self.name).map_err(|errno| match errno {
            Errno::BUSY => refused(what, &self.path, "it is a mount of its own; mount its directory instead"),
            errno => failed(what, &self.path)(errno),
        })?;
        self.dir.sync_all().map_err(Error::io("sync the directory", dir))
    }

    /// Gives the new file the owner and permissions of the old one.
    fn give(&self, new: &File, old: Option<&Stat>, what: &'static str) -> Result<(), Error> {
        use std::os::unix::fs::{MetadataExt, fchown};
        let made = new.metadata().map_err(Error::io(what, &self.path))?;
        let Some(old) = old.filter(|old| kind(old) == FileType::RegularFile) else {
            // Whoever creates it, the daemon must be able to read it.
            if let Ok(of_dir) = self.dir.metadata() {
                let _ = fchown(new, Some(of_dir.uid()), Some(of_dir.gid()));
            }
            return Ok(());
        };
        if (made.uid(), made.gid()) != (old.st_uid, old.st_gid) {
            fchown(new, Some(old.st_uid), Some(old.st_gid)).map_err(|_| {
                let who = format!("it belongs to user {} and group {}; run this as root", old.st_uid, old.st_gid);
                refused(what, &self.path, &who)
            })?;
        }
        let mode = Mode::from_raw_mode(old.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
        rustix::fs::fchmod(new, mode).map_err(failed(what, &self.path))
    }
}

/// A file under a temporary name; removed when it is dropped before it gets another.
struct New<'a> {
    dir: &'a File,
    file: File,
    name: Option<OsString>,
}

impl New<'_> {
    fn create(dir: &File) -> io::Result<New<'_>> {
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..NAMES_TRIED {
            let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
            let name = OsString::from(format!(".dantok-{random:016x}"));
            match rustix::fs::openat(dir, &name, how, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(New { dir, file: file.into(), name: Some(name) }),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn name(mut self, name: &OsStr) -> Result<(), Errno> {
        if let Some(own) = &self.name {
            rustix::fs::renameat(self.dir, own, self.dir, name)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Its name is hidden, and nobody reads it.
            let _ = rustix::fs::unlinkat(self.dir, name, AtFlags::empty());
        }
    }
}

/// The directory that a path is in.
pub fn above(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open_dir(from: impl std::os::fd::AsFd, path: &Path) -> Result<File, Errno> {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(from, path, how, Mode::empty()).map(File::from)
}

/// None if nothing has this name.
fn stat(dir: &File, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode as RawMode)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> Error {
    let named = Error::io(what, path);
    move |errno| named(errno.into())
}

fn refused(what: &'static str, path: &Path, why: &str) -> Error {
    Error::io(what, path)(io::Error::other(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), Error> {
        Target::find(path, "write")?.write(text.as_bytes(), "write")
    }

    fn names(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("a")).unwrap();
        std::fs::create_dir(at("b")).unwrap();
        for name in ["a/file.new", "b/file.new", "b/.file.tmp"] {
            std::fs::write(at(name), "somebody's").unwrap();
        }
        std::fs::write(at("b/file"), "old").unwrap();
        std::fs::set_permissions(at("b/file"), std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("../b/link", at("a/file")).unwrap();
        symlink(at("b/file"), at("b/link")).unwrap();
        write(&at("a/file"), "new").unwrap();
        assert!(at("a/file").is_symlink() && at("b/link").is_symlink());
        assert_eq!(std::fs::read_to_string(at("b/file")).unwrap(), "new");
        assert_eq!(std::fs::metadata(at("b/file")).unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(&at("a")), ["file", "file.new"]);
        assert_eq!(names(&at("b")), [".file.tmp", "file", "file.new", "link"]);
        assert_eq!(std::fs::read_to_string(at("b/file.new")).unwrap(), "somebody's");
    }

    #[test]
    fn a_link_to_what_is_missing_makes_it_and_what_leads_nowhere_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("missing", at("dangling")).unwrap();
        write(&at("dangling"), "made").unwrap();
        assert_eq!(std::fs::read_to_string(at("missing")).unwrap(), "made");
        assert_eq!(std::fs::metadata(at("missing")).unwrap().mode() & 0o777, 0o600);
        symlink("no/where", at("nowhere")).unwrap();
        symlink("loop", at("loop")).unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        symlink("dir", at("to-dir")).unwrap();
        symlink("..", at("up")).unwrap();
        symlink("/dev/null", at("null")).unwrap();
        for (name, printed) in [
            ("nowhere", "No such file"),
            ("loop", "form a circle"),
            ("dir", "not a regular file"),
            ("to-dir", "not a regular file"),
            ("up", "not lead to a regular file"),
            ("null", "not a regular file"),
            ("no/file", "No such file"),
        ] {
            let error = write(&at(name), "x").unwrap_err().to_string();
            assert!(error.contains(printed), "{name}: {error}");
        }
        assert_eq!(names(dir.path()), ["dangling", "dir", "loop", "missing", "nowhere", "null", "to-dir", "up"]);
    }

    #[test]
    fn a_link_is_only_followed_where_its_maker_could_have_written() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root gives files away.
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (daemon, other) = (54_321, 54_322);
        for (name, owner) in [("his", daemon), ("others", other), ("roots", 0)] {
            std::fs::create_dir(at(name)).unwrap();
            std::os::unix::fs::chown(at(name), Some(owner), Some(owner)).unwrap();
            std::fs::write(at(name).join("file"), "old").unwrap();
        }
        for (target, maker, follows) in [
            ("roots", daemon, false),
            ("others", daemon, false),
            ("his", daemon, true),
            ("roots", 0, true),
            ("others", 0, true),
            ("roots", other, false),
        ] {
            let link = at("his/link");
            symlink(at(target).join("file"), &link).unwrap();
            std::os::unix::fs::lchown(&link, Some(maker), Some(maker)).unwrap();
            let written = write(&link, "new");
            assert_eq!(written.is_ok(), follows, "{target} {maker}: {written:?}");
            let text = std::fs::read_to_string(at(target).join("file")).unwrap();
            assert_eq!(text, if follows { "new" } else { "old" }, "{target} {maker}");
            std::fs::write(at(target).join("file"), "old").unwrap();
            std::fs::remove_file(link).unwrap();
        }
        // The one who may read it goes on reading it.
        std::os::unix::fs::chown(at("roots/file"), Some(daemon), Some(other)).unwrap();
        write(&at("roots/file"), "new").unwrap();
        let kept = std::fs::metadata(at("roots/file")).unwrap();
        assert_eq!((kept.uid(), kept.gid()), (daemon, other));
        // A new one is its directory's.
        write(&at("his/new"), "new").unwrap();
        assert_eq!(std::fs::metadata(at("his/new")).unwrap().uid(), daemon);
    }
}
