//! What the end-to-end tests share: the real daemon, a client for each framing, and tools that may be missing.

pub mod backups;
mod build;
pub mod fixture;
#[cfg(any(feature = "metrics", feature = "web"))]
pub mod http;
pub mod proxy;
pub mod restarts;
#[cfg(feature = "metrics")]
pub mod scrape;
pub mod stall;
pub mod terminal;
mod tool;
#[cfg(feature = "web")]
pub mod web;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dantok::limits::KEEPALIVE_TAKING;
use dantok_protocol::frame::{ClientCodec, RequestFrame, ServerFrame, encode_request};
use dantok_protocol::{Command as Request, Item, Refusal, Reply, commands};
use dantok_store::{State, Store, Writer};
use tokio_util::codec::Decoder;
pub use tool::has_tool;

/// Longer than anything here takes on a busy machine; a test that hangs fails by it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a condition.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Has the system calls of a daemon fail or wait from now on, as strace's `inject=` says; none where strace can't.
pub fn inject(daemon: &Daemon, fault: &str) -> Option<Child> {
    inject_at(daemon, fault, None)
}

/// The same, of calls for one file.
pub fn inject_at(daemon: &Daemon, fault: &str, file: Option<&Path>) -> Option<Child> {
    if !has_tool("strace") {
        return None;
    }
    let calls = format!("trace={}", fault.split(':').next().unwrap());
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &calls,
            "-e",
            &format!("inject={fault}"),
            "-p",
            &daemon.pid().to_string(),
        ])
        .args(file.iter().flat_map(|file| [Path::new("-P"), file]))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
    // It names the threads that it found, several in one line.
    let printed = lines.next().unwrap().unwrap();
    if !printed.contains("attached") {
        assert!(std::env::var_os("CI").is_none(), "strace can't attach: {printed}");
        eprintln!("SKIPPED: strace can't attach: {printed}");
        strace.wait().unwrap();
        return None;
    }
    // It reports each new thread, and would end if nobody read that.
    std::thread::spawn(move || lines.for_each(drop));
    Some(strace)
}

