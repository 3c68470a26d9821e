//! Messages that are not known to be stored yet, in a file that outlives this process and outages of the daemon.
//!
//! Each server and client has an append-only file of JSON lines: a message with its id, and later that the id is done. Both are
//! synced before anything relies on them. So every message shown as waiting is sent, and a message that is done is not sent again
//! after the daemon has forgotten its id.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The file is emptied past this size, once nothing waits.
const EMPTY_AT_BYTES: u64 = 64 * 1024;

/// A message that waits to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The message id; the same however often it is sent.
    pub id: String,
    /// The room it is for.
    pub room: String,
    /// The text that was typed.
    pub text: String,
    /// When it was typed, in milliseconds since 1970 UTC.
    pub time_ms: u64,
    /// The seq of the message that it replies to.
    pub reply: Option<u64>,
    /// The epoch of that seq: the rooms' epoch when it was typed; `None` if unknown.
    pub epoch: Option<String>,
}

/// An outbox file, locked by this process.
#[derive(Debug)]
pub struct Outbox {
    file: File,
    path: PathBuf,
    length: u64,
    waiting: Vec<Waiting>,
    /// Unique to this process, so that prefix and count make a message id.
    prefix: u64,
    count: u64,
    /// A write failed and could not be undone: the file's contents are unknown.
    broken: bool,
}

/// The default directory for outboxes: `$XDG_STATE_HOME/dantok` or `~/.local/state/dantok`.
pub fn default_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state"))).map(|dir| dir.join("dantok"))
}

/// A name in a form that is safe as a file name.
fn file_name(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F").replace('.', "%2E")
}

fn error(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", path.display()))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a directory and its parents, durably and readable only by this user.
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_dir(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_dir(parent)
}

/// A line of the file.
enum Line {
    Message(Waiting),
    Done(String),
}

fn parse(line: &[u8]) -> Option<Line> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(id) = text("done") {
        return Some(Line::Done(id));
    }
    let time_ms = value.get("time_ms")?.as_u64()?;
    // Only replies have this field, and lines of older versions have neither this nor an epoch.
    let reply = match value.get("reply") {
        Some(reply) => Some(reply.as_u64()?),
        None => None,
    };
    Some(Line::Message(Waiting {
        id: text("id")?,
        room: text("room")?,
        text: text("text")?,
        time_ms,
        reply,
        epoch: text("epoch"),
    }))
}

impl Outbox {
    /// Opens and locks a client's outbox for a server. An incomplete last line is cut off: it was never shown as waiting.
    ///
    /// # Errors
    /// Another process has locked it; it is damaged; or an I/O error.
    pub fn open(dir: &Path, server: &str, client: &str) -> io::Result<Outbox> {
        let dir = dir.join(file_name(server));
        make_dir(&dir).map_err(|source| error(&dir, &source.to_string()))?;
        let path = dir.join(format!("{}.outbox", file_name(client)));
        Outbox::open_file(path.clone()).map_err(|source| error(&path, &source.to_string()))
    }

    fn open_file(path: PathBuf) -> io::Result<Outbox> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other(
                    "another chat is already running as this client; use a name with a device (NAME/DEVICE), or another --outbox",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (waiting, length) = read(&bytes).ok_or_else(|| {
            io::Error::other(
                "it is damaged before its end; to continue, move it away. Its text shows which messages still wait",
            )
        })?;
        // Empties the file if nothing waits, so that the next start has nothing to read.
        let length = if waiting.is_empty() { 0 } else { length as u64 };
        if length < bytes.len() as u64 {
            file.set_len(length)?;
        }
        // The previous process may have written without syncing.
        file.sync_all()?;
        let prefix = getrandom::u64().map_err(io::Error::other)?;
        Ok(Outbox { file, path, length, waiting, prefix, count: 0, broken: false })
    }

    /// The waiting messages, in the order in which they were typed.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Adds a message. It is on disk when this returns.
    ///
    /// # Errors
    /// An I/O error; the message is not kept then.
    pub fn keep(
        &mut self,
        room: &str,
        text: &str,
        reply: Option<u64>,
        epoch: Option<String>,
        time_ms: u64,
    ) -> io::Result<Waiting> {
        let id = format!("o-{:016x}-{}", self.prefix, self.count);
        self.count += 1;
        let waiting = Waiting { id, room: room.to_owned(), text: text.to_owned(), time_ms, reply, epoch };
        let Waiting { id, room, text, time_ms, epoch, .. } = &waiting;
        let mut line = json!({ "id": id, "room": room, "text": text, "time_ms": time_ms });
        if let Some(line) = line.as_object_mut() {
            line.extend(reply.map(|reply| ("reply".to_owned(), reply.into())));
            line.extend(epoch.as_deref().map(|epoch| ("epoch".to_owned(), epoch.into())));
        }
        self.append(&[line])?;
        self.waiting.push(waiting.clone());
        Ok(waiting)
    }

