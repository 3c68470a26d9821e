//! A small command-line client, to learn from: it shows a room from where its reader left off, and posts what is typed.
//!
//! ```text
//! cargo run --example client -- general --as alice [--server HOST:PORT]
//! ```
//!
//! Each line of the input is one message. `OK <seq>` on the error stream says that it is on disk. The program ends with its input; with
//! `--stay` it goes on showing what others write.

use std::error::Error;
use std::sync::Arc;

use dantok_client::{Client, Follow, Options};
use dantok_protocol::Item;
use dantok_protocol::text::escape;
use tokio::io::{AsyncBufReadExt, BufReader};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the command line says.
struct Arguments {
    room: String,
    name: String,
    server: String,
    stay: bool,
}

fn arguments() -> Result<Arguments, &'static str> {
    let (mut room, mut name, mut server, mut stay) = (None, None, "127.0.0.1:7420".to_owned(), false);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--as" => name = given.next(),
            "--server" => server = given.next().ok_or("--server takes HOST:PORT")?,
            "--stay" => stay = true,
            _ if room.is_none() => room = Some(argument),
            _ => return Err("one room at a time"),
        }
    }
    Ok(Arguments { room: room.ok_or("name a room")?, name: name.ok_or("say who you are: --as NAME")?, server, stay })
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let Arguments { room, name, server, stay } =
        arguments().map_err(|why| format!("{why}\nusage: client ROOM --as NAME [--server HOST:PORT] [--stay]"))?;
    // The client reconnects automatically and resends what was not acknowledged.
    let client = Arc::new(Client::connect(Options::new(server, name)).await?);
    let joined = client.join(&room).await?;
    // A reader of its own: what arrives is shown while lines are typed.
    let last = if stay { u64::MAX } else { joined.last };
    let reader = Reader { client: client.clone(), room: room.clone(), reached: joined.cursor };
    let shown = tokio::spawn(reader.show(client.follow(&room), last));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if !line.is_empty() {
            eprintln!("OK {}", client.send(&room, line).await?.seq);
        }
    }
    shown.await?
}

/// Who reads along.
struct Reader {
    client: Arc<Client>,
    room: String,
    /// Everything up to this seq was shown.
    reached: u64,
}

impl Reader {
    /// Shows the room up to this seq.
    async fn show(mut self, mut follow: Follow, last: u64) -> Outcome<()> {
        while self.reached < last {
            let Some(item) = follow.next().await else { break };
            match item? {
                Item::Message(message) => {
                    // What others wrote is not trusted to be safe on a terminal.
                    println!("{} {}: {}", message.seq, message.client, escape(&message.body));
                    self.reached = message.seq;
                }
                Item::Gap { from, to, .. } => {
                    println!("(messages {from} to {to} have expired)");
                    self.reached = to;
                }
                _ => continue,
            }
            // The daemon keeps the cursor: the next start goes on behind this message.
            self.client.ack(&self.room, Some(self.reached)).await?;
        }
        Ok(())
    }
}