/// Starts a daemon on another's data directory, and kills it when it is ready: its writes, its syncs and what it logs, in their
/// order; none where strace can't.
pub fn traced_start(daemon: &Daemon) -> Option<Vec<String>> {
    if !has_tool("strace") {
        return None;
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-s", "200", "-e", "trace=pwrite64,fdatasync,fsync,write", "-o"])
        .arg(trace.path())
        .arg(env!("CARGO_BIN_EXE_dantok"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(daemon.data_dir())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(strace.stderr.take().unwrap());
    let ready = log.lines().map_while(Result::ok).any(|line| line.contains("ready"));
    // A line begins with the thread's number. strace ends with what it traces.
    let traced = std::fs::read_to_string(trace.path()).unwrap();
    let pid = traced.split_whitespace().next().and_then(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?));
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    strace.wait().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(trace.path()).unwrap()).into_owned();
    if !ready {
        assert!(std::env::var_os("CI").is_none() && text.is_empty(), "the daemon does not start under strace:\n{text}");
        eprintln!("SKIPPED: strace can't start a program here");
        return None;
    }
    Some(text.lines().map(str::to_owned).collect())
}

/// A running daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    flags: Vec<String>,
    env: Vec<(String, String)>,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// With a new data directory, on a free port.
    pub fn start() -> Daemon {
        Daemon::start_with(&[])
    }

    /// The same with more options.
    pub fn start_with(flags: &[&str]) -> Daemon {
        Daemon::start_in(tempfile::tempdir().unwrap(), flags)
    }

    /// The same, where `data` in this directory may be a data directory already.
    pub fn start_in(dir: tempfile::TempDir, flags: &[&str]) -> Daemon {
        Daemon::start_as(dir, flags, &[])
    }

    /// The same with environment variables.
    pub fn start_as(dir: tempfile::TempDir, flags: &[&str], env: &[(&str, &str)]) -> Daemon {
        let daemon = Daemon::listening(dir, flags, env);
        daemon.wait_ready();
        daemon
    }

    /// One that listens already, but may take for ever to open its store.
    pub fn start_opening(dir: tempfile::TempDir) -> Daemon {
        Daemon::listening(dir, &[], &[])
    }

    fn listening(dir: tempfile::TempDir, flags: &[&str], env: &[(&str, &str)]) -> Daemon {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let env: Vec<(String, String)> = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut child = spawn(dir.path(), "127.0.0.1:0", &flags, &env);
        let log = dir.path().join("log");
        let mut address = None;
        wait_until("the daemon listens", || {
            assert!(child.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(&log).unwrap());
            address = listening(&std::fs::read_to_string(&log).unwrap());
            address.is_some()
        });
        Daemon { child, address: address.unwrap(), flags, env, dir }
    }

    /// Where it listens; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it has logged, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn wait_ready(&self) {
        // Connections queue until the store is open; the answer says that it is.
        assert_eq!(Lines::connect(self.address).ask("PING"), ["OK pong"], "{}", self.log());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; waits for its end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "INT" => rustix::process::Signal::INT,
            "HUP" => rustix::process::Signal::HUP,
            other => panic!("no signal {other}"),
        };
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Starts it again on the same data directory and port.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = spawn(self.dir.path(), &self.address.to_string(), &self.flags, &self.env);
        self.wait_ready();
    }

    /// Starts another on the same data directory, or after a kill the same; for starts that fail. Returns its exit status and what it printed.
    pub fn try_start(&self) -> (ExitStatus, String) {
        self.try_start_with(&[])
    }

    /// The same with more options.
    pub fn try_start_with(&self, flags: &[&str]) -> (ExitStatus, String) {
        let flags: Vec<String> = self.flags.iter().cloned().chain(flags.iter().map(|&flag| flag.to_owned())).collect();
        let output = command(self.dir.path(), "127.0.0.1:0", &flags).output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }

    /// Starts another with more options on its data directory, which it must not get, until that listens. Returns what it printed.
    pub fn start_other(&self, flags: &[&str]) -> String {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let mut child = command(self.dir.path(), "127.0.0.1:0", &flags).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut printed = String::new();
        while !printed.contains(" ready") {
            printed += &lines.next().unwrap_or_else(|| panic!("it ended: {printed}")).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        printed
    }

    /// Stops it, copies its data directory, as an operator may, and starts it again. Returns the copy.
    pub fn back_up(&mut self) -> PathBuf {
        let (data, backup) = (self.data_dir(), self.dir.path().join("backup"));
        assert!(self.terminate().success());
        copy_dir(&data, &backup);
        self.start_again();
        backup
    }

    /// Stops it, puts a copy of its data directory in the place of what it has now, and starts it on that; `renew`: with another
    /// epoch, as it should be.
    pub fn go_back_to(&mut self, backup: &Path, renew: bool) {
        let data = self.data_dir();
        if self.child.try_wait().unwrap().is_none() {
            assert!(self.terminate().success());
        }
        std::fs::remove_dir_all(&data).unwrap();
        copy_dir(backup, &data);
        if renew {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
            let output = command.args(["epoch", "--renew", "--data-dir"]).arg(&data).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        self.start_again();
    }

    /// What `dantok token` prints, with these arguments, for this daemon.
    pub fn token(&self, arguments: &[&str]) -> String {
        let output = self.try_token(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The same where it may fail.
    pub fn try_token(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
        command.arg("token").args(arguments).arg("--data-dir").arg(self.data_dir()).output().unwrap()
    }

    /// A client of the line protocol, after HELLO.
    pub fn lines(&self, client: &str) -> Lines {
        let mut lines = Lines::connect(self.address);
        let reply = lines.ask(&format!("HELLO {client}"));
        assert!(reply[0].starts_with("OK "), "{reply:?}");
        lines
    }

    /// A client of the framed protocol, after HELLO.
    pub fn frames(&self, client: &str) -> Frames {
        let mut frames = Frames::connect(self.address);
        let hello = Request::Hello(commands::Hello { version: 1, client: client.to_owned(), token: None, epoch: None });
        assert!(matches!(frames.ask(hello).1, Reply::Welcome(_)));
        frames
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// Copies a directory, as `cp -a` does, but for the times.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// The daemon's program; another version's, where a fixture is made.
pub fn binary() -> String {
    std::env::var("DANTOK_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_dantok").to_owned())
}

fn command(dir: &Path, listen: &str, flags: &[String]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--listen").arg(listen).arg("--data-dir").arg(dir.join("data")).args(flags);
    // The developer's own settings must not affect the tests.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DANTOK_") || name == "STATE_DIRECTORY") {
        command.env_remove(name);
    }
    command
}

fn spawn(dir: &Path, listen: &str, flags: &[String], env: &[(String, String)]) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    let mut command = command(dir, listen, flags);
    command.envs(env.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The address in the log's last "listening" line.
fn listening(log: &str) -> Option<SocketAddr> {
    let line = log.lines().rev().find(|line| line.contains("listening address="))?;
    line.rsplit_once("address=")?.1.trim().parse().ok()
}

/// A blocking client of the line protocol.
pub struct Lines<S = TcpStream> {
    reader: BufReader<S>,
}

impl Lines {
    /// Connects; says nothing.
    pub fn connect(address: SocketAddr) -> Lines {
        Lines::over(connect(address))
    }

    /// Half-closes.
    pub fn done(&mut self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// The same connection, for another thread to write to.
    pub fn another(&self) -> TcpStream {
        self.reader.get_ref().try_clone().unwrap()
    }
}

impl<S: Read + Write> Lines<S> {
    /// On a connection that is there.
    pub fn over(stream: S) -> Lines<S> {
        Lines { reader: BufReader::new(stream) }
    }

    /// That connection.
    pub fn stream(&mut self) -> &mut S {
        self.reader.get_mut()
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a line.
    pub fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// This many bytes, as they come.
    pub fn read_exact(&mut self, bytes: &mut [u8]) {
        self.reader.read_exact(bytes).unwrap();
    }

    /// The next line; none at the end of the stream.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).unwrap();
        (read > 0).then(|| line.strip_suffix('\n').unwrap_or(&line).to_owned())
    }

    /// The lines up to and with the one that ends an answer.
    pub fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().unwrap_or_else(|| panic!("closed, after {lines:?}")));
            let line = lines.last().unwrap();
            let line = if line.starts_with('@') { line.split_once(' ').unwrap().1 } else { line };
            if ["OK", "ERR", "END"].contains(&line.split(' ').next().unwrap()) {
                return lines;
            }
        }
    }

    /// Sends a line and takes its answer.
    pub fn ask(&mut self, line: &str) -> Vec<String> {
        self.send(line);
        self.answer()
    }

    /// Sends a line whose answer is this one line.
    pub fn expect(&mut self, line: &str, answer: &str) {
        let mut answers = self.ask(line);
        // What a room's number is, and who made it, is looked at where that is what is tested.
        if ["JOIN ", "CREATE ", "FOLLOW "].iter().any(|verb| line.starts_with(verb)) {
            answers.iter_mut().for_each(|given| *given = without_numbers(given, answer));
        }
        assert_eq!(answers, [answer], "{line}");
    }

    /// Everything up to the end of the stream.
    pub fn rest(&mut self) -> String {
        String::from_utf8(self.rest_bytes()).unwrap()
    }

    /// The same where it may be no text.
    pub fn rest_bytes(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        rest
    }
}

/// A blocking client of the framed protocol.
pub struct Frames<S = TcpStream> {
    stream: S,
    input: bytes::BytesMut,
    next_id: u64,
    /// Pushes that came while an answer was waited for.
    pub pushes: Vec<Item>,
}

impl Frames {
    /// Connects; says nothing.
    pub fn connect(address: SocketAddr) -> Frames {
        Frames::over(connect(address))
    }

    /// How long [`frame`](Frames::frame) waits.
    pub fn set_timeout_ms(&mut self, ms: u64) {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms))).unwrap();
    }
}

