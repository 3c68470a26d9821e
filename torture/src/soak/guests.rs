//! Guests: a few dozen devices that connect, look around in a room and leave again after a moment, in every possible
//! way.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use super::crowd::{JOBS, Job, Pace, SIDES, World, side};
use super::frames::{Answer, Frames, Request};
use crate::load::ok;
use crate::wire::{Item, PATIENCE, Wire};

/// Number of people, and devices of each.
const PERSONS: usize = 16;
const DEVICES: [&str; 3] = ["phone", "desk", "tv"];
/// Visits per second.
const PER_SECOND: f64 = 8.0;

/// Makes one visit after another.
pub fn guests() -> Job {
    Box::new(move |world, address, control, random| {
        let mut pace = Pace::new(PER_SECOND);
        while control.goes_on() {
            pace.wait(random);
            World::count(&world.visits);
            match random.u8(..20) {
                0 => stranger(address, random)?,
                1..6 => frames(world, address, random)?,
                6..10 => lines(world, world.connect_tls()?, random)?,
                _ => lines(world, Wire::connect(address)?, random)?,
            }
        }
        Ok(())
    })
}

fn name(random: &mut fastrand::Rng) -> (String, String) {
    let person = format!("guest{}", random.usize(..PERSONS));
    let device = format!("{person}/{}", DEVICES[random.usize(..DEVICES.len())]);
    (person, device)
}

/// A connection that sends nothing, or something unintelligible.
fn stranger(address: SocketAddr, random: &mut fastrand::Rng) -> io::Result<()> {
    let mut wire = Wire::connect(address)?;
    let said: [&[u8]; 5] = [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xfe\xfe", b"\0\0\0\x05hello", b"HELLO nobody\nSEND cut"];
    wire.send(said[random.usize(..said.len())])?;
    if random.bool() {
        // Stays until it is closed, or for a moment.
        wire.stream().set_read_timeout(Some(Duration::from_millis(30)))?;
        let _ = wire.stream().read(&mut [0; 256]);
    }
    Ok(())
}

/// A visit with the line protocol: sends everything at once and accepts any answer.
fn lines(world: &World, mut wire: Wire, random: &mut fastrand::Rng) -> io::Result<()> {
    let (person, device) = name(random);
    let room = side(random.usize(..SIDES));
    let mut said = vec![format!("HELLO {device}"), format!("JOIN {room} from=now")];
    let mut sent = None;
    let mut more = |line: String, random: &mut fastrand::Rng| {
        if random.u8(..4) == 0 {
            said.push(line);
        }
    };
    more(format!("NICK the {}. one", random.u8(..8)), random);
    more("EVENTS on".to_owned(), random);
    more(format!("FOLLOW {room}"), random);
    more(format!("FETCH {room} after=0 20"), random);
    more(format!("HISTORY {room} since=5s max=20"), random);
    more(format!("ACK {room}"), random);
    more(format!("SEEK {room} start"), random);
    more(format!("TYPING {room}"), random);
    more(format!("WHO {room}"), random);
    more("ROOMS".to_owned(), random);
    more("WATCH".to_owned(), random);
    more(format!("CREATE {room}"), random);
    more(format!("JOIN {JOBS} from=now\nGROUP {JOBS} of-{person} timeout=1s"), random);
    more(format!("TAKE {JOBS} of-{person} 4"), random);
    more(format!("UNGROUP {JOBS} of-{person}"), random);
    more("FORMAT json".to_owned(), random);
    if random.u8(..4) == 0 {
        let outgoing = world.ledger.begin(&room, &person, false, b"just looking");
        said.push(format!("@said SEND {room} {}", String::from_utf8_lossy(&outgoing.body)));
        sent = Some(outgoing);
    }
    if random.bool() {
        said.push(format!("LEAVE {room}"));
    }
    said.push("@end PING".to_owned());
    wire.send(format!("{}\n", said.join("\n")).as_bytes())?;
    if random.u8(..8) == 0 {
        // Leaves without waiting for an answer.
        return Ok(());
    }
    loop {
        let line = wire.line()?;
        if line.starts_with("@end ") || line.contains("\"tag\":\"end\"") {
            break;
        }
        // The seq is not parsed from JSON, so this message counts as possibly stored.
        if let (Some(outgoing), Some((seq, repeated))) = (&sent, line.strip_prefix("@said ").and_then(ok)) {
            world.ledger.answered(outgoing, seq, repeated);
        }
    }
    match random.u8(..4) {
        0 => {
            wire.send(b"QUIT\n")?;
            wire.stream().set_read_timeout(Some(PATIENCE))?;
            while wire.line().is_ok() {}
        }
        1 => wire.stream().shutdown(Shutdown::Write)?,
        2 => wire.send(format!("SEND {room} cut off in the mid").as_bytes())?,
        _ => {}
    }
    Ok(())
}

/// A visit with the framed protocol.
fn frames(world: &World, address: SocketAddr, random: &mut fastrand::Rng) -> io::Result<()> {
    let (_, device) = name(random);
    let room = side(random.usize(..SIDES));
    let mut frames = Frames::connect(address, &device)?;
    frames.ask(Request::join(&room))?;
    let (items, answer) = frames.fetch(Request::fetch(&room, None, Some(20)))?;
    // Another guest may use the same device and leave the room.
    if !matches!(answer, Answer::Error(_)) {
        let mut after = items.first().map_or(0, |item| match item {
            Item::Message(message) => message.seq - 1,
            Item::Gap { from, .. } => from - 1,
        });
        for item in &items {
            after = world.ledger.handed(&device, after, item, None);
        }
        frames.ask(Request::ack(&room, after))?;
    }
    if random.bool() {
        frames.ask(Request::leave(&room))?;
    }
    if random.bool() {
        frames.send(Request::follow(&room))?;
    }
    Ok(())
}
