//! Race conditions that are rare in practice: one side is held until the other has happened.
//!
//! Something moves between two lookups of where it is: one thread of the daemon is stopped wherever it is, while all
//! others continue. A message is redacted between a reader's lookup of its place and the read: the read is held. The
//! first message with an id expires while it is being moved into the store, and the id is used again: the move is held.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::power::mounted;
use super::{Need, Run, Schedule};
use crate::daemon::{Daemon, Recipe};
use crate::disk::{Kind, Mount, Wait};
use crate::load::ok;
use crate::wire::{Item, Wire};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "races",
    about: "Threads, reads and moves held at points where nothing else must interfere",
    needs: &[Need::Fuse, Need::Ptrace],
    cycles: 12,
    run,
};

const ROOM: &str = "races";
/// How long messages are kept in runs that reuse ids.
const RETENTION: Duration = Duration::from_millis(1500);
/// How long to wait for something that the daemon does in the background.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that are repeated while they are moved.
const REPEATED: usize = 200;

fn run(run: &mut Run) {
    let Some((mount, recipe)) = mounted(run, "disk", 1 << 40) else { return };
    for n in 0..run.cycles {
        let done = match n % 4 {
            0 => redacted_while_it_is_read(run, &mount, &recipe),
            1 => used_again_while_it_moves(run, &mount, &recipe, n),
            2 => used_again_beside_others(run, &mount, &recipe, n),
            _ => repeated_while_it_moves(run, &recipe, n),
        };
        mount.let_go(true);
        if let Err(error) = done {
            run.history.violation(format!("cycle {n} ended with: {error}"));
        }
        if !run.is_intact() {
            break;
        }
    }
    run.must_check(&recipe);
}

fn started(run: &Run, recipe: &Recipe) -> io::Result<(Daemon, SocketAddr)> {
    run.must_start(recipe, "SIGTERM").ok_or_else(|| io::Error::other("there is no daemon"))
}

fn member(address: SocketAddr, client: &str, room: &str) -> io::Result<Wire> {
    let mut wire = Wire::hello(address, client)?;
    let answer = wire.ask(&format!("JOIN {room}"))?;
    if answer.starts_with("OK ") { Ok(wire) } else { Err(io::Error::other(answer)) }
}

fn seq_of(answer: &str) -> io::Result<u64> {
    ok(answer).map(|(seq, _)| seq).ok_or_else(|| io::Error::other(answer.to_owned()))
}

fn expect(is_so: bool, what: &str) -> io::Result<()> {
    if is_so { Ok(()) } else { Err(io::Error::other(format!("this did not happen: {what}"))) }
}

