//! Senders and readers on real sockets, which carry on across restarts of the daemon.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::daemon::{Addresses, DEADLINE};
use crate::history::{Figures, History, Sent};
use crate::link::{Answer, Link, joined};
use crate::text;
use crate::web;
use crate::wire::{Got, Item, Wire};

/// The rooms that the load uses.
pub const ROOMS: [&str; 3] = ["lobby", "단톡", "ops"];

/// Kinds of message bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Chat lines.
    Lines,
    /// Mostly chat lines; some from a few KiB up to the limit, some binary.
    Mixed,
    /// 16 to 64 KiB, so that journal files fill up and are freed.
    Large,
}

/// The shape of the load.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Number of threads that send.
    pub senders: usize,
    /// Number of threads that FOLLOW and acknowledge some of what they get.
    pub followers: usize,
    /// Number of threads that READ in a loop.
    pub readers: usize,
    /// The bodies.
    pub bodies: Bodies,
    /// The longest pause between two batches of a sender.
    pub pause: Duration,
    /// More threads, which use the web.
    pub web: web::Shape,
}

impl Shape {
    /// A random load.
    pub fn random(random: &mut fastrand::Rng) -> Shape {
        Shape {
            senders: random.usize(1..=6),
            followers: random.usize(1..=2),
            readers: random.usize(1..=2),
            bodies: [Bodies::Lines, Bodies::Lines, Bodies::Mixed, Bodies::Large][random.usize(..4)],
            pause: Duration::from_millis([1, 2, 10][random.usize(..3)]),
            web: web::Shape::default(),
        }
    }

    /// The same with clients on the web among it.
    pub fn with_web(self, random: &mut fastrand::Rng) -> Shape {
        Shape { web: web::Shape::random(random), ..self }
    }
}

/// State shared with the threads.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    /// Where the daemon is, while the load may use it.
    addresses: Mutex<Option<Addresses>>,
    /// Number of threads that have a connection.
    busy: AtomicUsize,
}

/// What a thread does.
pub type Work = Box<dyn FnOnce(&Control, &History, fastrand::Rng) + Send>;

/// The running threads.
#[derive(Debug)]
pub struct Load {
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

impl Control {
    fn addresses(&self) -> Option<Addresses> {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the load may still use the daemon.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && self.addresses().is_some()
    }

    /// Runs `work` on the daemon's address for lines repeatedly, as long as there is one.
    pub fn while_up(&self, mut work: impl FnMut(SocketAddr) -> io::Result<()>) {
        self.while_reached(|addresses| work(addresses.lines));
    }