impl<S: Read + Write> Frames<S> {
    /// On a connection that is there.
    pub fn over(stream: S) -> Frames<S> {
        Frames { stream, input: bytes::BytesMut::new(), next_id: 1, pushes: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a request, and returns its id; none where the connection is broken.
    pub fn try_send(&mut self, command: Request) -> Option<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let mut bytes = Vec::new();
        encode_request(&RequestFrame { id, command }, &mut bytes).unwrap();
        self.stream.write_all(&bytes).ok().map(|()| id)
    }

    /// Sends a request, and returns its id.
    pub fn send(&mut self, command: Request) -> u64 {
        self.try_send(command).expect("a connection")
    }

    /// The next frame; none at the end of the stream, or where it breaks.
    pub fn frame(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = ClientCodec.decode(&mut self.input).unwrap() {
                return Some(frame);
            }
            let mut piece = [0; 65536];
            let read = self.stream.read(&mut piece).ok()?;
            if read == 0 {
                return None;
            }
            self.input.extend_from_slice(&piece[..read]);
        }
    }

    /// The answer to a request: its items and its end. None where the connection ends before.
    pub fn try_answer(&mut self, id: u64) -> Option<(Vec<Item>, Reply)> {
        let mut items = Vec::new();
        loop {
            match self.frame()? {
                ServerFrame::Part { id: of, item } => {
                    assert_eq!(of, id);
                    items.push(item);
                }
                ServerFrame::Reply { id: of, reply } => {
                    assert_eq!(of, id);
                    return Some((items, reply));
                }
                ServerFrame::Push { item } => self.pushes.push(item),
                ServerFrame::Closing { refusal } => panic!("closed: {refusal}"),
            }
        }
    }