fn until(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

/// A message is redacted and moved between a reader's lookup of its place and the end of the read.
fn redacted_while_it_is_read(run: &mut Run, mount: &Mount, recipe: &Recipe) -> io::Result<()> {
    let (daemon, address) = started(run, recipe)?;
    let mut wire = member(address, "writer", ROOM)?;
    let mut seqs = Vec::new();
    for n in 0..3 {
        // The last one stays in the journal.
        let text = format!("secret {n} {}", "x".repeat(if n == 2 { 9000 } else { 20 }));
        seqs.push(seq_of(&wire.ask(&format!("SEND {ROOM} {text}"))?)?);
    }
    // After a restart, nothing is in memory.
    run.must_end(daemon);
    let (daemon, address) = started(run, recipe)?;
    let (mut wire, mut reader) = (member(address, "writer", ROOM)?, member(address, "reader", ROOM)?);
    for seq in seqs {
        let redacted = wire.ask(&format!("REDACT {ROOM} {seq}"))?;
        seq_of(&redacted)?;
        let path = "/data/";
        mount.disk(|disk| disk.tally("/segments/"));
        mount.wait_at(Wait { kind: Kind::Read, path, of_beginning: false, at_least_bytes: 0, times: 1, takes: None });
        reader.send(format!("FETCH {ROOM} after={}\n", seq - 1).as_bytes())?;
        expect(mount.wait_held(PATIENCE), "a message was read from the disk")?;
        // The redaction itself, and the message without its text.
        expect(until(|| mount.disk(|disk| disk.tallied()) >= 2), "a redaction moved")?;
        std::thread::sleep(Duration::from_millis(100));
        mount.let_go(true);
        let line = reader.line()?;
        if line.contains("secret") {
            run.history.violation(format!("{ROOM} {seq} was redacted (answer: {redacted}) and then shown: {line:.60}"));
        }
        expect(Item::parse(&line).is_some(), "it was shown")?;
        while !reader.line()?.starts_with("END ") {}
        run.count("redactions while the message was being read");
    }
    run.must_end(daemon);
    Ok(())
}

fn keeping_short(recipe: &Recipe) -> Recipe {
    let mut recipe = recipe.clone();
    let retention = format!("{}ms", RETENTION.as_millis());
    recipe.flags.extend(["--retention".to_owned(), retention, "--allow-short-retention".to_owned()]);
    recipe
}

/// Holds the next sync of a segment, and sends messages to cause it.
fn hold_a_move(mount: &Mount, wire: &mut Wire, send: &str) -> io::Result<()> {
    mount.wait_at(Wait {
        kind: Kind::Sync,
        path: "/segments/",
        of_beginning: false,
        at_least_bytes: 0,
        times: 1,
        takes: None,
    });
    seq_of(&wire.ask(send)?)?;
    expect(mount.wait_held(PATIENCE), "a message moved")
}

/// Reuses an id as soon as it is free again; returns the seq and the time.
fn used_again(wire: &mut Wire, room: &str) -> io::Result<(u64, Instant)> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let now = Instant::now();
        let answer = wire.ask(&format!("SEND id=x {room} two"))?;
        if let Some((seq, false)) = ok(&answer) {
            return Ok((seq, now));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other("an id is not free again after its message has expired"))
}

