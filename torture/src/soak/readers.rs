//! Readers: live, page by page, as workers, of whole rooms, of the list of rooms, and very slow ones.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crowd::{JOBS, Job, KEPT, MAIN, Pace, SIDES, World, audited, expect, side};
use crate::history::Figures;
use crate::load::{Control, field, ok};
use crate::wire::{Got, Item, Wire};

/// The approximate time that a client stays connected.
fn stay(random: &mut fastrand::Rng) -> Instant {
    Instant::now() + Duration::from_millis(random.u64(4_000..16_000))
}

/// A client's cursor in a room: what was confirmed, and the highest value requested.
type Cursors = HashMap<String, (u64, u64)>;

/// Joins a room, where the cursor must be as it was left.
fn join(world: &World, wire: &mut Wire, name: &str, room: &str, cursors: &mut Cursors) -> io::Result<u64> {
    let answer = expect(wire, &format!("JOIN {room}"))?;
    let cursor = field(&answer, "cursor").ok_or_else(|| io::Error::other(answer))?;
    let (confirmed, asked) = cursors.entry(room.to_owned()).or_default();
    if cursor < *confirmed || cursor > *asked {
        let what = format!(
            "{name}'s cursor in {room} is {cursor}; {confirmed} was confirmed, and {asked} was the highest requested"
        );
        world.history.violation(what);
    }
    *confirmed = cursor.max(*confirmed);
    Ok(cursor)
}

/// Follows all messages and EVENTS, and acknowledges now and then.
pub fn follower(name: String) -> Job {
    let mut cursors = Cursors::new();
    Box::new(move |world, address, control, random| follow(world, &name, address, control, random, &mut cursors))
}

fn follow(
    world: &World,
    name: &str,
    address: SocketAddr,
    control: &Control,
    random: &mut fastrand::Rng,
    cursors: &mut Cursors,
) -> io::Result<()> {
    let mut wire = Wire::hello(address, name)?;
    let rooms: Vec<&str> = MAIN.iter().copied().chain([KEPT]).collect();
    let mut reached: HashMap<&str, u64> = HashMap::new();
    for room in &rooms {
        reached.insert(room, join(world, &mut wire, name, room, cursors)?);
    }
    expect(&mut wire, "EVENTS on")?;
    for room in &rooms {
        wire.send(format!("FOLLOW {room}\n").as_bytes())?;
    }
    let mut asked: VecDeque<Option<&str>> = rooms.iter().map(|_| None).collect();
    let until = stay(random);
    while (control.goes_on() && Instant::now() < until) || !asked.is_empty() {
        let line = match wire.line_within(Duration::from_millis(50))? {
            Got::Line(line) => line,
            Got::Nothing => continue,
        };
        if let Some(item) = Item::parse(&line) {
            let (Item::Message(crate::wire::Message { room, .. }) | Item::Gap { room, .. }) = &item;
            let Some(room) = rooms.iter().find(|known| *known == room) else { continue };
            let after = reached.entry(room).or_default();
            *after = world.ledger.handed(name, *after, &item, None);
            if random.u8(..16) == 0 && asked.len() < 8 && control.goes_on() {
                let cursor = cursors.entry((*room).to_owned()).or_default();
                cursor.1 = cursor.1.max(*after);
                wire.send(format!("ACK {room} {after}\n").as_bytes())?;
                asked.push_back(Some(room));
            }
        } else if !line.starts_with("EVENT ") {
            let (room, answered) = (asked.pop_front(), ok(&line));
            match (room, answered) {
                (Some(Some(room)), Some((seq, _))) => {
                    let cursor = cursors.entry(room.to_owned()).or_default();
                    world.history.count(Figures { cursors: (seq > cursor.0).into(), ..Figures::default() });
                    cursor.0 = cursor.0.max(seq);
                }
                (Some(None), _) if line.starts_with("OK after=") => {}
                _ => return Err(io::Error::other(format!("{name} received {line}"))),
            }
        }
    }
    Ok(())
}

/// Requests pages of all kinds at a steady rate.
pub fn reader(name: String) -> Job {
    Box::new(move |world, address, control, random| {
        let mut wire = Wire::hello(address, &name)?;
        for room in MAIN {
            expect(&mut wire, &format!("JOIN {room}"))?;
        }
        let (mut pace, until) = (Pace::new(15.0), stay(random));
        while control.goes_on() && Instant::now() < until {
            pace.wait(random);
            let room = MAIN[random.usize(..MAIN.len())];
            let last = world.ledger.last(room);
            let after = last.saturating_sub(random.u64(..100));
            match random.u8(..20) {
                0 => ask_for(world, &mut wire, &name, &format!("HISTORY {room} max={}", random.u8(1..50)), None)?,
                1 => ask_for(world, &mut wire, &name, &format!("HISTORY {room} since=1s"), None)?,
                2 => ask_for(world, &mut wire, &name, &format!("READ {room} 200"), None)?,
                3 => lines(&mut wire, &format!("WHO {room}"))?,
                4 => lines(&mut wire, "ROOMS")?,
                5 => drop(expect(&mut wire, "STATS")?),
                _ => ask_for(world, &mut wire, &name, &format!("FETCH {room} after={after} 200"), Some(after))?,
            }
        }
        Ok(())
    })
}