    /// Sends a request and takes its answer.
    pub fn ask(&mut self, command: Request) -> (Vec<Item>, Reply) {
        let id = self.send(command);
        self.try_answer(id).expect("an answer")
    }

    /// The next push; none where none comes in time, or the connection is broken.
    pub fn try_push(&mut self) -> Option<Item> {
        match self.frame()? {
            ServerFrame::Push { item } => Some(item),
            other => panic!("no push but {other:?}"),
        }
    }

    /// The next push.
    pub fn push(&mut self) -> Item {
        if !self.pushes.is_empty() {
            return self.pushes.remove(0);
        }
        match self.frame() {
            Some(ServerFrame::Push { item }) => item,
            other => panic!("no push but {other:?}"),
        }
    }

    /// The refusal that precedes a close.
    pub fn closing(&mut self) -> Refusal {
        match self.frame() {
            Some(ServerFrame::Closing { refusal }) => refusal,
            other => panic!("not closing but {other:?}"),
        }
    }
}

/// What has a daemon serve TLS too, with a certificate of its own, whose files are in this directory.
pub fn serve_tls(dir: &Path) -> Vec<String> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    ["--listen-tls", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key].map(str::to_owned).to_vec()
}

/// A connection; reads from it fail after the deadline.
pub fn connect(address: SocketAddr) -> TcpStream {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Opens a store in this process. A child that another test has just forked holds the lock of a store that was closed, until it
/// executes its program.
pub fn open_store(dir: &Path, options: &dantok_store::Options) -> (Arc<Store>, Writer, State) {
    let mut opened = None;
    wait_until("the store is let go", || match Store::open(dir, options) {
        Err(dantok_store::Error::InUse { .. }) => false,
        result => {
            opened = Some(result.unwrap());
            true
        }
    });
    opened.unwrap()
}

/// Waits until the store that was closed in this process can be opened by another one; see [`open_store`].
pub fn wait_until_closed(dir: &Path) {
    wait_until("the store is let go", || !dantok_store::look(dir).unwrap());
}

/// In how long the kernel asks whether a client is there, by the daemon's socket; none where it waits for something else.
pub fn asked_in(daemon: &Daemon, client: &TcpStream) -> Option<Duration> {
    let ports =
        [daemon.address().port(), client.local_addr().unwrap().port()].map(|port| format!("0100007F:{port:04X}"));
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let socket = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|of| of[1..3] == ports);
    // 2 is the keepalive's timer; hundredths of a second.
    let hundredths = socket.unwrap()[5].strip_prefix("02:")?;
    Some(Duration::from_millis(10 * u64::from_str_radix(hundredths, 16).unwrap()))
}

/// Waits until the daemon has begun a TAKE of this connection, which answers nothing yet.
pub fn wait_until_it_takes(daemon: &Daemon, client: &Lines) {
    let client = client.another();
    wait_until("a TAKE waits", || asked_in(daemon, &client).is_some_and(|asked| asked <= KEEPALIVE_TAKING.idle));
}

/// The binary of an example, as new as its source: `cargo test --test …` alone builds none.
pub fn example(name: &str) -> PathBuf {
    binaries().1.join(name)
}

/// The chat client, likewise.
pub fn chat_binary() -> &'static Path {
    &binaries().0
}

fn binaries() -> &'static (PathBuf, PathBuf) {
    static BINARIES: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let dir = Path::new(env!("CARGO_BIN_EXE_dantok")).parent().unwrap();
        build::build("dantok-chat", Path::new(env!("CARGO_MANIFEST_DIR")), dir);
        (dir.join("dantok-chat"), dir.join("examples"))
    })
}

/// An answer without `number=…`, and without `created` where that is not expected: clients ignore words at an OK's end.
pub fn without_numbers(given: &str, expected: &str) -> String {
    let known: Vec<&str> = expected.split(' ').collect();
    let is_wanted = |word: &&str| !word.starts_with("number=") && (*word != "created" || known.contains(word));
    given.split(' ').filter(is_wanted).collect::<Vec<_>>().join(" ")
}
