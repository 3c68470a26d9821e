//! Submissions that wait for a commit, and whose turn is next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Worker;
use crate::limits::{COMMIT_MAX_BYTES, COMMIT_MAX_REQUESTS, COMMIT_SHARED_MAX_BYTES, SHARED_FOR, TURN_BYTES};
use crate::permission::Author;
use crate::person::Person;
use dantok_protocol::Reply;
use dantok_protocol::commands::Write;

/// Bytes in flight, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) person: Arc<Person>,
    pub(super) bytes: u32,
    /// Its share of the bytes of everybody.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.person.in_flight.add_permits(self.bytes as usize);
    }
}

/// Writes that one client has submitted together.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) author: Author,
    pub(super) writes: Vec<Write>,
    pub(super) answer: oneshot::Sender<Vec<Reply>>,
    /// Held until the answer is given, to bound the bytes in flight.
    pub(super) in_flight: InFlight,
}

/// Work for the committer's thread, between two commits.
pub(super) struct Task(pub(super) Box<dyn FnOnce(&mut Worker) + Send>);

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    submissions: VecDeque<Submission>,
    /// Done between commits.
    pub(super) tasks: Vec<Task>,
    /// The memory that the submissions take.
    bytes: usize,
    requests: usize,
    /// When submissions of more than one person last waited.
    shared: Option<Instant>,
    /// There are no more submitters.
    pub(super) closed: bool,
    /// There are no more commits.
    pub(super) ended: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.submissions.len()
    }

    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    pub(super) fn push(&mut self, submission: Submission) {
        self.bytes += submission.in_flight.bytes as usize;
        self.requests += submission.writes.len();
        self.submissions.push_back(submission);
    }

    pub(super) fn clear(&mut self) {
        (self.bytes, self.requests) = (0, 0);
        self.submissions.clear();
        self.tasks.clear();
    }

    /// Removes the submissions for the next commit. If several people wait, each has a turn, and the submissions of each keep their order.
    pub(super) fn next_batch(&mut self, now: Instant) -> Vec<Submission> {
        if self.bytes <= TURN_BYTES && self.requests <= COMMIT_MAX_REQUESTS {
            (self.bytes, self.requests) = (0, 0);
            return self.submissions.drain(..).collect();
        }
        let who = |submission: &Submission| Arc::as_ptr(&submission.in_flight.person);
        let first = self.submissions.front().map(who);
        let is_alone = self.submissions.iter().all(|submission| Some(who(submission)) == first);
        if !is_alone {
            self.shared = Some(now);
        }
        let is_shared = self.shared.is_some_and(|shared| now.duration_since(shared) < SHARED_FOR);
        let (commit_bytes, turn_bytes) = match (is_alone, is_shared) {
            (true, true) => (COMMIT_SHARED_MAX_BYTES, usize::MAX),
            (true, false) => (COMMIT_MAX_BYTES, usize::MAX),
            (false, _) => (COMMIT_MAX_BYTES, TURN_BYTES),
        };
        // How much of their turns they have used.
        let mut turns = HashMap::new();
        let (mut taken, mut not_yet, mut had_theirs) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let (mut requests, mut bytes) = (0, 0);
        for submission in self.submissions.drain(..) {
            let is_full = requests >= COMMIT_MAX_REQUESTS || bytes >= commit_bytes;
            match turns.get_mut(&who(&submission)) {
                None if is_full => {
                    not_yet.push_back(submission);
                    continue;
                }
                Some(had) if is_full || *had >= turn_bytes => {
                    // If one has to wait, so do those behind it.
                    *had = usize::MAX;
                    had_theirs.push_back(submission);
                    continue;
                }
                Some(had) => *had += submission.in_flight.bytes as usize,
                None => drop(turns.insert(who(&submission), submission.in_flight.bytes as usize)),
            }
            requests += submission.writes.len();
            bytes += submission.writes.iter().map(Write::body_bytes).sum::<usize>();
            self.bytes -= submission.in_flight.bytes as usize;
            self.requests -= submission.writes.len();
            taken.push(submission);
        }
        not_yet.append(&mut had_theirs);
        self.submissions = not_yet;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok_protocol::commands;
    use tokio::sync::Semaphore;

    /// Each message's body begins with its number.
    fn push(queue: &mut Queue, person: &Arc<Person>, number: u64, body_bytes: usize) {
        let body = [&number.to_le_bytes()[..], &vec![0; body_bytes - 8]].concat().into();
        let write = Write::Send(commands::Send { room: "r".to_owned(), id: None, body, reply: None });
        let bytes = crate::committer::bytes(&write) as u32;
        person.in_flight.try_acquire_many(bytes).unwrap().forget();
        let all = Arc::new(Semaphore::new(1));
        let in_flight = InFlight { person: person.clone(), bytes, _permit: all.try_acquire_owned().unwrap() };
        let author = Author { client: "a".into(), admin: false, hook: None };
        queue.push(Submission { author, writes: vec![write], answer: oneshot::channel().0, in_flight });
    }

    fn numbers(taken: &[Submission], of: &Arc<Person>) -> Vec<u64> {
        let number = |submission: &Submission| match &submission.writes[0] {
            Write::Send(commands::Send { body, .. }) => u64::from_le_bytes(body[..8].try_into().unwrap()),
            other => panic!("{other:?}"),
        };
        taken.iter().filter(|submission| Arc::ptr_eq(&submission.in_flight.person, of)).map(number).collect()
    }

    #[test]
    fn whoever_is_alone_fills_a_commit() {
        let (mut queue, a) = (Queue::default(), Arc::<Person>::default());
        (0..100).for_each(|number| push(&mut queue, &a, number, 65_536));
        assert_eq!(numbers(&queue.next_batch(Instant::now()), &a), (0..64).collect::<Vec<_>>());
        assert_eq!(numbers(&queue.next_batch(Instant::now()), &a), (64..100).collect::<Vec<_>>());
        assert!(queue.next_batch(Instant::now()).is_empty());
        assert_eq!((queue.len(), queue.bytes, queue.requests), (0, 0, 0));
        assert_eq!(a.in_flight.available_permits(), crate::limits::IN_FLIGHT_OF_ONE_MAX_BYTES);
    }

    #[test]
    fn a_flood_leaves_room_for_others_and_keeps_its_order() {
        let mut queue = Queue::default();
        let (flood, quiet) = (Arc::<Person>::default(), Arc::<Person>::default());
        (0..50).for_each(|number| push(&mut queue, &flood, number, 65_536));
        push(&mut queue, &quiet, 0, 200);
        let now = Instant::now();
        let first = queue.next_batch(now);
        assert_eq!(numbers(&first, &quiet), [0]);
        assert_eq!(numbers(&first, &flood), [0, 1, 2, 3]);
        // Others may come again; after a while they do not.
        assert_eq!(numbers(&queue.next_batch(now), &flood), (4..20).collect::<Vec<_>>());
        assert_eq!(numbers(&queue.next_batch(now + SHARED_FOR), &flood), (20..50).collect::<Vec<_>>());
    }

    #[test]
    fn everybody_has_a_turn_before_anybody_has_another() {
        let mut queue = Queue::default();
        let people: Vec<Arc<Person>> = (0..40).map(|_| Arc::default()).collect();
        people.iter().for_each(|person| (0..8).for_each(|number| push(&mut queue, person, number, 65_536)));
        // A commit has room for 16 turns of four messages.
        let mut had = vec![Vec::new(); people.len()];
        for commits in 1..=3 {
            let taken = queue.next_batch(Instant::now());
            people.iter().zip(&mut had).for_each(|(person, had)| had.extend(numbers(&taken, person)));
            let turns: Vec<usize> = had.iter().map(Vec::len).collect();
            let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
            assert!(most - least <= 4, "after {commits}: {turns:?}");
        }
        while queue.len() > 0 {
            let taken = queue.next_batch(Instant::now());
            people.iter().zip(&mut had).for_each(|(person, had)| had.extend(numbers(&taken, person)));
        }
        assert!(had.iter().all(|had| *had == (0..8).collect::<Vec<_>>()), "{had:?}");
    }
}
