//! Carries out what the screen asks of the daemon, on tasks of their own; the answers come back as [`Told`].

use std::sync::Arc;
use std::time::Duration;

use dantok_client::{Client, Error, Options, Sent};
use dantok_protocol::{ErrorCode, GapReason, Item};
use tokio::sync::mpsc;

use crate::ask::{Ask, Deed, Told};
use crate::room::PAGE;
use dantok_client::outbox::Waiting;

/// Before a message is sent again that the daemon would not take for its number.
const LIMIT_PAUSE: Duration = Duration::from_secs(1);
/// Before one is sent again that answers a message of before a restore.
const RESTORED_PAUSE: Duration = Duration::from_millis(100);

/// What the tasks tell.
#[derive(Debug)]
pub enum Heard {
    /// There is a client.
    Ready(Arc<Client>),
    /// What came of something that was asked, and the epoch of the seqs in it.
    Told(Told, Arc<str>),
    /// There is no client any more, or there never will be.
    Failed(Error),
}

/// Where the tasks tell it.
pub type Ears = mpsc::UnboundedSender<Heard>;

/// Connects, for as long as it takes, and joins the rooms that were named.
pub fn connect(options: Options, rooms: Vec<String>, ears: Ears) {
    tokio::spawn(async move {
        let client = match Client::connect(options).await {
            Ok(client) => client,
            Err(error) => return drop(ears.send(Heard::Failed(error))),
        };
        for room in rooms {
            let joined = client.join(&room).await;
            let _ = ears.send(Heard::Told(Told::Joined(room, joined), client.epoch()));
        }
        let _ = ears.send(Heard::Ready(Arc::new(client)));
    });
}

/// Whether a message was typed in the rooms that there are, and not before they were restored from a backup.
fn holds(client: &Client, message: &Waiting) -> bool {
    message.epoch.as_ref().is_none_or(|epoch| **epoch == *client.epoch())
}

/// Sends a message. What it answers may be another message by now, where the rooms were restored since it was typed, or is none, where
/// the room was set back: it answers none then.
async fn send(client: &Client, message: &Waiting) -> Result<Sent, Error> {
    let Waiting { id, room, text, .. } = message;
    match message.reply {
        Some(to) if holds(client, message) => match client.reply_with_id(room, id, to, text.clone()).await {
            // `id-reused`: so it was sent before, and not seen to be answered.
            Err(Error::SetBack(_)) => client.send_with_id(room, id, text.clone()).await,
            Err(Error::Refused(refusal)) if refusal.code == ErrorCode::IdReused => {
                client.send_with_id(room, id, text.clone()).await
            }
            sent => sent,
        },
        Some(to) => match client.send_with_id(room, id, text.clone()).await {
            // It is in the backup, as it was typed: no other message has its id.
            Err(Error::Refused(refusal)) if refusal.code == ErrorCode::IdReused => {
                client.reply_with_id(room, id, to, text.clone()).await
            }
            sent => sent,
        },
        None => client.send_with_id(room, id, text.clone()).await,
    }
}

/// Sends what waits, one after the other: so their order is that in which they were typed.
pub async fn deliver(client: Arc<Client>, mut waiting: mpsc::UnboundedReceiver<Waiting>, ears: Ears) {
    while let Some(message) = waiting.recv().await {
        let mut joined = false;
        let (result, epoch) = loop {
            let epoch = client.epoch();
            match send(&client, &message).await {
                Ok(sent) => break (Ok(sent.seq), epoch),
                // The feed will say so, and then it is known what the message answers.
                Err(Error::Restored { .. }) => tokio::time::sleep(RESTORED_PAUSE).await,
                // The room, or the membership, is of after the backup. What was typed is not to go with it.
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
                // A refused HELLO, after a broken connection, is given as the answer to all that was under way; the
                // message was not refused, and is kept.
                Err(Error::Refused(refusal)) => match client.ping().await {
                    Ok(()) | Err(Error::Refused(_)) => break (Err(refusal), epoch),
                    Err(_) => return drop(ears.send(Heard::Failed(Error::Refused(refusal)))),
                },
                Err(error) => return drop(ears.send(Heard::Failed(error))),
            }
        };
        let _ = ears.send(Heard::Told(Told::Sent(message, result), epoch));
    }
}

/// A page of what came before a seq.
async fn older(client: &Client, room: &str, before: u64) -> Result<Vec<Item>, Error> {
    let page = client.history(room, Some(before), None, Some(PAGE)).await?;
    Ok(with_gone(room, before, page.items, page.oldest))
}

/// Puts what is gone in front of a page: unlike FETCH, HISTORY says nothing of it.
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

async fn carry_out(client: &Client, deed: &Deed) -> Result<(), Error> {
    match deed {
        Deed::Create { room, topic, private: false } => client.create(room, topic).await,
        Deed::Create { room, topic, private: true } => client.create_private(room, topic).await,
        Deed::Topic(room, topic) => client.topic(room, topic).await,
        Deed::Invite(room, who) => client.invite(room, who).await,
        Deed::Kick(room, who) => client.kick(room, who).await,
        Deed::Ban(room, who) => client.ban(room, who).await,
        Deed::Unban(room, who) => client.unban(room, who).await,
        Deed::Delete(room) => client.delete(room, None).await,
        Deed::Redact(room, seq) => client.redact(room, *seq).await.map(drop),
    }
}

/// Asks the daemon.
pub fn ask(client: &Arc<Client>, ask: Ask, ears: &Ears) {
    let (client, ears, epoch) = (client.clone(), ears.clone(), client.epoch());
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
            Ask::Deed(deed) => {
                let done = carry_out(&client, &deed).await;
                Told::Deed(deed, done)
            }
            // Whether it was told makes no difference to anybody.
            Ask::Typing(room) => return drop(client.typing(&room).await),
            // Not for the daemon, or for the feed.
            Ask::Follow(..) | Ask::Unfollow(_) | Ask::Send(..) | Ask::Done(_) => return,
        };
        let _ = ears.send(Heard::Told(told, epoch));
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
        // All of it went while one looked at what came after it.
        assert_eq!(with_gone("r", 9, Vec::new(), 12), [gap(8)]);
        assert_eq!(with_gone("r", 3, page(1..3), 1), page(1..3));
    }
}
