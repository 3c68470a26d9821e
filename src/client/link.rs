//! A connection of a client, and the task that keeps one.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::Decoder;

use super::{Error, Options};
use crate::protocol::frame::{ClientCodec, RequestFrame, ServerFrame, encode_request};
use crate::protocol::{Command, ErrorCode, Item, Refusal, Reply, VERSION, Welcome};

/// Requests under way; fewer than the daemon lets wait, so that it never stops reading for their sake.
const UNDER_WAY: usize = 512;
/// How long one attempt to connect and be welcomed may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A request, and who waits for its answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<Answer, Error>>,
}

/// An answer that is no refusal.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) items: Vec<Item>,
    pub(super) reply: Reply,
}

/// A connection that was welcomed.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) welcome: Welcome,
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon closed the connection")
}

/// Whether a refusal means that the daemon is going down: another try may find it up again.
pub(super) fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.code, ErrorCode::Storage | ErrorCode::Stopping)
}

/// The pauses between attempts, and their end.
pub(super) struct Patience {
    pauses: ExponentialBackoff,
    since: Instant,
    limit: Option<Duration>,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>) -> Patience {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_secs(2))
            .without_max_times()
            .with_jitter()
            .build();
        Patience { pauses, since: Instant::now(), limit }
    }

    /// Pauses before another attempt; false where there shall be none.
    pub(super) async fn pause(&mut self) -> bool {
        let pause = self.pauses.next().unwrap_or(Duration::from_secs(2));
        if self.limit.is_some_and(|limit| self.since.elapsed() + pause > limit) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

impl Connection {
    /// Connects and says HELLO, as often as the patience lasts.
    pub(super) async fn open(options: &Options) -> Result<Connection, Error> {
        let mut patience = Patience::new(options.patience);
        Self::open_with(options, &mut patience).await
    }

    pub(super) async fn open_with(options: &Options, patience: &mut Patience) -> Result<Connection, Error> {
        loop {
            let attempt = tokio::time::timeout(ATTEMPT, Self::attempt(options)).await;
            let source = match attempt.unwrap_or_else(|_| Err(Attempt::Io(io::ErrorKind::TimedOut.into()))) {
                Ok(connection) => return Ok(connection),
                Err(Attempt::Refused(refusal)) if !is_passing(&refusal) => return Err(refusal.into()),
                Err(Attempt::Refused(refusal)) => io::Error::other(refusal),
                Err(Attempt::Io(error)) => error,
            };
            if !patience.pause().await {
                return Err(Error::Unreachable { address: options.address.clone(), source });
            }
        }
    }

    async fn attempt(options: &Options) -> Result<Connection, Attempt> {
        let stream = TcpStream::connect(&options.address).await?;
        stream.set_nodelay(true)?;
        let welcome = Welcome {
            version: VERSION,
            server: String::new(),
            client: "".into(),
            max_body: 0,
            max_pipelined: 0,
            max_joined: 0,
            retention_secs: 0,
        };
        let mut connection = Connection { welcome, stream, input: BytesMut::new(), output: Vec::new() };
        let hello = Command::Hello { version: VERSION, client: options.client.clone(), token: options.token.clone() };
        connection.request(0, hello).map_err(Attempt::Refused)?;
        match connection.exchange().await? {
            ServerFrame::Reply { reply: Reply::Welcome(welcome), .. } => connection.welcome = welcome,
            ServerFrame::Reply { reply: Reply::Error(refusal), .. } | ServerFrame::Closing { refusal } => {
                return Err(Attempt::Refused(refusal));
            }
            _ => return Err(Attempt::Io(io::Error::new(io::ErrorKind::InvalidData, "this is no dantok"))),
        }
        Ok(connection)
    }

    /// Queues a request's bytes.
    pub(super) fn request(&mut self, id: u64, command: Command) -> Result<(), Refusal> {
        encode_request(&RequestFrame { id, command }, &mut self.output)
    }

    /// Writes what is queued while it waits for the next frame. Cancel-safe: nothing read or written is lost.
    pub(super) async fn exchange(&mut self) -> io::Result<ServerFrame> {
        loop {
            if let Some(frame) = ClientCodec.decode(&mut self.input)? {
                return Ok(frame);
            }
            self.input.reserve(16 * 1024);
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                read = reader.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(closed());
                    }
                }
                written = writer.write(&self.output), if !self.output.is_empty() => {
                    self.output.drain(..written?);
                }
            }
        }
    }
}

