//! The contestants as processes. Each starts with its own directory and is killed on drop.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::wire::Wire;

/// Longer than any start takes on a busy machine; 10 million messages take a while to load.
const START_DEADLINE: Duration = Duration::from_secs(300);

/// A contestant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// Its name in tables.
    pub name: String,
    /// Its program.
    pub program: Program,
    /// Its protocol.
    pub wire: Wire,
}

/// A contestant's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The daemon at this path.
    Dantok(PathBuf),
    /// redis-server: append-only, with a sync before each answer.
    Redis,
    /// nats-server with JetStream, whose file store is synced every two minutes.
    Nats,
    /// This program, which appends what arrived to a plain file, syncs it once and answers; see [`crate::floor`].
    Floor,
}

/// A running contestant.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Its data directory.
    pub dir: PathBuf,
}

impl Contestant {
    /// Starts it with its files in `dir`; waits for its first answer.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub fn start(&self, dir: &Path, flags: &[String]) -> io::Result<Server> {
        std::fs::create_dir_all(dir)?;
        // Free now, and nothing else on a measuring machine takes it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = address.port().to_string();
        let mut command = match &self.program {
            Program::Dantok(path) => {
                let mut command = Command::new(path);
                command.args(["serve", "--listen", &address.to_string(), "--max-connections", "20000", "--data-dir"]);
                command.arg(dir.join("data"));
                command
            }
            Program::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "yes"]);
                command.args([
                    "--appendfsync",
                    "always",
                    "--auto-aof-rewrite-percentage",
                    "0",
                    "--maxclients",
                    "20000",
                ]);
                command.arg("--dir").arg(dir);
                command
            }
            Program::Nats => {
                let config = dir.join("nats.conf");
                let text = "write_deadline: \"60s\"\nmax_pending: 1GB\njetstream { store_dir: \"DIR\" }\n";
                std::fs::write(&config, text.replace("DIR", &dir.display().to_string()))?;
                let mut command = Command::new("nats-server");
                command.args(["-a", "127.0.0.1", "-p", &port, "-c"]).arg(config);
                command
            }
            Program::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["floor", &port]).arg(dir.join("log"));
                command
            }
        };
        let log = File::options().create(true).append(true).open(dir.join("output"))?;
        command.args(flags).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| io::Error::other(format!("can't start {}: {error}", self.name)))?;
        let mut server = Server { child, address, dir: dir.to_owned() };
        self.wait(&mut server)?;
        Ok(server)
    }

    fn wait(&self, server: &mut Server) -> io::Result<()> {
        let (question, answer): (&[u8], &[u8]) = match self.program {
            Program::Dantok(_) | Program::Floor => (b"PING\n", b"OK"),
            // Redis answers LOADING first.
            Program::Redis => (b"PING\r\n", b"+PONG"),
            Program::Nats => (b"PING\r\n", b"INFO"),
        };
        let start = Instant::now();
        while start.elapsed() < START_DEADLINE {
            if let Some(status) = server.child.try_wait()? {
                let mut printed = std::fs::read_to_string(server.dir.join("output"))?;
                printed.truncate(2000);
                return Err(io::Error::other(format!("{} ended with {status}: {printed}", self.name)));
            }
            let mut found = [0; 5];
            let asked = TcpStream::connect(server.address).and_then(|mut stream| {
                stream.set_read_timeout(Some(START_DEADLINE))?;
                stream.write_all(question)?;
                stream.read_exact(&mut found[..answer.len()])
            });
            if asked.is_ok() && found[..answer.len()] == *answer {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::other(format!("{} does not answer", self.name)))
    }
}

impl Server {
    /// Kills it with SIGKILL, and waits.
    ///
    /// # Errors
    /// I/O errors.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// CPU time used by all its threads so far, in seconds.
    ///
    /// # Errors
    /// I/O errors.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Fields 14 and 15, in ticks. The name before them may contain anything, but ends with a parenthesis.
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Its resident memory, in bytes.
    ///
    /// # Errors
    /// I/O errors.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// Disk space used by its files, in bytes.
    ///
    /// # Errors
    /// I/O errors.
    pub fn disk_bytes(&self) -> io::Result<u64> {
        fn of(path: &Path) -> io::Result<u64> {
            use std::os::unix::fs::MetadataExt;
            let mut bytes = 0;
            for entry in std::fs::read_dir(path)? {
                // Files may vanish meanwhile.
                let Ok(found) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) else { continue };
                bytes += if found.1.is_dir() { of(&found.0).unwrap_or(0) } else { found.1.blocks() * 512 };
            }
            Ok(bytes)
        }
        of(&self.dir)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Pid::from_raw(self.child.id() as i32).map(|pid| rustix::process::kill_process(pid, Signal::KILL));
        let _ = self.child.wait();
    }
}
