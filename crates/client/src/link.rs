//! The connection: dialling with growing pauses, and the task that keeps requests alive over broken ones.

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

/// Requests that are sent and not answered; further ones wait in the channel, and then with their callers.
const WINDOW: usize = 256;
/// Bytes encoded ahead of the socket.
const OUTPUT_HIGH_WATER_BYTES: usize = 64 * 1024;
/// For connecting and HELLO together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const DELAY_MIN: Duration = Duration::from_millis(20);
const DELAY_MAX: Duration = Duration::from_secs(2);
/// How long it is true that somebody is typing.
const TYPING_HOLDS: Duration = Duration::from_secs(3);

/// Whether a refusal says that the daemon, not the request, is at fault, so that asking again later may help.
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

/// A connection that has said HELLO.
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
        // A daemon whose machine has gone says nothing; the kernel finds out.
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
        // A daemon that refuses at once may close before it has read: what it said matters more than a failed write.
        let written = conn.send(&output).await;
        match conn.frame().await {
            Ok(ServerFrame::Reply { reply: Reply::Welcome(welcome), .. }) => {
                written?;
                conn.welcome = Arc::new(welcome);
                Ok(conn)
            }
            Ok(ServerFrame::Reply { reply: Reply::Error(refusal), .. } | ServerFrame::Closing { refusal }) => {
                // Too many connections now may be fewer soon.
                if is_passing(&refusal) || refusal.code == ErrorCode::Limit {
                    return Err(Failure::Broken(broken(refusal)));
                }
                Err(Failure::Refused(refusal))
            }
            Ok(other) => Err(Failure::Broken(unexpected(&other))),
            // A daemon that does not take the client's certificate says so here.
            Err(error) => Err(refused_in_a_line(&conn.input).map_or_else(|| error.into(), Failure::Refused)),
        }
    }

    /// Sends all of it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await?;
        self.write.flush().await
    }

    /// The next frame.
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

/// Makes of a TCP connection what the options ask for.
async fn meet(stream: TcpStream, options: &Options) -> Result<(ReadHalf, WriteHalf), Failure> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &options.tls {
        let name = tls.server_name.as_deref().unwrap_or_else(|| host(&options.address));
        // The files are read for each connection, so that a certificate that was renewed is used by the next.
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
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer to nothing that was asked: {frame:?}"))
}

/// What a port says that is for something else, and so can't know of frames.
fn refused_in_a_line(input: &[u8]) -> Option<Refusal> {
    let text = std::str::from_utf8(input).ok()?.strip_prefix("ERR bad-command ")?;
    Some(Refusal::new(ErrorCode::BadCommand, text.trim_end()))
}

enum Failure {
    Broken(io::Error),
    Refused(Refusal),
    /// Trying again changes nothing about it.
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

/// Writes what goes at once. Cancel safe; there is more to do while `flushed` is false.
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

/// Connects, again and again where it must.
pub(super) struct Dialler {
    pub options: Options,
    /// Since when nothing has been answered, and the pauses from there on.
    trouble: Option<(Instant, ExponentialBackoff)>,
}

impl Dialler {
    pub fn new(options: Options) -> Self {
        Dialler { options, trouble: None }
    }

    /// What was remembered was said, and is good; from here on it is compared.
    pub fn met(&mut self) {
        self.options.epoch = None;
    }

    /// The daemon has answered: the next trouble is a new one.
    pub fn settled(&mut self) {
        self.trouble = None;
    }

    /// Connects. `why` is what broke the connection before; none on the first.
    ///
    /// # Errors
    /// A refused HELLO; nobody to talk to within the options' time; nobody left who `wants` the connection.
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
                // The last attempt is at the end of the time, not a long pause before it.
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
    /// What the seqs in it are of.
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
    /// It has been sent on an earlier connection, which may have carried it out.
    repeated: bool,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

impl Pending {
    /// Whether it is not true any more, so that the daemon is not to be told of it.
    fn is_stale(&self) -> bool {
        matches!(self.command, Command::Typing(_)) && (self.repeated || self.asked.elapsed() >= TYPING_HOLDS)
    }

    /// Whether to try it again on another connection, after a refusal that is [passing](is_passing). One room that can't be read is no
    /// reason for all others to wait: the daemon has tried again, and its caller may.
    fn breaks(&self, refusal: &Refusal) -> bool {
        refusal.code != ErrorCode::Storage || self.command.is_write()
    }

    /// Whether this refusal only says that an earlier connection has carried it out. Not so a `room-exists`: the room may
    /// be somebody else's.
    fn is_done_before(&self, refusal: &Refusal) -> bool {
        self.repeated && self.command.refusal_means_done(refusal.code)
    }
}

/// The task that owns the connection.
pub(super) struct Link {
    dialler: Dialler,
    requests: mpsc::Receiver<Request>,
    /// In order; the first `encoded` of them are on this connection.
    pending: VecDeque<Pending>,
    encoded: usize,
    next_id: u64,
    /// Of the connection that there is, or was last.
    epoch: Epoch,
    /// The handle's: what it has to forget where a room was set back.
    memory: Arc<Mutex<Memory>>,
}

/// An epoch that the client's task tells its handle.
pub(super) type Epoch = Arc<Mutex<Arc<str>>>;

impl Link {
    pub fn new(dialler: Dialler, requests: mpsc::Receiver<Request>, epoch: Epoch, memory: Arc<Mutex<Memory>>) -> Self {
        Link { dialler, requests, pending: VecDeque::new(), encoded: 0, next_id: 1, epoch, memory }
    }

    /// Serves requests until all handles are gone and all is answered, or the daemon is given up.
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

    /// Ends well when all handles are gone and all is answered.
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
                // A failed write is not the end: the answers that came before it, and why it failed, are still to be read.
                written = write(&mut writer, &mut output, &mut flushed), if !output.is_empty() || !flushed => if written.is_err() {
                    output.clear();
                    return self.drain(&mut reader, &mut input).await;
                },
                read = reader.read_buf(&mut input) => {
                    let read = read?;
                    while let Some(frame) = ClientCodec.decode(&mut input)? {
                        self.take(frame)?;
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
                self.take(frame)?;
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

    /// Takes what the daemon said; an error breaks the connection.
    fn take(&mut self, frame: ServerFrame) -> io::Result<()> {
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
                // Answers keep their order, so what can't be read is the first unanswered; sent again it would break
                // the next connection too.
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
            // Before the caller is answered: what it asks next must not go by it.
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.epoch == front.epoch {
                memory.handed.remove(room);
            }
        }
        let _ = front.answer.send(result);
    }
}
