//! A terminal of its own for each chat, by tmux.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{chat_binary, wait_until};

static TERMINALS: AtomicUsize = AtomicUsize::new(0);

/// A message, as a screen shows it.
pub type Said = (String, String);

/// What a person has at home: the outbox stays when the terminal goes.
pub struct Person {
    pub name: &'static str,
    home: tempfile::TempDir,
}

impl Person {
    pub fn new(name: &'static str) -> Person {
        Person { name, home: tempfile::tempdir().unwrap() }
    }

    /// The command that starts the chat.
    pub fn command(&self, server: &str, rooms: &str) -> String {
        let (chat, name, home) = (chat_binary(), self.name, self.home.path().display());
        format!(
            "env -u DANTOK_TOKEN XDG_STATE_HOME={home} TZ=UTC {} {rooms} --as {name} --server {server}",
            chat.display()
        )
    }

    pub fn chat(&self, server: &str, rooms: &str) -> Terminal {
        Terminal::start(&self.command(server, rooms))
    }

    /// The file of the outbox.
    pub fn outbox(&self) -> PathBuf {
        let server = std::fs::read_dir(self.home.path().join("dantok")).unwrap().next().unwrap().unwrap().path();
        std::fs::read_dir(server).unwrap().next().unwrap().unwrap().path()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// A terminal; closed when dropped, with the program in it.
pub struct Terminal(String);

impl Terminal {
    /// Runs a command in it.
    pub fn start(command: &str) -> Terminal {
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal(format!("dantok-screen-{}-{number}", std::process::id()));
        // Not the developer's tmux.conf; and no shell in between, so that the pane's process is the chat.
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "130", "-y", "50", &format!("exec {command}")]);
        terminal
    }

    pub fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.0, "-u"]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits for what the screen shows.
    pub fn wait(&self, what: &str, condition: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || {
                last = self.screen();
                condition(&last)
            });
        }));
        assert!(shown.is_ok(), "{what} is not shown:\n{last}");
    }

    /// Whether a text stands among the messages, be it as one that waits.
    pub fn shows(&self, text: &str) -> bool {
        right(&self.screen()).any(|line| line.contains(text))
    }

    pub fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    pub fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line and ends it.
    pub fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
        self.keys(&["Enter"]);
    }

    /// Goes to a room that is joined already.
    pub fn go(&self, room: &str) {
        self.line(&format!("/join {room}"));
        self.wait(&format!("{room} is open"), |screen| right(screen).next() == Some(room));
    }

    /// SIGKILL, to what runs in it.
    pub fn kill(self) {
        let pid = self.tmux(&["display-message", "-p", "#{pane_pid}"]).trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        wait_until("its end", || self.screen().is_empty());
    }

    /// Quits the chat and waits for its end: until then it holds the lock on its outbox.
    pub fn quit(self) {
        self.keys(&["C-d"]);
        wait_until("its end", || self.screen().is_empty());
    }

    /// The messages that are shown with a time: those that the daemon has.
    pub fn said(&self) -> Vec<Said> {
        said(&self.screen())
    }

    /// The unread count of a room, where the list shows one.
    pub fn unread(&self, room: &str) -> Option<u64> {
        let screen = self.screen();
        let mut lines = screen.lines().filter_map(|line| line.split_once('│'));
        let row = lines.find_map(|(left, _)| {
            left.get(2..).filter(|left| left.split_whitespace().next() == Some(room)).map(str::to_owned)
        });
        row?.split_whitespace().nth(1).and_then(|count| count.parse().ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// What stands at the right of the list of rooms: the room's name first.
fn right(screen: &str) -> impl Iterator<Item = &str> {
    screen.lines().filter_map(|line| line.split_once("│ ")).map(|(_, right)| right.trim())
}

fn said(screen: &str) -> Vec<Said> {
    let one = |line: &str| {
        let (time, rest) = line.split_once(' ')?;
        let is_time = time.len() == 5 && time.get(2..3) == Some(":") && time.ends_with(|c: char| c.is_ascii_digit());
        let (name, text) = rest.split_once(' ').filter(|_| is_time)?;
        Some((name.to_owned(), text.trim().to_owned()))
    };
    right(screen).filter_map(one).collect()
}
