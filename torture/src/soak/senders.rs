//! Senders at a steady rate, with lines and with frames. They use ids, repeat messages and redact some of them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crowd::{ARCHIVE, CAPPED, Job, KEPT, MAIN, Pace, SIDES, World, everywhere, expect, side};
use super::frames::{Answer, Frames, Request, Told};
use super::ledger::Outgoing;
use crate::load::{Bodies, Control, ok};
use crate::text;
use crate::wire::{Item, PATIENCE, Wire};

/// What a sender remembers of its messages, to repeat, answer or redact them.
const RECENT: usize = 32;

struct Sender {
    name: String,
    per_second: f64,
    /// Sent with an id and not answered OK.
    unanswered: Vec<Outgoing>,
    /// Answered OK, with seqs and times.
    recent: VecDeque<(Outgoing, u64, Instant)>,
}

/// A sender with the line protocol.
pub fn sender(name: String, per_second: f64) -> Job {
    let mut sender = Sender { name, per_second, unanswered: Vec::new(), recent: VecDeque::new() };
    Box::new(move |world, address, control, random| sender.work(world, address, control, random))
}

/// A room and the messages for it.
fn topic(random: &mut fastrand::Rng) -> (String, Vec<u8>) {
    let room = match random.u8(..100) {
        0 => return (ARCHIVE.to_owned(), text::content(Bodies::Lines, random)),
        1..78 => MAIN[random.usize(..MAIN.len())].to_owned(),
        78..84 => KEPT.to_owned(),
        84..88 => CAPPED.to_owned(),
        _ => side(random.usize(..SIDES)),
    };
    let content = if room == CAPPED { text::content(Bodies::Large, random) } else { said(random) };
    (room, content)
}

/// Mostly chat lines; some are pasted text, a few are files or binary.
fn said(random: &mut fastrand::Rng) -> Vec<u8> {
    let line = text::line(random);
    match random.u8(..100) {
        0..2 => text::repeated(line, random.usize(8 * 1024..60 * 1024)),
        2..16 => text::repeated(line, random.usize(500..7 * 1024)),
        16..20 => (0..random.usize(..300)).map(|_| random.u8(..)).collect(),
        _ => line.to_vec(),
    }
}

