//! A TCP connection: its socket, its buffers and deadlines; an edge of the [pipeline]. Each connection has one task. A peer that does
//! not read its answers is not read from.

mod output;
pub(crate) mod peer;
#[cfg(feature = "tls")]
mod secure;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::figures::Figures;
use crate::hub::Hub;
use crate::pipeline::{self, Edge as _, Pipeline, Step};
use crate::rooms::Handed;
use dantok_net::{ReadHalf, WriteHalf};
use dantok_protocol::units;
use dantok_protocol::{Encoding, ErrorCode, Framing, Incoming, Refusal, Reply, Tag};
use dantok_supervise::Caught;
use output::Output;
pub(crate) use output::{Items, Sink};

/// The most bytes that one read takes.
const READ_BYTES: usize = 64 * 1024;
/// The most bytes that are still read of what had arrived when the daemon was told to stop.
const LAST_READ_BYTES: usize = 1024 * 1024;
/// How long a peer that is turned away has to send its first byte, and before that for its TLS handshake.
const REFUSE: Duration = Duration::from_secs(1);
/// How long, and up to how many bytes, to go on reading from a peer after closing, so that it gets to read why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

thread_local! {
    /// Reads go here first, so that a connection holds only what has arrived, and an idle one holds nothing.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Takes what arrives next.
pub(crate) trait Input {
    /// Takes it. The bytes may be changed.
    fn take(&mut self, bytes: &mut [u8]);
}

impl Input for BytesMut {
    fn take(&mut self, bytes: &mut [u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Takes in what arrives next and returns its length; 0 at the end. Cancel-safe.
async fn read(socket: &mut ReadHalf, input: &mut impl Input) -> io::Result<usize> {
    std::future::poll_fn(|context| {
        PIECE.with_borrow_mut(|piece| {
            let mut piece = ReadBuf::new(piece);
            let read = std::task::ready!(Pin::new(&mut *socket).poll_read(context, &mut piece));
            input.take(piece.filled_mut());
            std::task::Poll::Ready(read.map(|()| piece.filled().len()))
        })
    })
    .await
}

/// Takes in what has arrived, up to a limit, without waiting for more. Returns its length.
pub(crate) fn read_last(socket: &mut ReadHalf, input: &mut impl Input) -> usize {
    let mut piece = vec![0; READ_BYTES];
    let mut bytes = 0;
    for _ in 0..LAST_READ_BYTES / READ_BYTES {
        let read = socket.read_now(&mut piece);
        if read == 0 {
            break;
        }
        bytes += read;
        input.take(piece.get_mut(..read).unwrap_or_default());
    }
    bytes
}

/// What a connection speaks below its framing, which depends on the address that it came in on.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// Nothing: the first byte belongs to the framing.
    Plain,
    /// TLS.
    #[cfg(feature = "tls")]
    Tls(Arc<crate::tls::Server>),
}

impl Speaks {
    /// Whether it is TLS.
    pub fn is_tls(&self) -> bool {
        !matches!(self, Speaks::Plain)
    }
}

/// Opens a connection up to where its framing begins; `None` if the peer closes it, or the daemon stops, before that. `plain` encodes what
/// a peer reads that does not speak TLS where it should.
///
/// # Errors
/// The socket or the handshake failed, or was not over in time.
#[cfg(feature = "web")]
pub(crate) async fn open(
    stream: TcpStream,
    speaks: Speaks,
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "no handshake"))] deadline: Instant,
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "no handshake"))] stop: watch::Receiver<bool>,
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "no handshake"))] figures: &Figures,
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "no handshake"))] plain: fn(Refusal) -> Vec<u8>,
) -> io::Result<Option<(ReadHalf, WriteHalf)>> {
    match speaks {
        Speaks::Plain => Ok(Some(dantok_net::plain(stream))),
        #[cfg(feature = "tls")]
        Speaks::Tls(tls) => Box::pin(secure::open(stream, &tls, deadline, stop, figures, plain)).await,
    }
}

/// Bytes that have arrived and that wait to be written, in the connection's framing.
struct Wire {
    input: BytesMut,
    framing: Box<dyn Framing>,
    output: Output,
    hub: Arc<Hub>,
}

impl pipeline::Edge for Wire {
    type Items<'a> = Items<'a, Output>;

