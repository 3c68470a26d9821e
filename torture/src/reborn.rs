//! A room that is deleted and recreated repeatedly: a load thread that does so, and the rules that must hold for that
//! room whatever happens to the daemon. Deleted content never reappears, nothing is missing from the current room, and
//! each incarnation has its own number, higher than all before it.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use crate::load::field;
use crate::wire::Wire;

const CLIENT: &str = "deleter";
const ROOM: &str = "reborn";
/// A room is deleted once it has this many messages, or earlier.
const MESSAGES_MAX: usize = 60;

/// A request that was not answered OK: it may have taken effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum May {
    #[default]
    Nothing,
    BeMade,
    HaveMore(String),
    BeGone,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// The room's number and its messages from the first one on; `None` if there is no such room.
    room: Option<(u64, Vec<String>)>,
    may: May,
    /// The highest number that a room of this name has had.
    highest: u64,
    /// The violations found.
    wrong: Vec<String>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Reborn(Mutex<Known>);

impl Reborn {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().expect("no thread panicked while holding it")
    }

    /// Creates, fills and deletes the room until the connection breaks or `goes_on` returns false.
    pub fn work(&self, address: SocketAddr, random: &mut fastrand::Rng, goes_on: impl Fn() -> bool) -> io::Result<()> {
        let mut wire = Wire::hello(address, CLIENT)?;
        self.known().look(&mut wire)?;
        while goes_on() {
            self.known().step(&mut wire, random)?;
            std::thread::sleep(std::time::Duration::from_micros(random.u64(..2000)));
        }
        Ok(())
    }

    /// Audits the room while nothing else uses it; returns the violations.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn audit(&self, address: SocketAddr) -> io::Result<Vec<String>> {
        let mut known = self.known();
        if known.room.is_some() || known.highest > 0 || known.may != May::Nothing {
            known.look(&mut Wire::hello(address, CLIENT)?)?;
        }
        Ok(std::mem::take(&mut known.wrong))
    }
}

/// An answer that is OK; any other leaves the outcome open.
fn granted(answer: String) -> io::Result<String> {
    if answer.starts_with("OK") { Ok(answer) } else { Err(io::Error::other(answer)) }
}

impl Known {
    fn step(&mut self, wire: &mut Wire, random: &mut fastrand::Rng) -> io::Result<()> {
        match self.room.clone() {
            None => {
                self.may = May::BeMade;
                let answer = granted(wire.ask(&format!("JOIN {ROOM}"))?)?;
                let number = field(&answer, "number").unwrap_or(0);
                if number <= self.highest || !answer.contains(" created ") {
                    self.wrong.push(format!("{ROOM} was created after number {}: {answer}", self.highest));
                }
                (self.room, self.highest) = (Some((number, Vec::new())), number);
            }
            Some((number, messages)) if messages.len() >= MESSAGES_MAX || random.u8(..12) == 0 => {
                self.may = May::BeGone;
                granted(wire.ask(&format!("DELETE {ROOM} number={number}"))?)?;
                self.room = None;
            }
            Some((_, messages)) => {
                // Some are so large that they stay in the journal.
                let size = [20, 200, 9000][random.usize(..3)];
                let text = format!("{:016x}{}", random.u64(..), "x".repeat(size));
                self.may = May::HaveMore(text.clone());
                // Each incarnation uses the same ids.
                let answer = granted(wire.ask(&format!("SEND id=m{} {ROOM} {text}", messages.len()))?)?;
                if answer != format!("OK {}", messages.len() + 1) {
                    self.wrong.push(format!("{ROOM} has {} messages; the next was answered {answer}", messages.len()));
                }
                if let Some((_, messages)) = &mut self.room {
                    messages.push(text);
                }
            }
        }
        self.may = May::Nothing;
        Ok(())
    }

    /// Compares what is stored with what is known, and continues from there.
    fn look(&mut self, wire: &mut Wire) -> io::Result<()> {
        wire.send(format!("FETCH {ROOM} after=0\n").as_bytes())?;
        let (mut shown, mut gone) = (Vec::new(), 0);
        loop {
            let line = wire.line()?;
            let mut words = line.splitn(6, ' ');
            match (words.next(), words.nth(2)) {
                (Some("MSG"), _) => shown.push(words.nth(1).unwrap_or_default().to_owned()),
                (Some("GAP"), to) => gone = to.and_then(|to| to.parse().ok()).unwrap_or(0),
                (Some("END"), _) => break,
                _ if line.starts_with("ERR no-room") => {
                    if self.room.is_some() && self.may != May::BeGone {
                        self.wrong.push(format!("{ROOM} is gone but was not deleted: {self:.300?}"));
                    }
                    (self.room, self.may) = (None, May::Nothing);
                    return Ok(());
                }
                _ => return Err(io::Error::other(line)),
            }
        }
        let answer = granted(wire.ask(&format!("JOIN {ROOM}"))?)?;
        let number = field(&answer, "number").unwrap_or(0);
        let (expected, mut messages) = match self.room.clone() {
            Some(room) => room,
            None => {
                if self.may != May::BeMade || number <= self.highest {
                    self.wrong.push(format!("{ROOM} has come back: {answer}, {self:.300?}"));
                }
                (number, Vec::new())
            }
        };
        if let May::HaveMore(text) = &self.may
            && gone + shown.len() > messages.len()
        {
            messages.push(text.clone());
        }
        if number != expected || shown != messages.get(gone..).unwrap_or_default() {
            let (shown, known) = (shown.len(), messages.len());
            self.wrong.push(format!("{ROOM} {expected} has {known} messages; {number} shows {shown} after {gone}"));
        }
        (self.room, self.may, self.highest) = (Some((number, messages)), May::Nothing, self.highest.max(number));
        Ok(())
    }
}
