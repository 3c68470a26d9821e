//! The floor: the least that a durable server can do. It reads what all connections have sent, appends it to a plain
//! file, syncs that once, and answers each line with one line. It parses, keeps and indexes nothing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

/// Serves until it is killed.
///
/// # Errors
/// I/O errors.
pub fn serve(port: u16, path: &Path) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let mut file = File::create(path)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut piece = vec![0; 256 * 1024];
    let mut came = Vec::new();
    let mut answers: Vec<(usize, usize)> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(streams.len()), Interest::READABLE)?;
                    streams.push(Some(stream));
                }
                continue;
            }
            let place = event.token().0;
            let Some(stream) = &mut streams[place] else { continue };
            loop {
                match stream.read(&mut piece) {
                    Ok(0) => {
                        streams[place] = None;
                        break;
                    }
                    Ok(read) => {
                        let piece_read = &piece[..read];
                        came.extend_from_slice(piece_read);
                        answers.push((place, memchr::memchr_iter(b'\n', piece_read).count()));
                        if read < piece.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        streams[place] = None;
                        break;
                    }
                }
            }
        }
        if came.is_empty() {
            continue;
        }
        file.write_all(&came)?;
        file.sync_data()?;
        came.clear();
        for (place, lines) in answers.drain(..) {
            if let Some(stream) = &mut streams[place] {
                // The answers are far smaller than a socket's buffer.
                let _ = stream.write_all(&b"OK\n".repeat(lines));
            }
        }
    }
}

/// The disk alone: appends `batch` bodies at a time and syncs after each batch. Returns bodies per second.
///
/// # Errors
/// I/O errors.
pub fn disk(path: &Path, body: &[u8], batch: usize, time: Duration) -> io::Result<f64> {
    let mut file = File::create(path)?;
    let bytes = body.repeat(batch);
    let start = Instant::now();
    let mut bodies = 0;
    while start.elapsed() < time {
        file.write_all(&bytes)?;
        file.sync_data()?;
        bodies += batch;
    }
    let rate = bodies as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
