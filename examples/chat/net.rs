//! Carries out what the screen asks of the daemon, on tasks of their own; the answers come back as [`Told`].

use std::sync::Arc;
use std::time::Duration;

use dantok::client::{Client, Error, Options};
use dantok::protocol::{ErrorCode, Item};
use tokio::sync::mpsc;

use crate::app::{Ask, Told};
use crate::outbox::Waiting;
use crate::room::PAGE;

/// Before a message is sent again that the daemon would not take for its number.
const LIMIT_PAUSE: Duration = Duration::from_secs(1);

/// What the tasks tell.
#[derive(Debug)]
pub enum Heard {
    /// There is a client.
    Ready(Arc<Client>),
    /// What came of something that was asked.
    Told(Told),
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
            let _ = ears.send(Heard::Told(Told::Joined(room, joined)));
        }
        let _ = ears.send(Heard::Ready(Arc::new(client)));
    });
}

/// Sends what waits, one after the other: so their order is that in which they were typed.
pub async fn deliver(client: Arc<Client>, mut waiting: mpsc::UnboundedReceiver<Waiting>, ears: Ears) {
    while let Some(message) = waiting.recv().await {
        let result = loop {
            match client.send_with_id(&message.room, &message.id, message.text.clone()).await {
                Ok(sent) => break Ok(sent.seq),
                Err(Error::Refused(refusal)) if refusal.code == ErrorCode::Limit => {
                    tokio::time::sleep(LIMIT_PAUSE).await;
                }
                // A refused HELLO, after a broken connection, is given as the answer to all that was under way; the
                // message was not refused, and is kept.
                Err(Error::Refused(refusal)) => match client.ping().await {
                    Ok(()) | Err(Error::Refused(_)) => break Err(refusal),
                    Err(_) => return drop(ears.send(Heard::Failed(Error::Refused(refusal)))),
                },
                Err(error) => return drop(ears.send(Heard::Failed(error))),
            }
        };
        let _ = ears.send(Heard::Told(Told::Sent(message, result)));
    }
}

/// A page of what came before a seq.
async fn older(client: &Client, room: &str, before: u64) -> Result<Vec<Item>, Error> {
    let after = before.saturating_sub(1).saturating_sub(PAGE);
    Ok(client.fetch(room, Some(after), Some(PAGE)).await?.items)
}

/// Asks the daemon.
pub fn ask(client: &Arc<Client>, ask: Ask, ears: &Ears) {
    let (client, ears) = (client.clone(), ears.clone());
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
            // Not for the daemon, or for the feed.
            Ask::Follow(..) | Ask::Unfollow(_) | Ask::Send(..) | Ask::Done(_) => return,
        };
        let _ = ears.send(Heard::Told(told));
    });
}
