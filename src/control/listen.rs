//! The daemon's side of the control socket.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::serve::serve;
use super::{CarryOut, Wire, Work};
use crate::hub::Hub;

/// The socket's file name in the data directory.
pub const SOCKET_FILE: &str = "control.sock";
/// Commands served at once; others are turned away.
const AT_ONCE: usize = 8;
/// The longest path that fits into a socket address.
const PATH_MAX_BYTES: usize = 100;

/// The address of a data directory's socket. If the path is too long for one, it goes through the directory's descriptor, which is
/// returned as well.
pub(super) fn address(dir: &Path) -> io::Result<(SockAddr, Option<File>)> {
    let path = dir.join(SOCKET_FILE);
    if path.as_os_str().len() <= PATH_MAX_BYTES {
        return Ok((SockAddr::unix(path)?, None));
    }
    let opened = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let opened = File::from(opened);
    let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", opened.as_raw_fd());
    Ok((SockAddr::unix(path)?, Some(opened)))
}

/// The socket's file; removed when this is dropped.
#[derive(Debug)]
struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        // The next start replaces a file that is left.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds the socket, for its owner only.
fn bind(dir: &Path) -> io::Result<(UnixListener, Name)> {
    let path = dir.join(SOCKET_FILE);
    // The directory is ours, so a daemon that was killed has left it.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (address, _opened) = address(dir)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it has a name, so that others can connect at no time.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&address)?;
    let name = Name(path);
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket)))?;
    Ok((listener, name))
}

/// Listens until the daemon stops, which cuts off the commands under way. A daemon that can't listen logs that and goes on without.
pub async fn listen(hub: Arc<Hub>, dir: PathBuf, carry_out: CarryOut) {
    let bound = bind(&dir);
    let (listener, _name) = match bound {
        Ok(bound) => bound,
        Err(error) => {
            let path = dir.join(SOCKET_FILE);
            tracing::warn!(path = %path.display(), %error, "can't listen for dantok's own commands: to back up, export or import, stop the daemon");
            return hub.stopping.cancelled().await;
        }
    };
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            () = hub.stopping.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if served.len() >= AT_ONCE => turn_away(stream.into_std()),
                Ok((stream, _)) => drop(served.spawn(attend(stream.into_std(), hub.clone(), dir.clone(), carry_out))),
                Err(error) => {
                    tracing::warn!(%error, "can't accept a command's connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = served.join_next(), if !served.is_empty() => if let Err(error) = ended {
                tracing::error!(%error, "a command panicked; this is a bug");
            }
        }
    }
    while served.join_next().await.is_some() {}
}

/// Turns a command away, which otherwise would wait without saying for what.
fn turn_away(stream: io::Result<std::os::unix::net::UnixStream>) {
    let what = format!("the daemon is already running {AT_ONCE} commands; try again when one of them has finished");
    // This fits into the socket's buffer, so it does not block.
    if let Err(error) = stream.and_then(|stream| Wire::over(stream).send(b'E', what.as_bytes())) {
        tracing::debug!(%error, "can't turn a command away");
    }
}

/// Serves one command, in a thread that may block.
async fn attend(stream: io::Result<std::os::unix::net::UnixStream>, hub: Arc<Hub>, dir: PathBuf, carry_out: CarryOut) {
    let both = || -> io::Result<_> {
        let stream = stream?;
        stream.set_nonblocking(false)?;
        Ok((stream.try_clone()?, stream))
    };
    let (stream, to_end) = match both() {
        Ok(both) => both,
        Err(error) => return tracing::warn!(%error, "can't serve a command"),
    };
    let stopping = hub.stopping.clone();
    let serving = tokio::task::spawn_blocking(move || serve(&mut Wire::over(stream), &Work::of(&hub, &dir), carry_out));
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stopping.cancelled() => {
            // Ends whatever the command is waiting for.
            let _ = to_end.shutdown(std::net::Shutdown::Both);
            serving.await
        }
    };
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a command's connection is broken"),
        Err(error) => tracing::error!(%error, "a command panicked; this is a bug"),
    }
}