    /// Removes messages that are stored, or were refused for good.
    ///
    /// # Errors
    /// An I/O error; the next process then sends them again under the same ids.
    pub fn done(&mut self, ids: &[String]) -> io::Result<()> {
        self.waiting.retain(|waiting| !ids.contains(&waiting.id));
        if self.waiting.is_empty() && self.length > EMPTY_AT_BYTES && !self.broken {
            self.file.set_len(0)?;
            self.length = 0;
            return self.file.sync_data();
        }
        self.append(&ids.iter().map(|id| json!({ "done": id })).collect::<Vec<_>>())
    }

    fn append(&mut self, values: &[Value]) -> io::Result<()> {
        if self.broken {
            return Err(error(&self.path, "an earlier write failed; restart the program"));
        }
        let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += lines.len() as u64,
            Err(source) => {
                // The caller is told that this failed, so the next process must not send it.
                let back = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
                self.broken = back.and_then(|()| self.file.seek(SeekFrom::End(0))).is_err();
                return Err(error(&self.path, &source.to_string()));
            }
        }
        Ok(())
    }
}

/// The waiting messages in a file's bytes, and how many of the bytes are valid lines; `None` if valid lines follow an invalid one.
fn read(bytes: &[u8]) -> Option<(Vec<Waiting>, usize)> {
    let (mut waiting, mut whole, mut torn) = (Vec::<Waiting>::new(), 0, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n").and_then(parse) {
            Some(_) if torn => return None,
            Some(Line::Message(message)) => waiting.push(message),
            Some(Line::Done(id)) => waiting.retain(|waiting| waiting.id != id),
            None => torn = true,
        }
        if !torn {
            whole += line.len();
        }
    }
    Some((waiting, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(outbox: &Outbox) -> Vec<&str> {
        outbox.waiting().iter().map(|waiting| &*waiting.text).collect()
    }

    #[test]
    fn what_waits_is_there_after_a_restart_with_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Outbox::open(&dir.path().join("a/b"), "host:7420", "alice/phone");
        let mut outbox = open().unwrap();
        let first = outbox.keep("단톡", "안녕\n\"하세요\"", None, None, 1).unwrap();
        let second = outbox.keep("lobby", "second", Some(41), Some("4bf3c9a0d2e71586".into()), 2).unwrap();
        assert_ne!(first.id, second.id);
        assert!(open().unwrap_err().to_string().contains("another chat"));
        drop(outbox);
        let mut outbox = open().unwrap();
        assert_eq!(outbox.waiting(), [first.clone(), second.clone()]);
        outbox.done(std::slice::from_ref(&first.id)).unwrap();
        let third = outbox.keep("lobby", "third", None, None, 3).unwrap();
        assert!(third.id != first.id && third.id != second.id);
        drop(outbox);
        let mut outbox = open().unwrap();
        assert_eq!(outbox.waiting(), [second.clone(), third.clone()]);
        outbox.done(&[second.id, third.id]).unwrap();
        drop(outbox);
        assert_eq!(open().unwrap().waiting(), []);
        assert!(Outbox::open(&dir.path().join("a/b"), "host:7420", "alice").is_ok());
    }

    #[test]
    fn a_torn_last_line_is_cut_wherever_it_was_torn() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path(), "s", "c").unwrap();
        outbox.keep("r", "one", None, None, 1).unwrap();
        let whole = outbox.length as usize;
        outbox.keep("r", "둘", None, None, 2).unwrap();
        let path = outbox.path.clone();
        drop(outbox);
        let bytes = fs::read(&path).unwrap();
        for end in whole..bytes.len() {
            for tail in [&b""[..], &[0; 7]] {
                fs::write(&path, [&bytes[..end], tail].concat()).unwrap();
                let mut outbox = Outbox::open(dir.path(), "s", "c").unwrap();
                assert_eq!(texts(&outbox), ["one"], "{end}");
                outbox.keep("r", "three", None, None, 3).unwrap();
                drop(outbox);
                assert_eq!(texts(&Outbox::open(dir.path(), "s", "c").unwrap()), ["one", "three"], "{end}");
            }
        }
        fs::write(&path, [b"{\"id\":\n", &bytes[..]].concat()).unwrap();
        assert!(Outbox::open(dir.path(), "s", "c").unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn a_file_from_before_there_were_replies_is_read() {
        let old = br#"{"id":"o-1","room":"lobby","text":"x","time_ms":1}"#;
        let new = br#"{"id":"o-1","room":"lobby","text":"x","time_ms":1,"reply":7}"#;
        for (line, answers) in [(&old[..], None), (new, Some(7))] {
            let (waiting, _) = read(&[line, b"\n"].concat()).unwrap();
            assert_eq!((waiting.len(), waiting[0].reply), (1, answers));
        }
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path(), "s", "c").unwrap();
        for n in 0..100 {
            let waiting = outbox.keep("r", &"x".repeat(4000), None, None, n).unwrap();
            outbox.done(&[waiting.id]).unwrap();
        }
        assert!(fs::metadata(&outbox.path).unwrap().len() < 2 * EMPTY_AT_BYTES);
        outbox.keep("r", "still", None, None, 1).unwrap();
        drop(outbox);
        assert_eq!(texts(&Outbox::open(dir.path(), "s", "c").unwrap()), ["still"]);
    }
}
