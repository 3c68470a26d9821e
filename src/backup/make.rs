//! `dantok backup`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, RenameFlags};

use super::chain::{self, PREFIX, SUFFIX};
use super::cut::Head;
use super::file::{Hash, Header, Reader, Writer, short};
use super::item;
use super::outside::{is_outside, outside};
use crate::config::Config;
use crate::control::{self, CarryOut, Connection, Request};
use crate::error::Error;
use crate::progress::Progress;
use dantok_store::disk::expect_data_dir;
use dantok_store::files::sync_dir;
use dantok_store::replace::above;

/// What the name of a backup's file ends with until the backup is complete.
const PARTIAL: &str = ".partial";

/// The result of writing a backup.
struct Written {
    hash: Hash,
    messages: u64,
    bytes: u64,
}

/// Makes a backup as a file in this directory, or on standard output for `-`. An incremental one has only messages that follow the newest
/// backup there.
///
/// # Errors
/// What went wrong, for whoever typed the command; then no backup was made.
pub fn run(config: &Config, carry_out: CarryOut, to: &Path, is_incremental: bool) -> Result<(), Error> {
    match (to.as_os_str() == "-", is_incremental) {
        (true, true) => {
            Err(Error::Command("--incremental needs a directory with the backup that it builds on".to_owned()))
        }
        (true, false) => to_pipe(config, carry_out),
        (false, _) => to_dir(config, carry_out, to, is_incremental),
    }
}

fn to_pipe(config: &Config, carry_out: CarryOut) -> Result<(), Error> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(Error::Command(
            "a backup can't be written to a terminal: redirect it to a file, or name a directory".into(),
        ));
    }
    let path = Path::new("standard output");
    let out = stdout.as_fd().try_clone_to_owned().map(File::from).map_err(Error::io("write to", path))?;
    is_outside(&out, &config.data_dir)?;
    let mut connection = control::connect(&config.data_dir, &config.limits, carry_out)?;
    connection.ask(&Request::Backup { after: Default::default(), base: None })?;
    let head = head(&mut connection)?;
    let header = header(&connection, &head, None);
    let (written, _) = write(&mut connection, &head, &header, out, path)?;
    eprintln!(
        "backup {}: rooms: {}, messages: {}, bytes: {}",
        short(&written.hash),
        head.rooms,
        written.messages,
        written.bytes
    );
    warn_of_secrets(config, &head);
    Ok(())
}

fn head(connection: &mut Connection) -> Result<Head, Error> {
    let frame = connection.receive()?;
    connection.json(&frame)
}

fn header(connection: &Connection, head: &Head, base: Option<Hash>) -> Header {
    Header {
        epoch: connection.hello.epoch.clone(),
        dantok: env!("CARGO_PKG_VERSION").to_owned(),
        time_ms: head.time_ms,
        kept_ms: head.kept_ms,
        base,
        mark: head.mark,
        marks: head.marks.clone(),
    }
}

/// Writes what the daemon sends.
fn write<W: Write>(
    connection: &mut Connection,
    head: &Head,
    header: &Header,
    out: W,
    path: &Path,
) -> Result<(Written, W), Error> {
    let failed = || Error::io("write the backup", path);
    let mut progress = Progress::default();
    let mut writer = Writer::new(out, header).map_err(failed())?;
    let mut messages = 0;
    loop {
        let frame = connection.receive()?;
        if frame.kind == b'Z' {
            break;
        }
        messages += item::count_messages(&frame.bytes);
        writer.block(&frame.bytes).map_err(failed())?;
        progress.tell(|| format!("backing up: {messages} of {} messages", head.messages));
    }
    let (hash, bytes, out) = writer.finish(messages).map_err(failed())?;
    Ok((Written { hash, messages, bytes }, out))
}

fn to_dir(config: &Config, carry_out: CarryOut, dir: &Path, is_incremental: bool) -> Result<(), Error> {
    // Before anything is created. A daemon that listens there knows its data directory itself.
    if !config.data_dir.join(control::SOCKET_FILE).exists() {
        expect_data_dir(&config.data_dir)?;
    }
    outside(dir, Some(&config.data_dir))?;
    make_dir(dir)?;
    let lock = File::open(dir).map_err(Error::io("open the directory", dir))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Command(format!("{}: another backup is being made there", dir.display())));
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock the directory", dir)(error)),
    }
    remove_partial(dir)?;
    let mut connection = control::connect(&config.data_dir, &config.limits, carry_out)?;
    let base = if is_incremental { base(config, dir, &connection)? } else { None };
    let after = base.as_ref().map(|(_, survey)| survey.lasts()).unwrap_or_default();
    let base = base.map(|(found, _)| found);
    connection.ask(&Request::Backup { after, base: base.as_ref().and_then(|found| found.header.mark) })?;
    let base = base.map(|found| found.hash);
    let head = head(&mut connection)?;
    let path = dir.join(name(head.time_ms, base.is_some()));
    let partial = Partial::create(&path)?;
    let header = header(&connection, &head, base);
    let (written, file) = write(&mut connection, &head, &header, partial.file()?, &partial.path)?;
    // If the store was opened for this command, close it now, so that nobody has to wait for the rest.
    drop(connection);
    partial.finish(&file, &written, &path)?;
    lock.sync_all().map_err(Error::io("sync the directory", dir))?;
    println!("{}: rooms: {}, messages: {}, bytes: {}", path.display(), head.rooms, written.messages, written.bytes);
    warn_of_secrets(config, &head);
    Ok(())
}

