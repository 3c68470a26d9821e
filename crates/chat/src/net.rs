//! Carries out the screen's requests to the daemon, each in a task of its own. Results come back as [`Told`].

use std::sync::Arc;
use std::time::Duration;

use dantok_client::{Client, Error, Options, Sent};
use dantok_protocol::{ErrorCode, GapReason, Item};
use tokio::sync::mpsc;

use crate::ask::{Ask, Change, Told};
use crate::room::PAGE;
use dantok_client::outbox::Waiting;

/// Pause before resending a message that the daemon refused because of a limit.
const LIMIT_PAUSE: Duration = Duration::from_secs(1);
/// Pause before resending a reply to a message from before a restore.
const RESTORED_PAUSE: Duration = Duration::from_millis(100);

/// What the tasks report.
#[derive(Debug)]
pub enum Report {
    /// The client is connected.
    Ready(Arc<Client>),
    /// The result of a request, and the epoch of the seqs in it.
    Told(Told, Arc<str>),
    /// The client could not connect, or has ended.
    Failed(Error),
}

/// Where the tasks report to.
pub type Reports = mpsc::UnboundedSender<Report>;

/// Connects, however long it takes, and joins the named rooms.
pub fn connect(options: Options, rooms: Vec<String>, reports: Reports) {
    tokio::spawn(async move {
        let client = match Client::connect(options).await {
            Ok(client) => client,
            Err(error) => return drop(reports.send(Report::Failed(error))),
        };
        for room in rooms {
            let joined = client.join(&room).await;
            let _ = reports.send(Report::Told(Told::Joined(room, joined), client.epoch()));
        }
        let _ = reports.send(Report::Ready(Arc::new(client)));
    });
}

/// Whether a message was typed in the current epoch, rather than before the rooms were restored from a backup.
fn holds(client: &Client, message: &Waiting) -> bool {
    message.epoch.as_ref().is_none_or(|epoch| **epoch == *client.epoch())
}

/// Sends a message. If the rooms were restored since it was typed, the seq it replies to may now belong to another message; if the
/// room was set back, to none. In both cases it is sent as an ordinary message.
async fn send(client: &Client, message: &Waiting) -> Result<Sent, Error> {
    let Waiting { id, room, text, .. } = message;
    match message.reply {
        Some(to) if holds(client, message) => match client.reply_with_id(room, id, to, text.clone()).await {
            // `id-reused` means that an earlier run sent it as an ordinary message and did not see the answer.
            Err(Error::SetBack(_)) => client.send_with_id(room, id, text.clone()).await,
            Err(Error::Refused(refusal)) if refusal.code == ErrorCode::IdReused => {
                client.send_with_id(room, id, text.clone()).await
            }
            sent => sent,
        },
        Some(to) => match client.send_with_id(room, id, text.clone()).await {
            // The backup has it as the reply that was typed: no other message has its id.
            Err(Error::Refused(refusal)) if refusal.code == ErrorCode::IdReused => {
                client.reply_with_id(room, id, to, text.clone()).await
            }
            sent => sent,
        },
        None => client.send_with_id(room, id, text.clone()).await,
    }
}

/// Sends waiting messages one at a time, which keeps them in the order in which they were typed.
pub async fn deliver(client: Arc<Client>, mut waiting: mpsc::UnboundedReceiver<Waiting>, reports: Reports) {
    while let Some(message) = waiting.recv().await {
        let mut joined = false;
        let (result, epoch) = loop {
            let epoch = client.epoch();
            match send(&client, &message).await {
                Ok(sent) => break (Ok(sent.seq), epoch),
                // Once the feed reports the restore, the message is sent without what it replies to.
                Err(Error::Restored { .. }) => tokio::time::sleep(RESTORED_PAUSE).await,
                // The room or the membership was created after the backup. The message must not be lost with it.
                Err(Error::Refused(refusal))
                    if matches!(refusal.code, ErrorCode::NoRoom | ErrorCode::NotJoined)
                        && !std::mem::replace(&mut joined, true)
                        && (client.is_restored() || !holds(&client, &message)) =>
                {
                    if client.join(&message.room).await.is_err() {
                        break (Err(refusal), epoch);
                    }
                }
                Err(Error::Refused(refusal)) if refusal.code == ErrorCode::Limit => {
                    tokio::time::sleep(LIMIT_PAUSE).await;
                }
                // If HELLO is refused after a broken connection, that refusal is the answer to every request under way.
                // The message itself was not refused, and is kept.
                Err(Error::Refused(refusal)) => match client.ping().await {
                    Ok(()) | Err(Error::Refused(_)) => break (Err(refusal), epoch),
                    Err(_) => return drop(reports.send(Report::Failed(Error::Refused(refusal)))),
                },
                Err(error) => return drop(reports.send(Report::Failed(error))),
            }
        };
        let _ = reports.send(Report::Told(Told::Sent(message, result), epoch));
    }
}

