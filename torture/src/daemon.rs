//! The real daemon, as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// Longer than any start or end takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How daemons are started.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What runs the program, where it is not to be run as it is.
    pub wrapper: Vec<String>,
    /// The program.
    pub program: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Where its log goes, start after start.
    pub log: PathBuf,
    /// More options.
    pub flags: Vec<String>,
    /// Its environment, besides what dantok itself reads.
    pub env: Vec<(String, String)>,
}

/// A process that is dantok; killed when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Where its log began.
    log_from: u64,
}

/// Why there is no answering daemon.
#[derive(Debug)]
pub enum NotUp {
    /// It has ended, with this status and log.
    Ended(ExitStatus, String),
    /// It does neither come up nor end; its log.
    Hangs(String),
    /// Somebody else had a reason not to wait any longer.
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

    /// Starts it; does not wait.
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

    /// Runs another of its commands on the data directory; returns its status and all it said.
    pub fn run(&self, command: &str) -> (ExitStatus, String) {
        let output = self.command().arg(command).arg("--data-dir").arg(&self.data_dir).output();
        let output = output.unwrap_or_else(|error| panic!("can't run {}: {error}", self.program.display()));
        let said = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&said).into_owned())
    }
}

impl Daemon {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_from as usize..).unwrap_or_default()).into_owned()
    }

    /// Waits until it answers, and says where; or until it ends, or `give_up` says so.
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
            if address.is_none() {
                let listening =
                    log.lines().find_map(|line| line.rsplit_once("listening address=")?.1.trim().parse().ok());
                address = listening;
            }
            if let Some(address) = address.filter(|_| log.lines().any(|line| line.trim_end().ends_with(" ready"))) {
                return Ok(address);
            }
            if start.elapsed() > DEADLINE {
                return Err(NotUp::Hangs(self.log()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the daemon is our child")
    }

    /// Waits for its end; none where it does not come.
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

    /// SIGKILL; does not wait.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// SIGKILL, and waits for the end.
    pub fn kill_and_wait(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.wait_end(DEADLINE)
    }

    /// Its resident memory, in bytes: now, and the most so far.
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

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill_and_wait();
    }
}