    fn next(&mut self) -> io::Result<Option<Incoming>> {
        self.framing.decode(&mut self.input)
    }

    fn is_interrupted(&self) -> bool {
        self.framing.is_interrupted(&self.input)
    }

    fn set_body_max(&mut self, bytes: usize) {
        self.framing.set_body_max(bytes);
    }

    fn set_format(&mut self, json: bool) -> Result<(), Refusal> {
        self.framing.set_format(json)
    }

    fn reply(&mut self, tag: &Tag, reply: Reply) {
        self.output.reply(&*self.framing, tag, reply);
    }

    fn telnet(&mut self, answer: [u8; 3]) {
        self.output.telnet(answer);
    }

    fn closing(&mut self, refusal: Refusal) {
        self.output.closing(&*self.framing, refusal);
    }

    fn items<'a>(&'a mut self, tag: Option<&'a Tag>) -> Items<'a, Output> {
        Items::new(&mut self.output, &*self.framing, tag, &self.hub.pushed)
    }

    fn is_full(&self) -> bool {
        self.output.is_full()
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.output.flush().await
    }
}

struct Connection {
    socket: ReadHalf,
    wire: Wire,
    pipeline: Pipeline,
}

/// Serves a connection until its peer is done, it breaks, or `stop` says so.
///
/// # Errors
/// The socket failed, which matters only for the debug log.
pub async fn serve(stream: TcpStream, speaks: Speaks, hub: Arc<Hub>, stop: watch::Receiver<bool>) -> io::Result<()> {
    let settings = hub.settings.get();
    let deadline = Instant::from_std(units::after(std::time::Instant::now(), settings.limits.hello_timeout));
    let opening = begin(stream, speaks, deadline, stop.clone(), &hub.figures);
    let Some((encoding, input, socket, write)) = opening.await? else { return Ok(()) };
    hub.figures.received_bytes.add(input.len() as u64);
    let encoding = match encoding {
        Ok(encoding) => encoding,
        Err(refusal) => return turn_away(socket, write, Encoding::Lines, refusal, hub.figures.clone()).await,
    };
    let framing = encoding.framing(settings.limits.body_max_bytes);
    let output = Output::new(write, hub.figures.clone());
    let mut connection = Connection {
        socket,
        wire: Wire { input, framing, output, hub: hub.clone() },
        pipeline: Pipeline::new(hub, deadline),
    };
    let caught = {
        let run = std::pin::pin!(connection.run(stop));
        Caught(run).await
    };
    let (served, has_died) = match caught {
        Ok(served) => (served, false),
        Err(panic) => {
            tracing::error!("a connection panicked: {}; this is a bug", dantok_supervise::panic_message(&*panic));
            let text =
                "internal error: see the daemon's log; requests without an answer may or may not have been carried out";
            connection.wire.closing(Refusal::new(ErrorCode::Storage, text));
            (connection.wire.flush().await, true)
        }
    };
    let Connection { mut socket, wire: Wire { mut output, .. }, mut pipeline } = connection;
    let in_order = pipeline.has_ended() && !pipeline.has_stopped() && !has_died;
    let handed = pipeline.take_handed();
    // Before the connection lingers, so that WHO shows at once that the client is gone.
    drop(pipeline);
    let closed = match served {
        Ok(()) if in_order => output.socket.shutdown().await,
        Ok(()) => linger(&mut socket, &mut output.socket).await,
        Err(error) => Err(error),
    };
    peer::see_arrive(&socket, handed, closed.is_err() || has_died).await;
    closed
}

type Opening = (Result<Encoding, Refusal>, BytesMut, ReadHalf, WriteHalf);

/// Waits for the first byte; `None` if it does not arrive.
async fn begin(
    stream: TcpStream,
    speaks: Speaks,
    deadline: Instant,
    mut stop: watch::Receiver<bool>,
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "nothing is refused here"))] figures: &Figures,
) -> io::Result<Option<Opening>> {
    match speaks {
        Speaks::Plain => {}
        // Boxed, as a handshake is large and soon over.
        #[cfg(feature = "tls")]
        Speaks::Tls(tls) => return Box::pin(secure::begin(stream, tls, deadline, stop, figures)).await,
    }
    let mut first = [0];
    let mut input = BytesMut::new();
    let found = tokio::select! {
        biased;
        peeked = stream.peek(&mut first) => peeked?,
        () = sleep_until(deadline) => 0,
        _ = stop.wait_for(|stop| *stop) => {
            let found = dantok_net::read_kernel(&stream, &mut first).unwrap_or(0);
            input.extend_from_slice(first.get(..found).unwrap_or_default());
            found
        }
    };
    let (socket, write) = dantok_net::plain(stream);
    let [first] = first;
    Ok((found > 0).then(|| (Encoding::of_first(first), input, socket, write)))
}

