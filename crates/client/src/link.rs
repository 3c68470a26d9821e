//! Connecting with growing pauses, and the task that carries requests from a broken connection to the next.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Decoder, Encoder};

use super::{Answer, Error, Memory, Options};
use dantok_net::{ReadHalf, WriteHalf};
use dantok_protocol::frame::{ClientCodec, RequestFrame, ServerFrame};
use dantok_protocol::{Command, ErrorCode, Item, Refusal, Reply, VERSION, Welcome, commands};

/// Requests in flight. Further ones wait in the channel, and then their callers wait.
const WINDOW: usize = 256;
/// Bytes encoded ahead of the socket.
const OUTPUT_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Covers both connecting and HELLO.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const DELAY_MIN: Duration = Duration::from_millis(20);
const DELAY_MAX: Duration = Duration::from_secs(2);
/// How long a TYPING stays true; an older one is not sent.
const TYPING_HOLDS: Duration = Duration::from_secs(3);

/// Whether a refusal is due to the daemon's state rather than to the request, so that retrying later may help.
pub(super) fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.code, ErrorCode::Storage | ErrorCode::Stopping)
}

/// A refusal as the reason why a connection broke.
pub(super) fn broken(refusal: Refusal) -> io::Error {
    io::Error::other(refusal)
}

/// A refusal as the error of a call.
pub(super) fn refused(refusal: Refusal) -> Error {
    match refusal.code {
        ErrorCode::SetBack => Error::SetBack(refusal),
        _ => Error::Refused(refusal),
    }
}

/// A connection after HELLO.
pub(super) struct Conn {
    pub read: ReadHalf,
    pub write: WriteHalf,
    pub input: BytesMut,
    pub welcome: Arc<Welcome>,
}

impl Conn {
    async fn open(options: &Options) -> Result<Conn, Failure> {
        let stream = TcpStream::connect(&options.address).await?;
        stream.set_nodelay(true)?;
        // If the daemon's machine disappears, no packet says so; keepalive lets the kernel detect it.
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
        let keepalive = keepalive.with_interval(Duration::from_secs(10)).with_retries(3);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let (read, write) = meet(stream, options).await?;
        let hello = Command::Hello(commands::Hello {
            version: VERSION,
            client: options.client.clone(),
            token: options.token.clone(),
            epoch: options.epoch.clone(),
        });
        let mut output = BytesMut::new();
        ClientCodec.encode(RequestFrame { id: 0, command: hello }, &mut output)?;
        let welcome = Welcome {
            version: VERSION,
            server: String::new(),
            client: "".into(),
            max_body: 0,
            max_pipelined: 0,
            max_joined: 0,
            retention_secs: 0,
            admin: false,
            epoch: "".into(),
        };
        let mut conn = Conn { read, write, input: BytesMut::new(), welcome: Arc::new(welcome) };
        // A daemon that refuses at once may close before it has read: its refusal matters more than our failed write.
        let written = conn.send(&output).await;
        match conn.frame().await {
            Ok(ServerFrame::Reply { reply: Reply::Welcome(welcome), .. }) => {
                written?;
                conn.welcome = Arc::new(welcome);
                Ok(conn)
            }
            Ok(ServerFrame::Reply { reply: Reply::Error(refusal), .. } | ServerFrame::Closing { refusal }) => {
                // There may be fewer connections soon.
                if is_passing(&refusal) || refusal.code == ErrorCode::Limit {
                    return Err(Failure::Broken(broken(refusal)));
                }
                Err(Failure::Refused(refusal))
            }
            Ok(other) => Err(Failure::Broken(unexpected(&other))),
            // A daemon that rejects the client's certificate says so here.
            Err(error) => Err(refused_in_a_line(&conn.input).map_or_else(|| error.into(), Failure::Refused)),
        }
    }

