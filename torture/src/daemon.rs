//! Runs the real daemon as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// Longer than any start or stop takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How daemons are started.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// A command that runs the program, if it is not run directly.
    pub wrapper: Vec<String>,
    /// The program.
    pub program: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its log file, to which each start appends.
    pub log: PathBuf,
    /// More options.
    pub flags: Vec<String>,
    /// Its environment, apart from dantok's own variables.
    pub env: Vec<(String, String)>,
}

/// Where a daemon is reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// By lines.
    pub lines: SocketAddr,
    /// By WebSockets and HTTP, if it listens for them.
    pub web: Option<SocketAddr>,
}

impl From<SocketAddr> for Addresses {
    fn from(lines: SocketAddr) -> Addresses {
        Addresses { lines, web: None }
    }
}

/// A dantok process; killed on drop.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// The offset in the log file at which this process started.
    log_from: u64,
}

/// Why the daemon did not come up.
#[derive(Debug)]
pub enum NotUp {
    /// It exited, with this status and log.
    Ended(ExitStatus, String),
    /// It neither came up nor exited; its log.
    Hangs(String),
    /// The caller gave up waiting.
    GivenUp,
}

impl Recipe {
    /// For a directory that holds the data directory and the log.
    pub fn new(program: &Path, dir: &Path) -> Recipe {
        Recipe {
            wrapper: Vec::new(),
            program: program.to_owned(),
            data_dir: dir.join("data"),
            log: dir.join("log"),
            flags: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Has it listen for the web as well.
    pub fn with_web(mut self) -> Recipe {
        self.flags.extend(["--web", "127.0.0.1:0"].map(str::to_owned));
        self
    }

    fn command(&self) -> Command {
        let mut words = self.wrapper.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DANTOK_") || name == "STATE_DIRECTORY") {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Daemon {
        let log = File::options().create(true).append(true).open(&self.log).expect("the log can be written");
        let log_from = log.metadata().map_or(0, |metadata| metadata.len());
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&self.data_dir).args(&self.flags);
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("can't start {}: {error}", self.program.display()));
        Daemon { child, log: self.log.clone(), log_from }
    }

    /// Starts it and waits until it answers.
    pub fn start(&self) -> Result<(Daemon, SocketAddr), NotUp> {
        let mut daemon = self.spawn();
        let address = daemon.wait_up(|| false)?;
        Ok((daemon, address))
    }

    /// Runs another dantok command on the data directory; returns its status and all its output.
    pub fn run(&self, command: &str) -> (ExitStatus, String) {
        let output = self.command().arg(command).arg("--data-dir").arg(&self.data_dir).output();
        let output = output.unwrap_or_else(|error| panic!("can't run {}: {error}", self.program.display()));
        let printed = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&printed).into_owned())
    }
}

impl Daemon {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged since its start.
    pub fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_from as usize..).unwrap_or_default()).into_owned()
    }

    /// Waits until it answers and returns its address, or until it exits or `give_up` returns true.
    pub fn wait_up(&mut self, give_up: impl Fn() -> bool) -> Result<SocketAddr, NotUp> {
        let start = Instant::now();
        let mut address: Option<SocketAddr> = None;
        loop {
            if let Some(status) = self.ended() {
                return Err(NotUp::Ended(status, self.log()));
            }
            if give_up() {
                return Err(NotUp::GivenUp);
            }
            let log = self.log();
            address = address.or_else(|| listening(&log, "listening address="));
            if let Some(address) = address.filter(|_| log.lines().any(|line| line.trim_end().ends_with(" ready"))) {
                return Ok(address);
            }
            if start.elapsed() > DEADLINE {
                return Err(NotUp::Hangs(self.log()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Where it is reached, now that it is up at this address.
    pub fn addresses(&self, lines: SocketAddr) -> Addresses {
        Addresses { lines, web: listening(&self.log(), "listening for the web address=") }
    }

    /// Its exit status, once it has exited.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the daemon is our child")
    }

    /// Waits for it to exit; `None` if it does not in time.
    pub fn wait_end(&mut self, most: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || start.elapsed() > most {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends SIGKILL without waiting.
    pub fn kill(&mut self) {
        // It may have exited on its own.
        let _ = self.child.kill();
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill_and_wait(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.wait_end(DEADLINE)
    }

    /// Its resident memory in bytes: now, and the peak.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kib.unwrap_or(0) * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

/// The address that a log names after these words.
fn listening(log: &str, words: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| line.rsplit_once(words)?.1.trim().parse().ok())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill_and_wait();
    }
}