/// A page of messages before a seq.
async fn older(client: &Client, room: &str, before: u64) -> Result<Vec<Item>, Error> {
    let page = client.history(room, Some(before), None, Some(PAGE)).await?;
    Ok(with_gone(room, before, page.items, page.oldest))
}

/// Puts a gap for expired messages before a page: HISTORY, unlike FETCH, does not report them.
fn with_gone(room: &str, before: u64, mut items: Vec<Item>, oldest: u64) -> Vec<Item> {
    let first = items.iter().find_map(|item| match item {
        Item::Message(message) => Some(message.seq),
        Item::Gap { from, .. } => Some(*from),
        _ => None,
    });
    let to = first.unwrap_or(before).saturating_sub(1);
    if to > 0 && to < oldest {
        items.insert(0, Item::Gap { room: room.into(), from: 1, to, reason: GapReason::Expired });
    }
    items
}

async fn carry_out(client: &Client, change: &Change) -> Result<(), Error> {
    match change {
        Change::Create { room, topic, private: false } => client.create(room, topic).await,
        Change::Create { room, topic, private: true } => client.create_private(room, topic).await,
        Change::Topic(room, topic) => client.topic(room, topic).await,
        Change::Invite(room, who) => client.invite(room, who).await,
        Change::Kick(room, who) => client.kick(room, who).await,
        Change::Ban(room, who) => client.ban(room, who).await,
        Change::Unban(room, who) => client.unban(room, who).await,
        Change::Delete(room) => client.delete(room, None).await,
        Change::Redact(room, seq) => client.redact(room, *seq).await.map(drop),
    }
}

/// Carries out a request to the daemon.
pub fn ask(client: &Arc<Client>, ask: Ask, reports: &Reports) {
    let (client, reports, epoch) = (client.clone(), reports.clone(), client.epoch());
    tokio::spawn(async move {
        let told = match ask {
            Ask::Page(room, after) => {
                let page = client.fetch(&room, Some(after), Some(PAGE)).await;
                Told::Page(room, page)
            }
            Ask::Older(room, before) => {
                let items = older(&client, &room, before).await;
                Told::Older(room, items)
            }
            Ask::Ack(room, seq) => {
                let acked = client.ack(&room, Some(seq)).await;
                Told::Acked(room, acked)
            }
            Ask::Who(room) => {
                let members = client.who(&room).await;
                Told::Who(room, members)
            }
            Ask::Rooms => Told::Rooms(client.rooms().await),
            Ask::Join(room) => {
                let joined = client.join(&room).await;
                Told::Joined(room, joined)
            }
            Ask::Leave(room) => {
                let left = client.leave(&room).await;
                Told::Left(room, left)
            }
            Ask::Nick(nick) => Told::Nicked(client.nick(&nick).await),
            Ask::Change(change) => {
                let done = carry_out(&client, &change).await;
                Told::Change(change, done)
            }
            // Nobody needs to know whether it worked.
            Ask::Typing(room) => return drop(client.typing(&room).await),
            // These are for the outbox or the feed.
            Ask::Follow(..) | Ask::Unfollow(_) | Ask::Send(..) | Ask::Done(_) => return,
        };
        let _ = reports.send(Report::Told(told, epoch));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use dantok_protocol::{Kind, Message};

    #[test]
    fn what_is_gone_stands_before_the_oldest_page() {
        let page = |seqs: std::ops::Range<u64>| -> Vec<Item> {
            let message = |seq| {
                let (room, client, body) = ("r".into(), "c".into(), "x".into());
                Item::Message(Message { room, seq, time_ms: 0, client, body, kind: Kind::Plain })
            };
            seqs.map(message).collect()
        };
        let gap = |to| Item::Gap { room: "r".into(), from: 1, to, reason: GapReason::Expired };
        assert_eq!(with_gone("r", 9, page(5..9), 1), page(5..9));
        assert_eq!(with_gone("r", 9, page(5..9), 4), page(5..9));
        assert_eq!(with_gone("r", 9, page(5..9), 5), [vec![gap(4)], page(5..9)].concat());
        // All of it expired while later messages were shown.
        assert_eq!(with_gone("r", 9, Vec::new(), 12), [gap(8)]);
        assert_eq!(with_gone("r", 3, page(1..3), 1), page(1..3));
    }
}
