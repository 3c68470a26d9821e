//! Changes of shared cursors.

use super::draft::Draft;
use crate::limits::{GROUP_TIMEOUT_DEFAULT, GROUP_WINDOW, GROUPS_MAX};
use crate::permission::Author;
use dantok_protocol::name::{check_new, person};
use dantok_protocol::units;
use dantok_protocol::{Begin, ErrorCode, Refusal, Reply};
use dantok_store::commit::Op;
use dantok_store::group::GroupRecord;

impl Draft<'_> {
    fn of_group(&self, room: u64, name: &str, group: &str) -> Result<GroupRecord, Refusal> {
        self.group(room, group).ok_or_else(|| Refusal::no_group(name, group))
    }

    pub(super) fn make_group(
        &mut self,
        author: &Author,
        name: &str,
        group: &str,
        from: Begin,
        timeout_ms: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let (room, _) = self.member(author, name)?;
        let (last, _) = self.last(room);
        let record = match self.group(room, group) {
            Some(found) => GroupRecord { timeout_ms: timeout_ms.unwrap_or(found.timeout_ms), ..found },
            None => {
                check_new(group)?;
                if self.groups_in(room) >= GROUPS_MAX {
                    return Err(Refusal::limit("groups in one room", GROUPS_MAX));
                }
                GroupRecord {
                    cursor: if from == Begin::Now { last } else { 0 },
                    timeout_ms: timeout_ms.unwrap_or(units::ms(GROUP_TIMEOUT_DEFAULT)),
                    done: Vec::new(),
                }
            }
        };
        let (cursor, timeout_ms) = (record.cursor, record.timeout_ms);
        if self.group(room, group).as_ref() != Some(&record) {
            self.ops.push(Op::Group { room, group: group.into(), cursor, timeout_ms });
            self.set_group(room, group, Some(record));
        }
        Ok(Reply::Grouped { cursor, last, timeout_ms })
    }

    pub(super) fn end_group(&mut self, author: &Author, name: &str, group: &str) -> Result<Reply, Refusal> {
        let (room, _) = self.member(author, name)?;
        self.of_group(room, name, group)?;
        let published = self.published_group(room, group);
        let is_others = |client: &str| person(client) != author.person();
        if !self.is_manager(author, room)
            && published.is_some_and(|group| group.pending().iter().any(|(_, lease)| is_others(&lease.client)))
        {
            let text =
                format!("others have taken messages of {group} that are not DONE; the room's owner may delete it");
            return Err(Refusal::new(ErrorCode::Denied, text));
        }
        self.ops.push(Op::Ungroup { room, group: group.into() });
        self.set_group(room, group, None);
        Ok(Reply::Done)
    }

    pub(super) fn done(&mut self, author: &Author, name: &str, group: &str, seq: u64) -> Result<Reply, Refusal> {
        let (room, _) = self.member(author, name)?;
        let mut record = self.of_group(room, name, group)?;
        let (last, _) = self.last(room);
        if seq > last {
            return Err(Refusal::set_back(name, seq, last));
        }
        let floor = self.floor(room);
        let published = self.published_group(room, group);
        let was_taken = published.is_some_and(|group| group.may_have_been_taken(seq));
        // Nobody can have taken a message beyond the window.
        if seq == 0 || !was_taken || seq > record.cursor.max(floor).saturating_add(GROUP_WINDOW) {
            return Err(Refusal::new(ErrorCode::BadArgument, format!("{seq} was not taken yet")));
        }
        if !record.is_done(seq) {
            record.set_done(seq, floor);
            self.ops.push(Op::Done { room, group: group.into(), seq, floor });
            self.set_group(room, group, Some(record.clone()));
        }
        Ok(Reply::Acked { cursor: record.cursor })
    }
}