/// Sends a command that returns messages; with `after`, its latency is recorded.
fn ask_for(world: &World, wire: &mut Wire, name: &str, command: &str, after: Option<u64>) -> io::Result<()> {
    let asked = Instant::now();
    let (items, end) = wire.fetch(command)?;
    if after.is_some() {
        world.fetches.note(asked);
    }
    if !end.starts_with("END ") {
        return Err(io::Error::other(format!("{command}: {end}")));
    }
    let first = items.first().map(|item| match item {
        Item::Message(message) => message.seq,
        Item::Gap { from, .. } => *from,
    });
    let mut reached = after.or_else(|| first?.checked_sub(1)).unwrap_or(0);
    for item in &items {
        reached = world.ledger.handed(name, reached, item, Some(asked));
    }
    Ok(())
}

/// Sends a command that is answered with lines, the last one an OK.
fn lines(wire: &mut Wire, command: &str) -> io::Result<()> {
    wire.send(format!("{command}\n").as_bytes())?;
    loop {
        let line = wire.line()?;
        match line.split(' ').next() {
            Some("OK") => return Ok(()),
            Some("ERR") => return Err(io::Error::other(format!("{command}: {line}"))),
            _ => {}
        }
    }
}

/// Takes messages and finishes most of them; abandons some, sometimes together with the connection.
pub fn worker(name: String) -> Job {
    Box::new(move |world, address, control, random| {
        let mut wire = Wire::hello(address, &name)?;
        expect(&mut wire, &format!("JOIN {JOBS} from=now"))?;
        let timeout = (world.retention / 5).max(Duration::from_secs(1)).as_millis();
        expect(&mut wire, &format!("GROUP {JOBS} workers timeout={timeout}ms"))?;
        let until = stay(random);
        while control.goes_on() && Instant::now() < until {
            let asked = Instant::now();
            let (items, end) = wire.fetch(&format!("TAKE {JOBS} workers {} wait=500ms", random.u8(1..16)))?;
            if !end.starts_with("OK ") {
                return Err(io::Error::other(format!("TAKE: {end}")));
            }
            for item in &items {
                let (Item::Message(crate::wire::Message { seq, .. }) | Item::Gap { from: seq, .. }) = item;
                world.ledger.handed(&name, seq - 1, item, Some(asked));
                if matches!(item, Item::Gap { .. }) {
                    continue;
                }
                World::count(&world.taken);
                let known = world.done().get(seq).copied();
                if known.is_some_and(|done| done < asked) {
                    world.history.violation(format!("{name} was handed {JOBS} {seq}, which is done"));
                }
                match random.u8(..20) {
                    // Left to another worker after the timeout.
                    0..2 => {}
                    2 if random.u8(..8) == 0 => return Ok(()),
                    _ => {
                        expect(&mut wire, &format!("DONE {JOBS} workers {seq}"))?;
                        let now = Instant::now();
                        let mut done = world.done();
                        done.insert(*seq, now);
                        done.retain(|_, at| now - *at < world.retention * 3);
                    }
                }
            }
        }
        Ok(())
    })
}

/// Audits whole rooms continuously.
pub fn auditor(name: String) -> Job {
    Box::new(move |world, address, control, _| {
        let mut wire = Wire::hello(address, &name)?;
        let rooms = audited();
        for room in &rooms {
            expect(&mut wire, &format!("JOIN {room} from=now"))?;
        }
        while control.goes_on() {
            for room in &rooms {
                audit(world, &mut wire, &name, room)?;
            }
            let next = Instant::now() + world.retention / 2;
            while control.goes_on() && Instant::now() < next {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    })
}

/// Audits one room.
pub fn audit(world: &World, wire: &mut Wire, name: &str, room: &str) -> io::Result<()> {
    let (last, asked) = (world.ledger.last(room), Instant::now());
    let (items, end) = wire.fetch(&format!("FETCH {room} after=0"))?;
    // END <room> <handed> <oldest> <last>
    let through = end.strip_prefix("END ").and_then(|end| end.rsplit(' ').next()?.parse().ok());
    let through = through.ok_or_else(|| io::Error::other(format!("FETCH {room}: {end}")))?;
    world.ledger.audit(name, room, &items, through, last, asked);
    Ok(())
}

/// Watches the list of rooms.
pub fn watcher(name: String) -> Job {
    Box::new(move |_, address, control, random| {
        let mut wire = Wire::hello(address, &name)?;
        expect(&mut wire, "WATCH")?;
        let (mut rooms, until) = (BTreeMap::new(), stay(random));
        while control.goes_on() && Instant::now() < until {
            let Got::Line(line) = wire.line_within(Duration::from_millis(50))? else { continue };
            match line.strip_prefix("ROOM ").and_then(|rest| rest.split(' ').next()) {
                Some(room) => drop(rooms.insert(room.to_owned(), ())),
                None => return Err(io::Error::other(format!("{name} received {line}"))),
            }
        }
        Ok(())
    })
}

/// Follows everything but reads only a little of it now and then.
pub fn sluggard(name: String) -> Job {
    Box::new(move |_, address, control, random| {
        let mut wire = Wire::hello(address, &name)?;
        let rooms: Vec<String> = MAIN.iter().map(|room| (*room).to_owned()).chain((0..SIDES).map(side)).collect();
        for room in &rooms {
            expect(&mut wire, &format!("JOIN {room} from=now"))?;
        }
        for room in &rooms {
            wire.send(format!("FOLLOW {room}\n").as_bytes())?;
        }
        let until = stay(random);
        while control.goes_on() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(200));
            match wire.stream().read(&mut [0; 512]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    })
}