impl Sender {
    fn work(
        &mut self,
        world: &World,
        address: SocketAddr,
        control: &Control,
        random: &mut fastrand::Rng,
    ) -> io::Result<()> {
        let mut wire = Wire::hello(address, &self.name)?;
        for room in everywhere() {
            expect(&mut wire, &format!("JOIN {room} from=now"))?;
        }
        let again = std::mem::take(&mut self.unanswered);
        world.ledger.sends_again(&again);
        self.send(world, &mut wire, again)?;
        let mut pace = Pace::new(self.per_second);
        while control.goes_on() {
            pace.wait(random);
            match random.u8(..100) {
                0..2 => self.redact(world, &mut wire, random)?,
                2..4 => self.repeat(world, &mut wire, random)?,
                4 => drop(expect(&mut wire, &format!("TYPING {}", MAIN[random.usize(..MAIN.len())]))?),
                5 => {
                    let topic = random.u16(..1000);
                    drop(expect(&mut wire, &format!("TOPIC {} topic {topic}", side(random.usize(..SIDES))))?);
                }
                6 => self.reply(world, &mut wire, random)?,
                _ => {
                    // Most come one by one; now and then text is pasted.
                    let count = if random.u8(..40) == 0 { random.usize(2..12) } else { 1 };
                    let batch = std::iter::repeat_with(|| {
                        let (room, content) = topic(random);
                        world.ledger.begin(&room, &self.name, random.u8(..8) > 0, &content)
                    });
                    let batch = batch.take(count).collect();
                    self.send(world, &mut wire, batch)?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, world: &World, wire: &mut Wire, batch: Vec<Outgoing>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for outgoing in &batch {
            encode(outgoing, &mut bytes);
        }
        // Repeated if the connection breaks before all are answered.
        let with_id = |outgoing: &&Outgoing| outgoing.id.is_some();
        self.unanswered = batch.iter().filter(with_id).cloned().collect();
        let began = Instant::now();
        wire.send(&bytes)?;
        for outgoing in batch {
            let answer = wire.line()?;
            world.sends.note(began);
            self.unanswered.retain(|other| other.number != outgoing.number);
            match ok(&answer) {
                Some((seq, repeated)) => {
                    world.ledger.answered(&outgoing, seq, repeated);
                    self.recent.push_back((outgoing, seq, Instant::now()));
                }
                None if outgoing.room == CAPPED && answer.starts_with("ERR limit ") => world.ledger.refused(),
                None if answer.starts_with("ERR stopping ") => {
                    world.ledger.refused();
                    self.unanswered.extend(outgoing.id.is_some().then_some(outgoing));
                }
                None => return Err(io::Error::other(format!("a SEND to {}: {answer}", outgoing.room))),
            }
        }
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Ok(())
    }

    /// One of its own messages that is young enough to be kept for a while yet.
    fn own(&mut self, world: &World, random: &mut fastrand::Rng) -> Option<(Outgoing, u64)> {
        self.recent.retain(|(_, _, answered)| answered.elapsed() < world.retention / 2);
        let (outgoing, seq, _) = self.recent.get(random.usize(..self.recent.len().max(1)))?;
        Some((outgoing.clone(), *seq))
    }

    fn redact(&mut self, world: &World, wire: &mut Wire, random: &mut fastrand::Rng) -> io::Result<()> {
        let Some((Outgoing { room, number, .. }, seq)) = self.own(world, random) else { return Ok(()) };
        self.recent.retain(|(other, ..)| other.number != number);
        world.ledger.asks_redaction(&room, seq);
        let answer = expect(wire, &format!("REDACT {room} {seq}"))?;
        if let Some((by, _)) = ok(&answer) {
            world.ledger.redacted(&room, seq, by);
        }
        Ok(())
    }

    fn repeat(&mut self, world: &World, wire: &mut Wire, random: &mut fastrand::Rng) -> io::Result<()> {
        let again = self.own(world, random).map(|(outgoing, _)| outgoing).filter(|outgoing| outgoing.id.is_some());
        let Some(again) = again else { return Ok(()) };
        self.recent.retain(|(other, ..)| other.number != again.number);
        let again = vec![again];
        world.ledger.sends_again(&again);
        self.send(world, wire, again)
    }

    fn reply(&mut self, world: &World, wire: &mut Wire, random: &mut fastrand::Rng) -> io::Result<()> {
        let Some((Outgoing { room, .. }, seq)) = self.own(world, random).filter(|(own, _)| own.room != CAPPED) else {
            return Ok(());
        };
        let outgoing = world.ledger.begin(&room, &self.name, false, b"yes, that one");
        let text = String::from_utf8_lossy(&outgoing.body).into_owned();
        let answer = expect(wire, &format!("SEND reply={seq} {room} {text}"))?;
        if let Some((seq, repeated)) = ok(&answer) {
            world.ledger.answered(&outgoing, seq, repeated);
        }
        Ok(())
    }
}

/// A SEND, or a SENDB if the body can't be a line.
fn encode(outgoing: &Outgoing, out: &mut Vec<u8>) {
    let Outgoing { room, body, id, .. } = outgoing;
    let id = id.as_ref().map(|id| format!("id={id} ")).unwrap_or_default();
    let is_text = std::str::from_utf8(body).is_ok() && !body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    let head = match is_text {
        true => format!("SEND {id}{room} "),
        false => format!("SENDB {id}{room} {}\n", body.len()),
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    out.push(b'\n');
}

/// A client with the framed protocol: on one connection, it sends, and follows and acknowledges all messages, its own
/// included.
pub fn robot(name: String, per_second: f64) -> Job {
    Box::new(move |world, address, control, random| {
        let mut frames = Frames::connect(address, &name)?;
        let mut reached: HashMap<&str, u64> = HashMap::new();
        for room in MAIN {
            match frames.ask(Request::join(room))? {
                Answer::Joined(cursor) => reached.insert(room, cursor),
                answer => return Err(io::Error::other(format!("JOIN {room}: {answer:?}"))),
            };
        }
        for room in MAIN {
            frames.send(Request::follow(room))?;
        }
        let mut waiting: HashMap<u64, (Outgoing, Instant)> = HashMap::new();
        let mut pace = Instant::now();
        let until = Instant::now() + Duration::from_millis(random.u64(10_000..20_000));
        while (control.goes_on() && Instant::now() < until) || !waiting.is_empty() {
            if Instant::now() >= pace && control.goes_on() && Instant::now() < until {
                pace += Duration::from_secs_f64(2.0 * random.f64() / per_second);
                let room = MAIN[random.usize(..MAIN.len())];
                let outgoing = world.ledger.begin(room, &name, true, &said(random));
                let id = frames.send(Request::send(room, outgoing.id.as_deref(), &outgoing.body))?;
                waiting.insert(id, (outgoing, Instant::now()));
            }
            if waiting.values().any(|(_, began)| began.elapsed() > PATIENCE) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match frames.told_within(Duration::from_millis(1))? {
                Some(Told::Answer(id, Answer::Sent(seq, repeated))) => {
                    let Some((outgoing, began)) = waiting.remove(&id) else { continue };
                    world.sends.note(began);
                    world.ledger.answered(&outgoing, seq, repeated);
                }
                Some(Told::Answer(_, Answer::Error(text))) => return Err(io::Error::other(text)),
                Some(Told::Item(item)) => {
                    let (Item::Message(crate::wire::Message { room, .. }) | Item::Gap { room, .. }) = &item;
                    let Some(room) = MAIN.iter().find(|main| *main == room) else { continue };
                    let after = reached.entry(room).or_default();
                    *after = world.ledger.handed(&name, *after, &item, None);
                    if random.u8(..32) == 0 {
                        frames.send(Request::ack(room, *after))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    })
}
