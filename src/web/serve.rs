//! A connection of the web: its handshake, the HTTP requests on it, and its end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::{Response, secure};
use super::api::Kept;
use super::problem::Problem;
use super::socket::Socket;
use super::{Site, call, forwarded, ws};
use crate::addresses::{AddressSlot, Addresses};
use crate::connection::{self, Speaks};
use crate::figures::TurnedAway;
use crate::http;
use crate::hub::Hub;
use dantok_net::{ReadHalf, WriteHalf};
use dantok_protocol::{ErrorCode, Refusal, units};

/// How long a peer that is turned away has to send its request, and to read why.
const REFUSE: Duration = Duration::from_secs(2);

/// Who is at the other end of a connection, and what answers.
pub struct Visitor {
    /// What all connections of the web share.
    pub site: Arc<Site>,
    /// What all connections of the daemon share.
    pub hub: Arc<Hub>,
    /// The connections of each address.
    pub addresses: Addresses,
    /// True once the daemon stops.
    pub stop: watch::Receiver<bool>,
    /// Who has connected.
    pub peer: IpAddr,
    /// Whether that is a proxy whose word is taken.
    pub is_trusted_proxy: bool,
    /// Whether the connection is inside TLS.
    pub is_tls: bool,
    /// What requests of the API on this connection leave for the next one.
    pub kept: Arc<Kept>,
}

impl Site {
    /// Whether connections from an address are those of a trusted proxy, so that only the requests on them tell who sent them.
    pub fn trusts(&self, peer: SocketAddr) -> bool {
        self.settings.trusted_proxies.iter().any(|network| network.contains(peer.ip()))
    }
}

impl Visitor {
    /// Finds out who sent a request. Behind a trusted proxy, counts the request for their address, since its connection is the proxy's.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(Option<AddressSlot>, IpAddr), Problem> {
        if !self.is_trusted_proxy {
            return Ok((None, self.peer));
        }
        let malformed = |()| {
            let text = "the proxy's Forwarded headers can't be read";
            Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadArgument, text)
        };
        let said = forwarded::read(headers).map_err(malformed)?;
        let client = forwarded::client(&said, self.peer, &self.site.settings.trusted_proxies);
        let max = self.hub.settings.get().limits.connections_per_address_max;
        let slot = self.addresses.admit(client, if max == 0 { usize::MAX } else { max });
        let Some(slot) = slot else {
            self.hub.figures.turn_away(TurnedAway::Address);
            return Err(Refusal::limit("connections from one address", max).into());
        };
        Ok((Some(slot), client))
    }
}

/// Serves a connection until its peer is done, it breaks, or the daemon stops.
///
/// # Errors
/// The socket failed, which matters only for the debug log.
pub async fn serve(stream: TcpStream, speaks: Speaks, mut visitor: Visitor) -> io::Result<()> {
    let head_timeout = visitor.hub.settings.get().limits.hello_timeout;
    let deadline = Instant::from_std(units::after(std::time::Instant::now(), head_timeout));
    visitor.is_tls = speaks.is_tls();
    let (stop, figures) = (visitor.stop.clone(), visitor.hub.figures.clone());
    let opened = connection::open(stream, speaks, deadline, stop, &figures, plain_text).await?;
    let Some((read, write)) = opened else { return Ok(()) };
    let visitor = Arc::new(visitor);
    let answer = |request| call::answer(visitor.clone(), request);
    // Boxed, because a WebSocket outlives its HTTP.
    let left = Box::pin(requests(read, write, head_timeout, true, &visitor, answer)).await?;
    let Some(Left { socket, begun, opened }) = left else { return Ok(()) };
    let served = ws::serve(socket, begun, visitor.hub.clone(), visitor.stop.clone()).await;
    drop(opened);
    served
}

/// Turns away a connection over a limit.
///
/// # Errors
/// The socket failed.
pub async fn refuse(
    stream: TcpStream,
    speaks: Speaks,
    (reason, refusal): (TurnedAway, Refusal),
    mut visitor: Visitor,
) -> io::Result<()> {
    let is_of_all = reason == TurnedAway::Connections;
    visitor.is_tls = speaks.is_tls();
    let figures = visitor.hub.figures.clone();
    let deadline = Instant::now() + REFUSE;
    let opened = connection::open(stream, speaks, deadline, visitor.stop.clone(), &figures, plain_text).await?;
    let Some((read, write)) = opened else { return Ok(()) };
    let why = refusal.clone();
    let answer = |request: Request<Incoming>| {
        // A script in a browser learns nothing of a handshake that failed, but of a WebSocket that is closed.
        if let Ok(mut response) = ws::handshake(&request) {
            response.extensions_mut().insert(ws::Opened { _slot: None });
            return std::future::ready(response);
        }
        figures.refused(why.code);
        let mut problem = Problem::from(why.clone());
        if is_of_all {
            problem.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        let mut response = problem.response();
        secure(&mut response, None);
        std::future::ready(response)
    };
    let turned_away = Box::pin(async {
        match requests(read, write, REFUSE, false, &visitor, answer).await? {
            Some(Left { socket, .. }) => ws::turn_away(socket, refusal, &visitor.hub).await,
            None => Ok(()),
        }
    });
    timeout(3 * REFUSE, turned_away).await.unwrap_or(Ok(()))
}

/// What a peer reads that does not speak TLS where it should.
fn plain_text(_: Refusal) -> Vec<u8> {
    let text = "this port speaks HTTPS only\n";
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

/// A connection that is a WebSocket from now on.
struct Left {
    socket: Socket,
    /// What has arrived behind the handshake.
    begun: BytesMut,
    opened: ws::Opened,
}

/// Answers the requests on a connection, up to one that turns it into a WebSocket.
async fn requests<F: Future<Output = Response> + Send>(
    read: ReadHalf,
    write: WriteHalf,
    head_timeout: Duration,
    keep_alive: bool,
    visitor: &Visitor,
    answer: impl Fn(Request<Incoming>) -> F,
) -> io::Result<Option<Left>> {
    let is_last = Arc::new(AtomicBool::new(false));
    let socket = Socket::new(read, write, visitor.hub.figures.clone(), is_last.clone());
    visitor.kept.set_line(socket.line());
    let opened = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let (answered, opened) = (answer(request), opened.clone());
        Box::pin(async move {
            let mut response = answered.await;
            if let Some(found) = response.extensions_mut().remove::<ws::Opened>() {
                *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut builder = http::builder(head_timeout);
    let mut served = builder.keep_alive(keep_alive).serve_connection(TokioIo::new(socket), service);
    let mut stop = visitor.stop.clone();
    let stopping = stop.wait_for(|stop| *stop);
    tokio::pin!(stopping);
    let ended = loop {
        tokio::select! {
            biased;
            ended = std::future::poll_fn(|context| served.poll_without_shutdown(context)) => break ended,
            _ = &mut stopping, if !is_last.load(Ordering::Relaxed) => is_last.store(true, Ordering::Relaxed),
        }
    };
    let parts = served.into_parts();
    let socket = parts.io.into_inner();
    let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Ok(()), Some(opened)) = (&ended, opened) {
        return Ok(Some(Left { socket, begun: parts.read_buf.into(), opened }));
    }
    let (mut read, mut write) = socket.halves()?;
    // If it failed, hyper has written why.
    connection::linger(&mut read, &mut write).await?;
    ended.map(|()| None).map_err(io::Error::other)
}