enum Attempt {
    Refused(Refusal),
    Io(io::Error),
}

impl From<io::Error> for Attempt {
    fn from(error: io::Error) -> Self {
        Attempt::Io(error)
    }
}

struct UnderWay {
    id: u64,
    job: Job,
    items: Vec<Item>,
}

/// Keeps a connection until the client is dropped and everything is answered, or the patience is at its end.
pub(super) async fn run(options: Options, mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    let mut under_way: VecDeque<UnderWay> = VecDeque::new();
    let mut next_id = 1;
    let mut open = true;
    // Only an answer shows that the daemon works again; a connection alone does not.
    let mut patience = None;
    while open || !under_way.is_empty() {
        let broken = tokio::select! {
            job = queue.recv(), if open && under_way.len() < UNDER_WAY => {
                match job {
                    None => open = false,
                    Some(job) => {
                        next_id += 1;
                        match connection.request(next_id, job.command.clone()) {
                            Ok(()) => under_way.push_back(UnderWay { id: next_id, job, items: Vec::new() }),
                            // A body that no frame takes. Whoever asked may have gone.
                            Err(refusal) => { let _ = job.answer.send(Err(refusal.into())); }
                        }
                    }
                }
                None
            }
            frame = connection.exchange() => match frame {
                Ok(frame) => {
                    let taken = take(&mut under_way, frame);
                    if taken.is_ok() {
                        patience = None;
                    }
                    taken.err()
                }
                Err(error) => Some(error),
            },
        };
        if broken.is_none() {
            continue;
        }
        let patience = patience.get_or_insert_with(|| Patience::new(options.patience));
        let opened = match patience.pause().await {
            true => Connection::open_with(&options, patience).await,
            false => {
                Err(Error::Unreachable { address: options.address.clone(), source: broken.unwrap_or_else(closed) })
            }
        };
        connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                // The first of them is told why; the others, that it is over.
                let mut error = Some(error);
                for UnderWay { job, .. } in under_way {
                    let _ = job.answer.send(Err(error.take().unwrap_or(Error::Closed)));
                }
                return;
            }
        };
        for UnderWay { id, job, items } in &mut under_way {
            items.clear();
            // It was encoded once, so it can be again.
            let _ = connection.request(*id, job.command.clone());
        }
    }
}

/// Takes a frame; an error is a broken connection.
fn take(under_way: &mut VecDeque<UnderWay>, frame: ServerFrame) -> io::Result<()> {
    let unexpected = || io::Error::new(io::ErrorKind::InvalidData, "an answer that was not asked for");
    match frame {
        ServerFrame::Part { id, item } => {
            let first = under_way.front_mut().filter(|first| first.id == id).ok_or_else(unexpected)?;
            first.items.push(item);
        }
        ServerFrame::Reply { reply: Reply::Error(refusal), .. } if is_passing(&refusal) => {
            return Err(io::Error::other(refusal));
        }
        ServerFrame::Reply { id, reply } => {
            let first = under_way.pop_front_if(|first| first.id == id).ok_or_else(unexpected)?;
            let answer = match reply {
                Reply::Error(refusal) => Err(refusal.into()),
                reply => Ok(Answer { items: first.items, reply }),
            };
            // Whoever asked may have gone.
            let _ = first.job.answer.send(answer);
        }
        ServerFrame::Push { .. } => {}
        ServerFrame::Closing { refusal } => return Err(io::Error::other(refusal)),
    }
    Ok(())
}
