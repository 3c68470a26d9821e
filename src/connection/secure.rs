//! The beginning of a TLS connection: the handshake, and then the first byte.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Opening, REFUSE, linger, read};
use crate::figures::Figures;
use crate::tls;
use dantok_net::{ReadHalf, WriteHalf};
use dantok_protocol::line;
use dantok_protocol::{Encoding, ErrorCode, Refusal, Reply, Tag};

/// The first byte of every TLS connection.
const HANDSHAKE: u8 = 0x16;

/// Does the handshake before the deadline; `None` if the peer closes, or the daemon stops, before that.
pub(super) async fn open(
    stream: TcpStream,
    tls: &tls::Server,
    deadline: Instant,
    mut stop: watch::Receiver<bool>,
    figures: &Figures,
    plain: fn(Refusal) -> Vec<u8>,
) -> io::Result<Option<(ReadHalf, WriteHalf)>> {
    tokio::select! {
        biased;
        met = handshake(stream, tls, figures, plain) => met,
        () = sleep_until(deadline) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within the time for HELLO"))
        }
        // Before its handshake, a peer can't have requested anything.
        _ = stop.wait_for(|stop| *stop) => Ok(None),
    }
}

/// A refusal as a line.
fn line_of(refusal: Refusal) -> Vec<u8> {
    let mut bytes = Vec::new();
    line::encode_reply(&Tag::None, &Reply::Error(refusal), &mut bytes);
    bytes
}

/// Waits for the first byte inside TLS; `None` if it does not arrive.
pub(super) async fn begin(
    stream: TcpStream,
    tls: Arc<tls::Server>,
    deadline: Instant,
    mut stop: watch::Receiver<bool>,
    figures: &Figures,
) -> io::Result<Option<Opening>> {
    let opened = open(stream, &tls, deadline, stop.clone(), figures, line_of).await?;
    let Some((mut socket, mut write)) = opened else { return Ok(None) };
    let mut input = BytesMut::new();
    tokio::select! {
        biased;
        read = read(&mut socket, &mut input) => drop(read?),
        () = sleep_until(deadline) => {}
        _ = stop.wait_for(|stop| *stop) => {
            let mut first = [0];
            let found = socket.read_now(&mut first);
            input.extend_from_slice(first.get(..found).unwrap_or_default());
        }
    }
    match input.first() {
        Some(first) => Ok(Some((Encoding::of_first(*first), input, socket, write))),
        // Without a close_notify the peer would have to assume that the connection was truncated.
        None => write.shutdown().await.map(|()| None),
    }
}

/// The same for a peer that is turned away, which has less time; a line feed if it waits for us to speak first.
pub(super) async fn first(
    stream: TcpStream,
    tls: &tls::Server,
    figures: &Figures,
) -> io::Result<Option<(u8, ReadHalf, WriteHalf)>> {
    let Some((mut socket, write)) = timeout(REFUSE, handshake(stream, tls, figures, line_of)).await?? else {
        return Ok(None);
    };
    let mut input = BytesMut::new();
    let _ = timeout(REFUSE, read(&mut socket, &mut input)).await;
    Ok(Some((input.first().copied().unwrap_or(b'\n'), socket, write)))
}

/// Does the handshake; `None` if the peer closes before it sends anything.
async fn handshake(
    stream: TcpStream,
    tls: &tls::Server,
    figures: &Figures,
    plain: fn(Refusal) -> Vec<u8>,
) -> io::Result<Option<(ReadHalf, WriteHalf)>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first != [HANDSHAKE] {
        let (mut socket, mut write) = dantok_net::plain(stream);
        let refusal = Refusal::new(ErrorCode::BadCommand, "this port speaks TLS only");
        figures.refused(refusal.code);
        write.write_all(&plain(refusal)).await?;
        linger(&mut socket, &mut write).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "plain text on a port for TLS"));
    }
    match tls.accept(stream).await {
        Ok(stream) => Ok(Some(dantok_net::tls(stream))),
        Err((error, stream)) => {
            // The alert with the reason has been sent; let the peer read it.
            let (mut socket, mut write) = dantok_net::plain(stream);
            let _ = linger(&mut socket, &mut write).await;
            Err(io::Error::new(error.kind(), format!("TLS handshake: {error}")))
        }
    }
}