/// Repeats the second message with an id for as long as it is kept.
fn repeat(run: &mut Run, wire: &mut Wire, room: &str, seq: u64, since: Instant) -> io::Result<()> {
    loop {
        let answer = wire.ask(&format!("SEND id=x {room} two"))?;
        if since.elapsed() + Duration::from_millis(50) > RETENTION {
            run.count("ids reused");
            return Ok(());
        }
        if ok(&answer) != Some((seq, true)) {
            let after = since.elapsed();
            let what = format!("{room} {seq} has a reused id; a repeat {after:?} later was answered {answer}");
            run.history.violation(what);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A message expires while it is being moved, its id is reused, and then the move completes.
fn used_again_while_it_moves(run: &mut Run, mount: &Mount, recipe: &Recipe, n: u64) -> io::Result<()> {
    let (daemon, address) = started(run, &keeping_short(recipe))?;
    let room = format!("again-{n}");
    let mut wire = member(address, "writer", &room)?;
    hold_a_move(mount, &mut wire, &format!("SEND id=x {room} one"))?;
    let (seq, since) = used_again(&mut wire, &room)?;
    mount.let_go(true);
    repeat(run, &mut wire, &room, seq, since)?;
    run.must_end(daemon);
    Ok(())
}

/// A message expires, its id is reused, and then the chunk that it was in is dropped.
fn used_again_beside_others(run: &mut Run, mount: &Mount, recipe: &Recipe, n: u64) -> io::Result<()> {
    let (daemon, address) = started(run, &keeping_short(recipe))?;
    let room = format!("again-{n}");
    let mut wire = member(address, "writer", &room)?;
    hold_a_move(mount, &mut wire, &format!("SEND {room} zero"))?;
    seq_of(&wire.ask(&format!("SEND id=x {room} one"))?)?;
    // It keeps the chunk for this much longer, but not for as long as the second message with the id is kept.
    std::thread::sleep(RETENTION * 6 / 10);
    seq_of(&wire.ask(&format!("SEND {room} three"))?)?;
    mount.let_go(true);
    let (seq, since) = used_again(&mut wire, &room)?;
    repeat(run, &mut wire, &room, seq, since)?;
    run.must_end(daemon);
    Ok(())
}

/// Messages are repeated continuously while they are moved, and the daemon's threads are stopped now and then, each for
/// as long as a move takes.
fn repeated_while_it_moves(run: &mut Run, recipe: &Recipe, n: u64) -> io::Result<()> {
    let (mut daemon, address) = started(run, recipe)?;
    let room = format!("repeats-{n}");
    let mut wire = member(address, "writer", &room)?;
    let stop = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        for reader in 0..3 {
            let (room, stop) = (&room, &stop);
            // Meanwhile they hold the lock on the newest messages in memory.
            scope.spawn(move || -> io::Result<()> {
                let mut wire = member(address, &format!("reader/{reader}"), room)?;
                while !stop.load(Ordering::Relaxed) {
                    wire.fetch(&format!("FETCH {room} after=0"))?;
                }
                Ok(())
            });
        }
        let done = repeats(run, &daemon, &mut wire, &room);
        stop.store(true, Ordering::Relaxed);
        done
    });
    done?;
    daemon.kill_and_wait();
    Ok(())
}

fn repeats(run: &mut Run, daemon: &Daemon, wire: &mut Wire, room: &str) -> io::Result<()> {
    for turn in 0..8 {
        // Each is sent twice, so that both may share a commit.
        let line = |n: usize| format!("SEND id={turn}-{n} {room} message {turn} {n}\n");
        let twice: String = (0..REPEATED).map(|n| line(n).repeat(2)).collect();
        wire.send(twice.as_bytes())?;
        let mut seqs = Vec::new();
        for _ in 0..REPEATED {
            let (first, second) = (wire.line()?, wire.line()?);
            let seq = seq_of(&first)?;
            if ok(&second) != Some((seq, true)) {
                run.history.violation(format!("{room} {seq} was sent twice and answered {second}"));
            }
            seqs.push(seq);
        }
        let all: String = (0..REPEATED).map(line).collect();
        let pause = Duration::from_millis(run.random.u64(50..350));
        let thread = run.random.usize(..8);
        std::thread::scope(|scope| {
            // The thread that stops another must be the one to release it.
            let stopped = scope.spawn(move || {
                std::thread::sleep(pause);
                let stopped = Stopped::stop_one_of(daemon, thread);
                std::thread::sleep(Duration::from_millis(750));
                stopped.is_some()
            });
            while !stopped.is_finished() && run.is_intact() {
                wire.send(all.as_bytes())?;
                for seq in &seqs {
                    let answer = wire.line()?;
                    if ok(&answer) != Some((*seq, true)) {
                        run.history
                            .violation(format!("{room} {seq} was repeated while it was moved, and answered {answer}"));
                        return Ok(());
                    }
                }
            }
            run.count(if stopped.join().unwrap_or(false) { "threads stopped" } else { "threads that had exited" });
            Ok::<(), io::Error>(())
        })?;
        if !run.is_intact() {
            break;
        }
    }
    Ok(())
}

/// A thread stopped by the thread that holds this; it continues on drop.
#[derive(Debug)]
pub struct Stopped(Pid);

impl Stopped {
    /// Stops a thread; `None` if it does not exist or may not be stopped.
    pub fn stop(thread: i32) -> Option<Stopped> {
        let thread = Pid::from_raw(thread);
        ptrace::seize(thread, ptrace::Options::empty()).ok()?;
        let stopped = Stopped(thread);
        ptrace::interrupt(thread).ok()?;
        waitpid(thread, Some(WaitPidFlag::__WALL)).ok()?;
        Some(stopped)
    }

    /// Stops one of the daemon's worker threads: a busy one, if there is any.
    fn stop_one_of(daemon: &Daemon, which: usize) -> Option<Stopped> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).ok()?;
        let (mut busy, mut idle) = (Vec::new(), Vec::new());
        for task in tasks.flatten() {
            let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let name = read("comm");
            if name.starts_with("tokio") || name.starts_with("committer") {
                let is_busy = read("stat").split(") ").nth(1).is_some_and(|rest| rest.starts_with('R'));
                if is_busy { busy.push(thread) } else { idle.push(thread) }
            }
        }
        let threads = if busy.is_empty() { idle } else { busy };
        Stopped::stop(*threads.get(which % threads.len().max(1))?)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Its process may have exited.
        let _ = ptrace::detach(self.0, None);
    }
}