    /// The same for work that uses other addresses of the daemon.
    pub fn while_reached(&self, mut work: impl FnMut(Addresses) -> io::Result<()>) {
        while !self.stop.load(Ordering::Relaxed) {
            self.busy.fetch_add(1, Ordering::SeqCst);
            if let Some(addresses) = self.addresses() {
                // Broken connections are expected here; the next one carries on.
                let _ = work(addresses);
            }
            self.busy.fetch_sub(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Load {
    /// Starts the threads, which wait for the daemon's [address](Load::resume).
    pub fn start(history: &Arc<History>, shape: &Shape, random: &mut fastrand::Rng) -> Load {
        let mut works: Vec<(String, Work)> = Vec::new();
        let mut spawn = |name: String, work: Work| works.push((name, work));
        let speakers = [
            (shape.senders, "sender", Speaks::Lines),
            (shape.web.sockets, "socket", Speaks::WebSocket),
            (shape.web.posts, "post", Speaks::Http),
        ];
        for (count, kind, speaks) in speakers {
            for n in 0..count {
                let shape = shape.clone();
                let name = format!("{kind}{n}");
                spawn(
                    name.clone(),
                    Box::new(move |control, history, random| {
                        Sender { name, speaks, shape, random, unanswered: Vec::new(), done: Vec::new(), made: 0 }
                            .run(control, history);
                    }),
                );
            }
        }
        for n in 0..shape.followers {
            let name = format!("follower/{n}");
            spawn(
                name.clone(),
                Box::new(move |control, history, mut random| {
                    control.while_up(|address| follow(&name, address, control, history, &mut random));
                }),
            );
        }
        for n in 0..shape.readers {
            let name = format!("reader/{n}");
            spawn(
                name.clone(),
                Box::new(move |control, history, mut random| {
                    control.while_up(|address| read(&name, address, control, history, &mut random));
                }),
            );
        }
        for (name, work) in web::readers(&shape.web) {
            spawn(name, work);
        }
        spawn(
            "amender".to_owned(),
            Box::new(move |control, history, mut random| {
                control.while_up(|address| history.amends().work(address, &mut random, || control.goes_on()));
            }),
        );
        spawn(
            "deleter".to_owned(),
            Box::new(move |control, history, mut random| {
                control.while_up(|address| history.reborn().work(address, &mut random, || control.goes_on()));
            }),
        );
        Load::of(works, history, random)
    }

    /// The same for other threads, each with a name and its work.
    pub fn of(works: Vec<(String, Work)>, history: &Arc<History>, random: &mut fastrand::Rng) -> Load {
        let control = Arc::new(Control::default());
        let begin = |(name, work): (String, Work)| {
            let (control, history, random) = (control.clone(), history.clone(), random.fork());
            let thread = std::thread::Builder::new().name(name).spawn(move || work(&control, &history, random));
            thread.expect("a thread can be started")
        };
        let threads = works.into_iter().map(begin).collect();
        Load { control, threads }
    }

    /// Lets the load use the daemon.
    pub fn resume(&self, addresses: impl Into<Addresses>) {
        *self.control.addresses.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses.into());
    }

    /// Makes the load leave the daemon once every answer has been read, and waits until it has.
    pub fn pause(&self) {
        *self.control.addresses.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let start = Instant::now();
        // Each thread reads the address only after counting itself in.
        while self.control.busy.load(Ordering::SeqCst) > 0 {
            assert!(start.elapsed() < DEADLINE * 2, "the load does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the threads.
    pub fn stop(mut self, history: &History) {
        self.control.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                history.violation("a thread of the load panicked: see its message above");
            }
        }
    }
}

/// What a sender speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Lines,
    WebSocket,
    Http,
}

struct Sender {
    name: String,
    speaks: Speaks,
    shape: Shape,
    random: fastrand::Rng,
    /// Messages with an id that were sent but not answered OK.
    unanswered: Vec<usize>,
    /// Some acknowledged messages, to be sent once more.
    done: Vec<usize>,
    made: usize,
}

impl Sender {
    fn run(mut self, control: &Control, history: &History) {
        control.while_reached(|addresses| self.send(addresses, control, history));
    }

    fn link(&mut self, addresses: Addresses) -> io::Result<Box<dyn Link>> {
        let web = addresses.web.ok_or(io::ErrorKind::AddrNotAvailable);
        Ok(match self.speaks {
            Speaks::Lines => Box::new(joined(addresses.lines, &self.name)?),
            Speaks::WebSocket => Box::new(web::Socket::joined(web?, &self.name)?),
            Speaks::Http => {
                // HTTP has no JOIN.
                joined(addresses.lines, &self.name)?;
                Box::new(web::Http::connect(web?, &self.name)?)
            }
        })
    }

    fn send(&mut self, addresses: Addresses, control: &Control, history: &History) -> io::Result<()> {
        let mut link = self.link(addresses)?;
        while control.goes_on() {
            if self.random.u8(..20) == 0 {
                self.create(&mut *link, history)?;
            }
            let batch = self.batch(history);
            let messages: Vec<Sent> = batch.iter().map(|&number| history.sent(number)).collect();
            link.send(&messages, &mut self.random)?;
            let mut last: HashMap<&str, u64> = HashMap::new();
            for (&number, sent) in batch.iter().zip(&messages) {
                let (seq, repeated) = match link.answer()? {
                    Answer::Ok { seq, repeated } => (seq, repeated),
                    Answer::Refused => {
                        history.refused();
                        continue;
                    }
                    Answer::Other(answer) => {
                        history.violation(format!("{}'s SEND was answered: {answer}", self.name));
                        continue;
                    }
                };
                history.acked(number, seq, repeated);
                history.count(Figures {
                    over_socket: u64::from(self.speaks == Speaks::WebSocket),
                    over_http: u64::from(self.speaks == Speaks::Http),
                    ..Figures::default()
                });
                let before = last.entry(&sent.room).or_default();
                if !repeated && seq <= std::mem::replace(before, seq) {
                    history.violation(format!("message {number} overtook an earlier one on the same connection"));
                }
                self.unanswered.retain(|other| *other != number);
                if self.random.u8(..10) == 0 {
                    self.done.push(number);
                }
            }
            // Every audit reads everything, so a long run sends more slowly.
            let slower = history.figures().sent as f64 / 5000.0;
            std::thread::sleep(self.shape.pause.mul_f64(self.random.f64() * (1.0 + slower)));
        }
        Ok(())
    }

    /// Numbers of the messages to send next: usually those without an answer first.
    fn batch(&mut self, history: &History) -> Vec<usize> {
        let mut batch = std::mem::take(&mut self.unanswered);
        // Some are given up: they may be stored or not, but never twice.
        batch.retain(|_| self.random.u8(..20) > 0);
        let with_id: Vec<usize> = batch.iter().copied().filter(|&number| history.sent(number).id.is_some()).collect();
        batch = with_id;
        if !self.done.is_empty() && self.random.u8(..4) == 0 {
            let place = self.random.usize(..self.done.len());
            let again = self.done.swap_remove(place);
            if history.sent(again).id.is_some() {
                batch.push(again);
            }
        }
        let new = if self.shape.bodies == Bodies::Large { 4 } else { 24 };
        for _ in 0..self.random.usize(1..=new) {
            let room = ROOMS[self.random.usize(..ROOMS.len())];
            let content = text::content(self.shape.bodies, &mut self.random);
            batch.push(history.begin(room, &self.name, self.random.u8(..8) > 0, &content));
        }
        self.unanswered.clone_from(&batch);
        batch
    }

    fn create(&mut self, link: &mut dyn Link, history: &History) -> io::Result<()> {
        self.made += 1;
        let (room, topic) = (format!("{}-made-{}", self.name, self.made), format!("topic {}", self.made));
        if link.create(&room, &topic)? {
            history.created(&room, &topic);
        }
        Ok(())
    }
}

/// The seq in an OK, and whether the OK repeats an earlier one.
pub fn ok(answer: &str) -> Option<(u64, bool)> {
    let mut words = answer.strip_prefix("OK ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next() == Some("dup")))
}

/// The number after `<name>=` in an answer.
pub fn field(answer: &str, name: &str) -> Option<u64> {
    word(answer, name)?.parse().ok()
}

/// The word after `<name>=` in an answer.
pub fn word<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn join(wire: &mut Wire, name: &str, room: &str, history: &History) -> io::Result<u64> {
    let answer = wire.ask(&format!("JOIN {room}"))?;
    let cursor = field(&answer, "cursor").ok_or_else(|| io::Error::other(answer))?;
    history.cursor_is(name, room, cursor);
    Ok(cursor)
}

fn follow(
    name: &str,
    address: SocketAddr,
    control: &Control,
    history: &History,
    random: &mut fastrand::Rng,
) -> io::Result<()> {
    let mut wire = Wire::hello(address, name)?;
    let mut reached = HashMap::new();
    for room in ROOMS {
        let cursor = join(&mut wire, name, room, history)?;
        reached.insert(room.to_owned(), cursor);
    }
    // FOLLOW's answer comes before anything that it pushes.
    for room in ROOMS {
        wire.send(format!("FOLLOW {room}\n").as_bytes())?;
    }
    let mut asked: VecDeque<Option<String>> = ROOMS.iter().map(|_| None).collect();
    while control.goes_on() || !asked.is_empty() {
        let line = match wire.line_within(Duration::from_millis(50))? {
            Got::Line(line) => line,
            Got::Nothing => continue,
        };
        if let Some(item) = Item::parse(&line) {
            let (Item::Message(crate::wire::Message { room, .. }) | Item::Gap { room, .. }) = &item;
            let room = room.clone();
            let after = reached.entry(room.clone()).or_default();
            *after = history.handed(name, *after, &item);
            if random.u8(..16) == 0 && asked.len() < 8 && control.goes_on() {
                history.asks_cursor(name, &room, *after);
                wire.send(format!("ACK {room} {after}\n").as_bytes())?;
                asked.push_back(Some(room));
            }
            continue;
        }
        match asked.pop_front() {
            Some(Some(room)) => {
                if let Some((seq, _)) = ok(&line) {
                    history.cursor_is(name, &room, seq);
                }
            }
            Some(None) => {}
            None => history.violation(format!("{name} received an unexpected push: {line}")),
        }
    }
    Ok(())
}

fn read(
    name: &str,
    address: SocketAddr,
    control: &Control,
    history: &History,
    random: &mut fastrand::Rng,
) -> io::Result<()> {
    let mut wire = Wire::hello(address, name)?;
    let mut reached = HashMap::new();
    for room in ROOMS {
        reached.insert(room, join(&mut wire, name, room, history)?);
    }
    while control.goes_on() {
        let room = ROOMS[random.usize(..ROOMS.len())];
        let after = reached[room];
        // This READ acknowledges what the previous one returned.
        history.asks_cursor(name, room, after);
        let (items, end) = wire.fetch(&format!("READ {room} {}", random.usize(1..200)))?;
        let mut next = after;
        for item in &items {
            next = history.handed(name, next, item);
        }
        if end.starts_with("END ") {
            history.cursor_is(name, room, after);
            reached.insert(room, next);
        } else {
            // Messages that came before an error count as well; the next READ starts after the cursor.
            return Err(io::Error::other(end));
        }
        std::thread::sleep(Duration::from_millis(random.u64(..10)));
    }
    Ok(())
}