/// Turns away a connection over the limit, in its own framing.
///
/// # Errors
/// The socket failed.
pub async fn refuse(stream: TcpStream, speaks: Speaks, refusal: Refusal, figures: Arc<Figures>) -> io::Result<()> {
    let (first, socket, write) = match speaks {
        Speaks::Plain => {
            let mut first = [b'\n'];
            // The first byte tells the framing. A peer that waits for us to speak first is a person.
            let _ = timeout(REFUSE, stream.peek(&mut first)).await;
            let [first] = first;
            let (socket, write) = dantok_net::plain(stream);
            (first, socket, write)
        }
        #[cfg(feature = "tls")]
        Speaks::Tls(tls) => match Box::pin(secure::first(stream, &tls, &figures)).await? {
            Some(opening) => opening,
            None => return Ok(()),
        },
    };
    turn_away(socket, write, Encoding::of_first(first).unwrap_or(Encoding::Lines), refusal, figures).await
}

/// Tells a peer why it is turned away.
async fn turn_away(
    mut socket: ReadHalf,
    write: WriteHalf,
    encoding: Encoding,
    refusal: Refusal,
    figures: Arc<Figures>,
) -> io::Result<()> {
    let mut output = Output::new(write, figures);
    // Nothing is decoded, so the limit does not matter.
    output.closing(&*encoding.framing(0), refusal);
    output.flush().await?;
    linger(&mut socket, &mut output.socket).await
}

/// Closes so that the peer can still read what was written, which a close with unread input would discard.
pub(crate) async fn linger(socket: &mut ReadHalf, write: &mut WriteHalf) -> io::Result<()> {
    write.shutdown().await?;
    let mut sink = vec![0; 4096];
    let drain = async {
        let mut bytes = 0;
        while bytes < LINGER_BYTES {
            match socket.read(&mut sink).await {
                Ok(read) if read > 0 => bytes += read,
                _ => return,
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
    Ok(())
}

impl Connection {
    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let waker = self.pipeline.waker();
        // Created once, so that they need not register anew in each turn.
        let (changed, stopping) = (waker.changed(), stop.wait_for(|stop| *stop));
        tokio::pin!(changed, stopping);
        loop {
            match self.pipeline.advance(&mut self.wire, &self.socket).await? {
                Step::Continue => continue,
                Step::Done => return Ok(()),
                Step::Wait => {}
            }
            self.wire.output.shrink();
            let can_read = self.pipeline.wants(self.wire.input.len());
            tokio::select! {
                biased;
                woken = self.pipeline.wait() => self.pipeline.resume(woken, &mut self.wire),
                read = peer::read_or_watch(&mut self.socket, &mut self.wire.input, can_read) => self.note_read(read?),
                () = &mut changed => changed.set(waker.changed()),
                _ = &mut stopping, if !self.pipeline.has_stopped() => self.last_read(),
            }
            if self.wire.input.is_empty() && self.wire.input.capacity() > 0 {
                // An idle connection keeps no buffer.
                self.wire.input = BytesMut::new();
            }
        }
    }

    fn note_read(&mut self, read: usize) {
        self.wire.hub.figures.received_bytes.add(read as u64);
        if read == 0 {
            self.pipeline.end();
        } else if self.pipeline.is_handing() && self.socket.has_arrived() {
            // The peer has what it was handed, and goes on.
            self.pipeline.take_handed().into_iter().for_each(Handed::arrived);
        }
    }

    /// The daemon stops: reads what has arrived, which is still carried out, and no more.
    fn last_read(&mut self) {
        if !self.pipeline.has_ended() {
            let read = read_last(&mut self.socket, &mut self.wire.input);
            self.wire.hub.figures.received_bytes.add(read as u64);
        }
        self.pipeline.stop();
    }
}
