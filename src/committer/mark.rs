//! A backup's cut: a moment between two commits, which the store can recognise later.

use super::draft::Draft;
use super::{Committer, Worker};
use dantok_store::commit::Op;

impl Committer {
    /// Runs `look` between two commits, when exactly what has been acknowledged is published. Commits wait meanwhile. The commit before it
    /// [marks](mod@dantok_store::marks) this moment, and `look` is given the mark; none if no commit can be made, since a full disk
    /// can be backed up all the same. Returns none if the committer has ended. Blocks.
    pub fn at_mark<T: Send + 'static>(&self, look: impl FnOnce(Option<u64>) -> T + Send + 'static) -> Option<T> {
        self.run_task(move |worker| {
            let mark = worker.mark();
            look(mark)
        })
    }
}

impl Worker {
    fn mark(&mut self) -> Option<u64> {
        let mark = match getrandom::u64() {
            Ok(mark) => mark.max(1),
            Err(error) => {
                tracing::warn!(%error, "can't make a random number to mark a backup with");
                return None;
            }
        };
        let mut draft = Draft::new(self);
        draft.ops.push(Op::Mark { mark });
        let drafted = draft.end();
        match self.make_durable(drafted, false) {
            None => Some(mark),
            Some(refusal) => {
                tracing::warn!(why = %refusal.text, "can't mark the backup in the store: no incremental one can go on from it");
                None
            }
        }
    }
}
