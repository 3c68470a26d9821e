//! A command's side of the control socket.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use socket2::{Domain, Socket, Type};

use super::listen::{SOCKET_FILE, address};
use super::serve::serve;
use super::{CarryOut, Frame, Hello, Request, VERSION, Wire, Work};
use crate::committer::Committer;
use crate::error::Error;
use crate::limits::Limits;
use crate::rooms::Rooms;
use crate::settings::{Live, Settings};
use dantok_store::Store;

/// How long to wait for a daemon that is starting or stopping.
const BUSY_FOR: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// A connection to whatever has the data directory open: its daemon, or a thread of this process.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    socket: PathBuf,
    /// The other side's hello.
    pub hello: Hello,
    /// Whether the other side is a daemon.
    pub is_daemon: bool,
    thread: Option<JoinHandle<()>>,
}

/// Connects to the daemon of a data directory; where none runs, opens the directory and serves itself with `carry_out`.
///
/// # Errors
/// There is no data directory; its daemon can't be reached, or has another version; the store does not open.
pub fn connect(dir: &Path, limits: &Limits, carry_out: CarryOut) -> Result<Connection, Error> {
    let started = Instant::now();
    loop {
        if let Some(connection) = connect_unless_busy(dir, limits, carry_out)? {
            return Ok(connection);
        }
        // The daemon may be about to listen, or to exit.
        if started.elapsed() >= BUSY_FOR {
            return Err(Error::Command(format!(
                "{}: a dantok has this data directory and does not listen on {SOCKET_FILE}; its log says why. \
                 Once it is stopped this works without it",
                dir.display()
            )));
        }
        std::thread::sleep(BUSY_PAUSE);
    }
}

/// Tries to [`connect`] once. None if the directory is in use and nobody listens: by another command, or by a daemon that is starting or
/// stopping.
///
/// # Errors
/// As [`connect`].
pub fn connect_unless_busy(dir: &Path, limits: &Limits, carry_out: CarryOut) -> Result<Option<Connection>, Error> {
    let socket = dir.join(SOCKET_FILE);
    match try_connect(dir) {
        Ok(stream) => return Connection::handshake(stream, socket, true, None).map(Some),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Err(error) => return Err(Error::io("reach the daemon on its control socket", &socket)(error)),
    }
    match open(dir, limits, carry_out) {
        Ok((stream, thread)) => Connection::handshake(stream, socket, false, Some(thread)).map(Some),
        Err(Error::Store(dantok_store::Error::InUse { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn try_connect(dir: &Path) -> io::Result<UnixStream> {
    let (address, _opened) = address(dir)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect(&address)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

/// Opens the store, and serves it from a thread. Only as the directory's owner: opening writes files that the daemon must be able to use.
fn open(dir: &Path, limits: &Limits, carry_out: CarryOut) -> Result<(UnixStream, JoinHandle<()>), Error> {
    dantok_store::disk::expect_data_dir(dir)?;
    let owner = std::fs::metadata(dir).map_err(Error::io("look at", dir))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Error::Command(format!(
            "{}: belongs to the user with the number {owner}, and no daemon has it: run this as that user, like \
             `sudo -u '#{owner}' dantok …`, or start the daemon",
            dir.display()
        )));
    }
    let (store, writer, state) = Store::open(dir, &dantok_store::Options::default())?;
    let rooms = Arc::new(Rooms::new(state));
    // Only a daemon knows how long messages are kept, so nothing expires here.
    let retention = Duration::MAX;
    let settings = Arc::new(Live::new(Settings { retention, limits: limits.clone() }));
    let started = Committer::start(writer, store.clone(), rooms.clone(), settings, Arc::default());
    let (committer, committing) = started.map_err(Error::io("start a thread for", dir))?;
    let (ours, theirs) = UnixStream::pair().map_err(Error::io("make a socket for", dir))?;
    let path = dir.to_owned();
    let served = move || {
        let work = Work { dir: &path, store: &store, rooms: &rooms, committer: &committer, retention };
        // A broken connection means that the command has ended, which knows why.
        let _ = serve(&mut Wire::over(theirs), &work, carry_out);
        drop(committer);
        if store.failure().get().is_none() {
            let _ = committing.join();
            store.settle();
        }
    };
    let thread = dantok_supervise::thread("control", served);
    Ok((ours, thread.map_err(Error::io("start a thread for", dir))?))
}

impl Connection {
    fn handshake(
        stream: UnixStream,
        socket: PathBuf,
        is_daemon: bool,
        thread: Option<JoinHandle<()>>,
    ) -> Result<Connection, Error> {
        let mut wire = Wire::over(stream);
        let hello: Hello = match wire.receive() {
            Ok(Some(Frame { kind: b'H', bytes })) => serde_json::from_slice(&bytes)
                .map_err(|_| Error::Command(format!("{}: this is not dantok", socket.display())))?,
            Ok(Some(Frame { kind: b'E', bytes })) => {
                let what = String::from_utf8_lossy(&bytes);
                return Err(Error::Command(format!("{}: {what}", socket.display())));
            }
            Ok(_) => return Err(Error::Command(format!("{}: the daemon does not answer", socket.display()))),
            Err(error) => return Err(Error::io("receive from the daemon over its control socket", &socket)(error)),
        };
        let mine = Hello { control: VERSION, dantok: env!("CARGO_PKG_VERSION").to_owned(), ..Hello::default() };
        if hello.control != VERSION {
            return Err(Error::Command(format!(
                "{}: the daemon is dantok {} (control protocol {}), this is dantok {} ({VERSION}): use the one that \
                 the daemon is, or restart the daemon",
                socket.display(),
                hello.dantok,
                hello.control,
                mine.dantok
            )));
        }
        let mut connection = Connection { wire, socket, hello, is_daemon, thread };
        connection.send_json(b'H', &mine)?;
        Ok(connection)
    }

    fn lost(&self, error: &io::Error) -> Error {
        Error::Command(format!("{}: lost the connection to the daemon: {error}", self.socket.display()))
    }

    fn send_json<T: serde::Serialize>(&mut self, kind: u8, value: &T) -> Result<(), Error> {
        self.wire.send_json(kind, value).map_err(|error| self.lost(&error))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The daemon is gone.
    pub fn ask(&mut self, request: &Request) -> Result<(), Error> {
        self.send_json(b'R', request)
    }

    /// Sends data that belongs to a request.
    ///
    /// # Errors
    /// The daemon is gone.
    pub fn send(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Error> {
        self.wire.send(kind, bytes).map_err(|error| self.lost(&error))
    }

    /// The next frame of an answer.
    ///
    /// # Errors
    /// The daemon reports an error; the daemon is gone.
    pub fn receive(&mut self) -> Result<Frame, Error> {
        match self.wire.receive() {
            Ok(Some(Frame { kind: b'E', bytes })) => Err(Error::Command(String::from_utf8_lossy(&bytes).into_owned())),
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(Error::Command(format!("{}: the daemon has stopped", self.socket.display()))),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// It holds something else.
    pub fn json<T: DeserializeOwned>(&self, frame: &Frame) -> Result<T, Error> {
        frame.json().map_err(|error| self.lost(&error))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Without requests the thread ends, and closes the store.
        self.wire.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