    /// Writes and flushes all of these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await?;
        self.write.flush().await
    }

    /// Reads the next frame.
    pub async fn frame(&mut self) -> io::Result<ServerFrame> {
        loop {
            if let Some(frame) = ClientCodec.decode(&mut self.input)? {
                return Ok(frame);
            }
            if self.read.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Adds TLS to a TCP connection if the options ask for it.
async fn meet(stream: TcpStream, options: &Options) -> Result<(ReadHalf, WriteHalf), Failure> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &options.tls {
        let name = tls.server_name.as_deref().unwrap_or_else(|| host(&options.address));
        // Files are read for each connection, so that the next one uses a renewed certificate.
        return match crate::tls::connect(stream, &tls.ca, tls.cert_and_key.as_ref(), name).await {
            Ok(stream) => Ok(dantok_net::tls(stream)),
            Err(crate::tls::Failed::Files(error)) => Err(Failure::Tls(error.to_string())),
            Err(crate::tls::Failed::Socket(error)) => Err(error.into()),
        };
    }
    let _ = options;
    Ok(dantok_net::plain(stream))
}

/// The host of an address with a port.
#[cfg(feature = "tls")]
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

pub(super) fn unexpected(frame: &ServerFrame) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer without a request: {frame:?}"))
}

/// The refusal in text that a port of the daemon sends if it does not speak frames.
fn refused_in_a_line(input: &[u8]) -> Option<Refusal> {
    let text = std::str::from_utf8(input).ok()?.strip_prefix("ERR bad-command ")?;
    Some(Refusal::new(ErrorCode::BadCommand, text.trim_end()))
}

enum Failure {
    Broken(io::Error),
    Refused(Refusal),
    /// Retrying can't help.
    #[cfg(feature = "tls")]
    Tls(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(why) = crate::tls::why(&error) {
            return Failure::Tls(why);
        }
        Failure::Broken(error)
    }
}

/// Writes as much as the socket takes at once. Cancel safe. Call it again while `flushed` is false.
async fn write(writer: &mut WriteHalf, output: &mut BytesMut, flushed: &mut bool) -> io::Result<()> {
    if !output.is_empty() {
        *flushed = false;
        writer.write_buf(output).await?;
    }
    if output.is_empty() {
        writer.flush().await?;
        *flushed = true;
    }
    Ok(())
}

/// Connects, and retries as long as the options allow.
pub(super) struct Dialler {
    pub options: Options,
    /// Since when nothing has been answered, and the pauses from then on.
    trouble: Option<(Instant, ExponentialBackoff)>,
}

impl Dialler {
    pub fn new(options: Options) -> Self {
        Dialler { options, trouble: None }
    }

    /// The daemon has accepted the caller's epoch. From now on, the client compares epochs itself.
    pub fn met(&mut self) {
        self.options.epoch = None;
    }

    /// The daemon has answered, so the next failure starts a new retry period.
    pub fn settled(&mut self) {
        self.trouble = None;
    }

    /// Connects. `why` is what broke the previous connection; `None` for the first.
    ///
    /// # Errors
    /// HELLO was refused; no daemon answered within the options' time; or nobody `wants` the connection any more.
    pub async fn dial(&mut self, mut why: Option<io::Error>, wants: impl Fn() -> bool) -> Result<Conn, Error> {
        let (since, delays) = self.trouble.get_or_insert_with(|| {
            let delays = ExponentialBuilder::new().with_min_delay(DELAY_MIN).with_max_delay(DELAY_MAX);
            let delays = delays.without_max_times().with_jitter();
            (Instant::now(), delays.with_jitter_seed(getrandom::u64().unwrap_or(0)).build())
        });
        let until = self.options.reconnect.and_then(|reconnect| since.checked_add(reconnect));
        let end = |why: io::Error| Error::Unreachable { address: self.options.address.clone(), source: Arc::new(why) };
        loop {
            if let Some(error) = why {
                // Make the last attempt at the end of the time, not a long pause before it.
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                if left == Some(Duration::ZERO) {
                    return Err(end(error));
                }
                let delay = delays.next().unwrap_or(DELAY_MAX).min(DELAY_MAX);
                sleep(left.map_or(delay, |left| left.min(delay))).await;
            }
            if !wants() {
                return Err(Error::Closed);
            }
            let time = until.map_or(DIAL_TIMEOUT, |until| {
                until.saturating_duration_since(Instant::now()).clamp(DELAY_MIN, DIAL_TIMEOUT)
            });
            why = match timeout(time, Conn::open(&self.options)).await {
                Ok(Ok(conn)) => return Ok(conn),
                Ok(Err(Failure::Refused(refusal))) => return Err(Error::Refused(refusal)),
                #[cfg(feature = "tls")]
                Ok(Err(Failure::Tls(why))) => {
                    return Err(Error::Tls { address: self.options.address.clone(), why });
                }
                Ok(Err(Failure::Broken(error))) => Some(error),
                Err(_) => Some(io::ErrorKind::TimedOut.into()),
            };
        }
    }
}

