//! Redactions and group work: a load thread that redacts some of its own messages and takes the rest as a group's
//! worker, in a room of its own; and the rules that must hold for that room whatever happens to the daemon.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use crate::wire::Wire;

const CLIENT: &str = "amender";
const ROOM: &str = "amends";
/// Fewer than a group hands out past a message that nobody finishes.
const MESSAGES_MAX: usize = 1500;

/// How far a request has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    No,
    /// Sent but unanswered: it may have taken effect.
    Yes,
    /// It was answered OK.
    Answered,
}

/// A message that was answered OK.
#[derive(Clone, Debug, Default)]
struct Entry {
    text: String,
    redacted: Asked,
    done: Asked,
}

/// Every request so far, by seq.
#[derive(Debug, Default)]
pub struct Amends(Mutex<BTreeMap<u64, Entry>>);

impl Amends {
    /// Increases whenever more is known.
    pub fn mark(&self) -> u64 {
        self.with(|entries| entries.values().map(|entry| 1 + entry.redacted as u64 + entry.done as u64).sum())
    }

    /// A copy of what is known now.
    pub fn copy(&self) -> Amends {
        Amends(Mutex::new(self.with(|entries| entries.clone())))
    }

    fn with<T>(&self, with: impl FnOnce(&mut BTreeMap<u64, Entry>) -> T) -> T {
        with(&mut self.0.lock().expect("no thread panicked while holding it"))
    }

    /// Sends, redacts and finishes messages until the connection breaks or `goes_on` returns false.
    pub fn work(&self, address: SocketAddr, random: &mut fastrand::Rng, goes_on: impl Fn() -> bool) -> io::Result<()> {
        let mut wire = Wire::hello(address, CLIENT)?;
        wire.ask(&format!("JOIN {ROOM}"))?;
        wire.ask(&format!("GROUP {ROOM} w timeout=1h"))?;
        while goes_on() {
            let known: Vec<u64> = self.with(|entries| entries.keys().copied().collect());
            let any = |random: &mut fastrand::Rng| known.get(random.usize(..known.len().max(1))).copied();
            match (random.u8(..4), any(random)) {
                (0, Some(seq)) => {
                    self.ask(&mut wire, seq, &format!("REDACT {ROOM} {seq}"), |entry| &mut entry.redacted)?
                }
                (1, Some(seq)) => self.ask(&mut wire, seq, &format!("DONE {ROOM} w {seq}"), |entry| &mut entry.done)?,
                _ if known.len() < MESSAGES_MAX => {
                    // Some are so large that they stay in the journal.
                    let size = [20, 200, 9000][random.usize(..3)];
                    let text = format!("secret {:016x} {}", random.u64(..), "x".repeat(size));
                    let answer = wire.ask(&format!("SEND {ROOM} {text}"))?;
                    if let Some(seq) = answer.strip_prefix("OK ").and_then(|seq| seq.parse().ok()) {
                        self.with(|entries| entries.insert(seq, Entry { text, ..Entry::default() }));
                    }
                }
                _ => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
        Ok(())
    }

    fn ask(&self, wire: &mut Wire, seq: u64, command: &str, of: fn(&mut Entry) -> &mut Asked) -> io::Result<()> {
        let note = |asked: Asked| {
            self.with(|entries| {
                let entry = entries.get_mut(&seq).map(of);
                // An acknowledged state is never downgraded.
                if let Some(entry) = entry.filter(|entry| **entry != Asked::Answered) {
                    *entry = asked;
                }
            });
        };
        note(Asked::Yes);
        if wire.ask(command)?.starts_with("OK ") {
            note(Asked::Answered);
        }
        Ok(())
    }

    /// Audits the room while nothing else uses it; returns the violations.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn audit(&self, address: SocketAddr) -> io::Result<Vec<String>> {
        let entries = self.with(|entries| entries.clone());
        let mut wire = Wire::hello(address, CLIENT)?;
        let mut wrong = Vec::new();
        if entries.is_empty() {
            return Ok(wrong);
        }
        let lines = read(&mut wire, &format!("FETCH {ROOM} after=0"))?;
        let shown: BTreeMap<u64, &str> =
            lines.iter().filter_map(|line| Some((line.split(' ').nth(2)?.parse().ok()?, line.as_str()))).collect();
        for (seq, entry) in &entries {
            let line = shown.get(seq).copied().unwrap_or("nothing");
            let (has_text, is_redacted) = (line.ends_with(&entry.text), line.contains(" redacted="));
            let is_right = match entry.redacted {
                Asked::No => has_text && !is_redacted,
                Asked::Yes => has_text != is_redacted,
                Asked::Answered => is_redacted && !has_text,
            };
            if !is_right {
                wrong.push(format!(
                    "{ROOM} {seq}, redacted: {:?}: shown as {line}, expected {}",
                    entry.redacted, entry.text
                ));
            }
        }
        // A message acknowledged as done is never handed out again.
        loop {
            let lines = read(&mut wire, &format!("TAKE {ROOM} w 256"))?;
            if lines.is_empty() {
                break;
            }
            for seq in lines.iter().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()) {
                if entries.get(&seq).is_some_and(|entry| entry.done == Asked::Answered) {
                    wrong.push(format!("{ROOM} {seq} was done, but was handed out again"));
                }
            }
        }
        Ok(wrong)
    }
}

/// The `MSG` lines of an answer.
fn read(wire: &mut Wire, command: &str) -> io::Result<Vec<String>> {
    wire.send(format!("{command}\n").as_bytes())?;
    let mut lines = Vec::new();
    loop {
        let line = wire.line()?;
        match line.split(' ').next() {
            Some("MSG") => lines.push(line),
            Some("END" | "OK") => return Ok(lines),
            // The group may never have been created.
            Some("ERR") if line.starts_with("ERR no-group") => return Ok(lines),
            _ => return Err(io::Error::other(line)),
        }
    }
}