/// Creates the directory if it is missing, and makes its name durable, because a lost directory loses the backups in it.
fn make_dir(dir: &Path) -> Result<(), Error> {
    let above = above(dir);
    match std::fs::create_dir(dir) {
        Ok(()) => Ok(sync_dir(above)?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A backup that was killed may have created it just now. A directory created by others may be where we may not sync.
            let _ = sync_dir(above);
            Ok(())
        }
        Err(error) => Err(Error::io("create the directory", dir)(error)),
    }
}

/// What an incremental backup builds on; if there is nothing, it becomes a full one.
fn base(
    config: &Config,
    dir: &Path,
    connection: &Connection,
) -> Result<Option<(chain::Found, super::survey::Survey)>, Error> {
    let mut progress = Progress::default();
    let mut tell = |path: &Path, messages: u64| {
        progress.tell(|| format!("reading {}: {messages} messages", path.display()));
    };
    let mut complain = |error: &Error| eprintln!("\rdantok: {error}; skipped");
    let bases = chain::bases(dir, &connection.hello.epoch, &connection.hello.marks, &mut complain)?;
    let found = bases.newest_sound(&mut tell, &mut complain);
    progress.clear();
    if let Some(stray) = bases.strays.last() {
        eprintln!(
            "dantok: {}: this backup is not from the history of {data}, which was set back to a copy from before that backup or is \
            such a copy, so no new backup can build on it. Clients that remember seqs from then need to know: stop the daemon, run \
            `dantok epoch --renew --data-dir {data}`, and start it again",
            stray.path.display(),
            data = config.data_dir.display()
        );
    }
    if found.is_none() {
        eprintln!(
            "dantok: {}: no valid backup here is known to be of an earlier state of this store; this is a full one",
            dir.display()
        );
    }
    Ok(found)
}

/// A file name with the time of the cut, to the millisecond.
fn name(time_ms: u64, is_incremental: bool) -> String {
    let time: String = dantok_protocol::line::time(time_ms).to_string();
    let time: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{PREFIX}{time}-{}{SUFFIX}", if is_incremental { "incremental" } else { "full" })
}

/// Removes what killed backups have left. The lock on the directory keeps others from writing here.
fn remove_partial(dir: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))? {
        let entry = entry.map_err(Error::io("list the directory", dir))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(PARTIAL)) {
            std::fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// The file of a backup that is not complete yet; removed when dropped.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: File,
    is_done: bool,
}

impl Partial {
    fn create(path: &Path) -> Result<Partial, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(PARTIAL);
        let path = PathBuf::from(name);
        // It contains what people have written to each other.
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = created.map_err(Error::io("create", &path))?;
        Ok(Partial { path, file, is_done: false })
    }

    fn file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(Error::io("write", &self.path))
    }

    /// Makes the file durable, reads all of it back, and gives it its final name.
    fn finish(mut self, file: &File, written: &Written, path: &Path) -> Result<(), Error> {
        file.sync_all().map_err(Error::io("sync", &self.path))?;
        // Read back from the disk: drop it from the page cache. The kernel may keep it there all the same.
        let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
        let mut progress = Progress::default();
        let mut reader = Reader::open(&self.path)?;
        while reader.block()?.is_some() {
            progress.tell(|| format!("reading it back: {} of {} bytes", reader.at(), written.bytes));
        }
        progress.clear();
        if reader.end().is_none_or(|end| end.hash != written.hash) {
            let what = "what was read back is not what was written".to_owned();
            return Err(Error::Backup { path: self.path.clone(), what });
        }
        let (from, to) = (&self.path, path);
        rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE)
            .or_else(|errno| match errno {
                // Not every file system supports this. No file has this name, because it was made in this millisecond.
                rustix::io::Errno::INVAL => rustix::fs::rename(from, to),
                errno => Err(errno),
            })
            .map_err(|errno| Error::io("rename", from)(errno.into()))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_done {
            // The next backup removes what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn warn_of_secrets(config: &Config, head: &Head) {
    let tokens = config.tokens_path();
    if head.hooks {
        eprintln!("dantok: the backup contains hooks.toml with the hooks' hashes and GitHub secrets: keep it secret");
    }
    if head.tokens {
        eprintln!("dantok: the backup contains tokens.toml with the tokens' hashes: keep it secret");
    } else if tokens.exists() && tokens.parent() != Some(&config.data_dir) {
        eprintln!(
            "dantok: the backup does not contain {}, because that is not in the data directory",
            tokens.display()
        );
    }
}