/// A request on its way to the task.
pub(super) struct Request {
    pub command: Command,
    /// The epoch of the seqs in the command.
    pub epoch: Arc<str>,
    pub asked: Instant,
    pub answer: oneshot::Sender<Result<Answer, Error>>,
}

struct Pending {
    id: u64,
    command: Command,
    epoch: Arc<str>,
    asked: Instant,
    items: Vec<Item>,
    /// It was sent on an earlier connection, on which the daemon may have carried it out.
    repeated: bool,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

impl Pending {
    /// Whether it is no longer true and must not be sent.
    fn is_stale(&self) -> bool {
        matches!(self.command, Command::Typing(_)) && (self.repeated || self.asked.elapsed() >= TYPING_HOLDS)
    }

    /// Whether to retry on another connection after a [passing](is_passing) refusal. One unreadable room is no reason to make all
    /// others wait: the daemon has already retried the read, and the caller can retry too.
    fn breaks(&self, refusal: &Refusal) -> bool {
        refusal.code != ErrorCode::Storage || self.command.is_write()
    }

    /// Whether this refusal only means that the request was carried out on an earlier connection. `room-exists` does not: the room
    /// may be somebody else's.
    fn is_done_before(&self, refusal: &Refusal) -> bool {
        self.repeated && self.command.refusal_means_done(refusal.code)
    }
}

/// The task that owns the connection.
pub(super) struct Link {
    dialler: Dialler,
    requests: mpsc::Receiver<Request>,
    /// In order. The first `encoded` have been encoded for this connection.
    pending: VecDeque<Pending>,
    encoded: usize,
    next_id: u64,
    /// The epoch of the current connection, or of the last one.
    epoch: Epoch,
    /// The handle's memory, to forget a room's seqs if the room was set back.
    memory: Arc<Mutex<Memory>>,
}

/// The daemon's epoch, shared between the client's task and its handle.
pub(super) type Epoch = Arc<Mutex<Arc<str>>>;

impl Link {
    pub fn new(dialler: Dialler, requests: mpsc::Receiver<Request>, epoch: Epoch, memory: Arc<Mutex<Memory>>) -> Self {
        Link { dialler, requests, pending: VecDeque::new(), encoded: 0, next_id: 1, epoch, memory }
    }

    /// Serves requests until the handle is gone and everything is answered, or until it gives up on the daemon.
    pub async fn run(mut self, mut conn: Conn) {
        loop {
            if self.pending.is_empty() {
                self.dialler.settled();
            }
            let Err(why) = self.serve(conn).await else { return };
            for pending in self.pending.iter_mut().take(self.encoded) {
                pending.repeated = true;
                pending.items.clear();
            }
            self.encoded = 0;
            let Link { dialler, requests, pending, .. } = &mut self;
            let wants = || !requests.is_closed() || pending.iter().any(|pending| !pending.answer.is_closed());
            match dialler.dial(Some(why), wants).await {
                Ok(fresh) => conn = fresh,
                Err(error) => return self.give_up(&error).await,
            }
        }
    }

    async fn give_up(mut self, error: &Error) {
        self.requests.close();
        for pending in self.pending {
            let _ = pending.answer.send(Err(error.clone()));
        }
        while let Some(request) = self.requests.recv().await {
            let _ = request.answer.send(Err(error.clone()));
        }
    }

    /// Returns `Ok` when the handle is gone and everything is answered.
    async fn serve(&mut self, conn: Conn) -> io::Result<()> {
        let window = usize::try_from(conn.welcome.max_pipelined).unwrap_or(WINDOW).clamp(1, WINDOW);
        let epoch = conn.welcome.epoch.clone();
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&epoch);
        let mut input = conn.input;
        let (mut reader, mut writer) = (conn.read, conn.write);
        let mut output = BytesMut::new();
        let mut flushed = true;
        let mut open = true;
        loop {
            self.encode(&epoch, &mut output);
            if !open && self.pending.is_empty() {
                return Ok(());
            }
            tokio::select! {
                request = self.requests.recv(), if open && self.pending.len() < window => match request {
                    Some(Request { command, epoch, asked, answer }) => {
                        let id = self.next_id;
                        self.next_id += 1;
                        let (items, repeated) = (Vec::new(), false);
                        self.pending.push_back(Pending { id, command, epoch, asked, items, repeated, answer });
                    }
                    None => open = false,
                },
                // After a failed write, the answers that came before it, and the reason for it, can still be read.
                written = write(&mut writer, &mut output, &mut flushed), if !output.is_empty() || !flushed => if written.is_err() {
                    output.clear();
                    return self.drain(&mut reader, &mut input).await;
                },
                read = reader.read_buf(&mut input) => {
                    let read = read?;
                    while let Some(frame) = ClientCodec.decode(&mut input)? {
                        self.receive(frame)?;
                    }
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                },
            }
        }
    }

