//! The machine's own latency, measured beside the daemon: a message over loopback into a plain file, synced and
//! answered. If other programs occupy the processors and the disk, this takes longer as well.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::crowd::{Pace, Times};

const PER_SECOND: f64 = 50.0;
const BODY: [u8; 200] = [b'x'; 200];
/// After this many bytes the file is overwritten from the beginning.
const FILE_BYTES: u64 = 1024 * 1024;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Floor {
    /// Latencies of the messages.
    pub times: Arc<Times>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Floor {
    /// Starts it with its file in this directory.
    ///
    /// # Errors
    /// I/O errors.
    pub fn start(dir: &Path) -> io::Result<Floor> {
        let mut file = File::create(dir.join("floor"))?;
        file.write_all(&vec![0; FILE_BYTES as usize])?;
        file.sync_all()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        let (mut server, _) = listener.accept()?;
        server.set_nodelay(true)?;
        let answering = std::thread::spawn(move || {
            use std::os::unix::fs::FileExt;
            let (mut body, mut at) = (BODY, 0);
            // Runs until the other thread ends.
            while server.read_exact(&mut body).is_ok() {
                file.write_all_at(&body, at)?;
                file.sync_data()?;
                at = (at + BODY.len() as u64) % (FILE_BYTES - BODY.len() as u64);
                server.write_all(b"OK")?;
            }
            Ok(())
        });
        let (times, stop) = (Arc::new(Times::default()), Arc::new(AtomicBool::new(false)));
        let asking = {
            let (times, stop) = (times.clone(), stop.clone());
            std::thread::spawn(move || {
                let (mut pace, mut random) = (Pace::new(PER_SECOND), fastrand::Rng::new());
                while !stop.load(Ordering::Relaxed) {
                    pace.wait(&mut random);
                    let began = Instant::now();
                    client.write_all(&BODY)?;
                    client.read_exact(&mut [0; 2])?;
                    times.note(began);
                }
                Ok(())
            })
        };
        Ok(Floor { times, stop, threads: vec![asking, answering] })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Errors there show up in the latencies.
            let _ = thread.join();
        }
    }
}
