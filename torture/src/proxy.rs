//! A proxy between the load and the daemon that behaves like a bad network.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Nothing.
    Whole,
    /// Cut after this many bytes to the daemon, by a reset or an end of stream.
    CutUp(usize, bool),
    /// Cut after this many bytes from the daemon, usually in the middle of a line.
    CutDown(usize, bool),
    /// Answers are lost after this many bytes; requests still arrive for a while.
    Deaf(usize),
    /// One byte at a time in both directions.
    Bytes,
    /// After this many bytes the client's side stops reading for a while.
    Stalls(usize),
    /// After this many bytes the client is gone, without the daemon being told.
    HalfOpen(usize),
}

impl Fate {
    fn random(random: &mut fastrand::Rng) -> Fate {
        let most = [100, 2_000, 60_000][random.usize(..3)];
        let bytes = random.usize(1..most);
        match random.u8(..9) {
            0 => Fate::Whole,
            1 | 2 => Fate::CutUp(bytes, random.bool()),
            3 | 4 => Fate::CutDown(bytes, random.bool()),
            5 | 6 => Fate::Deaf(bytes),
            7 if random.bool() => Fate::Bytes,
            7 => Fate::Stalls(bytes),
            _ => Fate::HalfOpen(bytes),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Fate::Whole => "connections left alone",
            Fate::CutUp(_, true) => "connections reset while sending",
            Fate::CutUp(_, false) => "connections ended while sending",
            Fate::CutDown(_, true) => "connections reset while receiving",
            Fate::CutDown(_, false) => "connections ended while receiving",
            Fate::Deaf(_) => "connections whose answers were lost",
            Fate::Bytes => "connections served one byte at a time",
            Fate::Stalls(_) => "connections whose reader paused",
            Fate::HalfOpen(_) => "connections left half open",
        }
    }
}

/// The network.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Where the daemon is.
    to: Mutex<Option<SocketAddr>>,
    fates: Mutex<BTreeMap<&'static str, u64>>,
    /// Sockets to the daemon whose clients are gone.
    half_open: Mutex<Vec<TcpStream>>,
}

const TICK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Listens on a free port.
    pub fn start(mut random: fastrand::Rng) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            while !of_thread.stop.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let to = *of_thread.to.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(daemon) = to.and_then(|to| TcpStream::connect(to).ok()) else { continue };
                let fate = Fate::random(&mut random);
                *of_thread.fates.lock().unwrap_or_else(PoisonError::into_inner).entry(fate.name()).or_default() += 1;
                let shared = of_thread.clone();
                connections.push(std::thread::spawn(move || {
                    // Errors here are intended.
                    let _ = carry(client, daemon, fate, &shared);
                }));
            }
            for connection in connections {
                let _ = connection.join();
            }
        });
        Ok(Proxy { address, shared, thread: Some(thread) })
    }

    /// The address that the load connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the daemon is.
    pub fn lead_to(&self, daemon: SocketAddr) {
        *self.shared.to.lock().unwrap_or_else(PoisonError::into_inner) = Some(daemon);
    }

    /// What happened to connections, and how often.
    pub fn fates(&self) -> BTreeMap<&'static str, u64> {
        self.shared.fates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry(client: TcpStream, daemon: TcpStream, fate: Fate, shared: &Shared) -> io::Result<()> {
    for stream in [&client, &daemon] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    }
    let (up_from, up_to) = (client.try_clone()?, daemon.try_clone()?);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let limit = match fate {
                Fate::CutUp(bytes, _) | Fate::HalfOpen(bytes) => bytes,
                _ => usize::MAX,
            };
            let cut = pass(&up_from, &up_to, limit, matches!(fate, Fate::Bytes), shared, &ended);
            if cut || !matches!(fate, Fate::Deaf(_)) {
                ended.store(true, Ordering::Relaxed);
            }
        });
        let limit = match fate {
            Fate::CutDown(bytes, _) | Fate::Deaf(bytes) | Fate::Stalls(bytes) => bytes,
            _ => usize::MAX,
        };
        let cut = pass(&daemon, &client, limit, matches!(fate, Fate::Bytes), shared, &ended);
        match fate {
            // Reads what the daemon sends and discards it.
            Fate::Deaf(_) if cut => swallow(&daemon, Duration::from_millis(30), &ended),
            Fate::Stalls(_) if cut => {
                std::thread::sleep(Duration::from_millis(200));
                pass(&daemon, &client, usize::MAX, false, shared, &ended);
            }
            _ => {}
        }
        ended.store(true, Ordering::Relaxed);
    });
    match fate {
        Fate::HalfOpen(_) => {
            shared.half_open.lock().unwrap_or_else(PoisonError::into_inner).push(daemon);
        }
        Fate::CutUp(_, true) | Fate::CutDown(_, true) => {
            // Closing without lingering sends a reset.
            for stream in [&client, &daemon] {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            }
        }
        _ => {
            let _ = daemon.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// Forwards bytes until the limit is reached (true), the stream ends, or the other direction has ended.
fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    most: usize,
    single: bool,
    shared: &Shared,
    ended: &AtomicBool,
) -> bool {
    let mut passed = 0;
    let mut piece = [0; 16 * 1024];
    while !ended.load(Ordering::Relaxed) && !shared.stop.load(Ordering::Relaxed) {
        let want = piece.len().min(most - passed);
        if want == 0 {
            return true;
        }
        let read = match from.read(&mut piece[..want]) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(_) => return false,
        };
        passed += read;
        let sizes = if single { 1 } else { read };
        if piece[..read].chunks(sizes).any(|part| to.write_all(part).is_err()) {
            return false;
        }
    }
    false
}

fn swallow(mut from: &TcpStream, time: Duration, ended: &AtomicBool) {
    let start = Instant::now();
    let mut piece = [0; 16 * 1024];
    while start.elapsed() < time && !ended.load(Ordering::Relaxed) {
        if matches!(from.read(&mut piece), Ok(0)) {
            return;
        }
    }
}