    async fn drain(&mut self, reader: &mut (impl AsyncReadExt + Unpin), input: &mut BytesMut) -> io::Result<()> {
        loop {
            while let Some(frame) = ClientCodec.decode(input)? {
                self.receive(frame)?;
            }
            match timeout(DIAL_TIMEOUT, reader.read_buf(input)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    fn encode(&mut self, epoch: &Arc<str>, output: &mut BytesMut) {
        while output.len() < OUTPUT_HIGH_WATER_BYTES {
            let Some(pending) = self.pending.get(self.encoded) else { return };
            if pending.is_stale() {
                if let Some(pending) = self.pending.remove(self.encoded) {
                    let _ = pending.answer.send(Ok((Vec::new(), Reply::Done)));
                }
                continue;
            }
            if pending.command.names_a_seq() && pending.epoch != *epoch {
                if let Some(pending) = self.pending.remove(self.encoded) {
                    let _ = pending.answer.send(Err(Error::Restored { epoch: epoch.clone() }));
                }
                continue;
            }
            let frame = RequestFrame { id: pending.id, command: pending.command.clone() };
            match ClientCodec.encode(frame, output) {
                Ok(()) => self.encoded += 1,
                Err(error) => {
                    if let Some(pending) = self.pending.remove(self.encoded) {
                        let refusal = Refusal::new(ErrorCode::TooLong, error.to_string());
                        let _ = pending.answer.send(Err(Error::Refused(refusal)));
                    }
                }
            }
        }
    }

    /// Handles a frame from the daemon; an error breaks the connection.
    fn receive(&mut self, frame: ServerFrame) -> io::Result<()> {
        let of = match &frame {
            ServerFrame::Reply { id, .. } | ServerFrame::Part { id, .. } => Some(*id),
            ServerFrame::Push { .. } | ServerFrame::Closing { .. } => None,
        };
        if of.is_some_and(|of| self.encoded == 0 || self.pending.front().is_none_or(|front| front.id != of)) {
            return Err(unexpected(&frame));
        }
        match frame {
            ServerFrame::Part { item, .. } => {
                if let Some(front) = self.pending.front_mut() {
                    front.items.push(item);
                }
            }
            ServerFrame::Reply { reply: Reply::Error(refusal), .. }
                if is_passing(&refusal) && self.pending.front().is_none_or(|front| front.breaks(&refusal)) =>
            {
                return Err(broken(refusal));
            }
            ServerFrame::Reply { reply, .. } => self.answer(reply),
            // This connection follows nothing.
            ServerFrame::Push { .. } => {}
            ServerFrame::Closing { refusal } => {
                // Answers keep their order, so the request that the daemon can't read is the first unanswered one. Resending it
                // would break the next connection too.
                if matches!(refusal.code, ErrorCode::TooLong | ErrorCode::BadFrame) && self.encoded > 0 {
                    self.answer(Reply::Error(refusal.clone()));
                }
                return Err(broken(refusal));
            }
        }
        Ok(())
    }

    fn answer(&mut self, reply: Reply) {
        let Some(mut front) = self.pending.pop_front() else { return };
        self.encoded = self.encoded.saturating_sub(1);
        self.dialler.settled();
        let result = match reply {
            Reply::Error(refusal) if front.is_done_before(&refusal) => Ok((front.items, Reply::Done)),
            Reply::Error(refusal) => Err(refused(refusal)),
            reply => Ok((front.items, reply)),
        };
        if let (Err(Error::SetBack(_)), Some(room)) = (&result, front.command.names().room) {
            // Before the caller is answered, so that its next request does not rely on the old seq.
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.epoch == front.epoch {
                memory.handed.remove(room);
            }
        }
        let _ = front.answer.send(result);
    }
}
