//! Clients of the web among the load: WebSockets with requests in JSON, and HTTP.

mod http;
mod socket;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::daemon::Addresses;
use crate::history::History;
use crate::link::joined;
use crate::load::{Control, ROOMS, Work};
use crate::wire::{Item, Message};
pub use http::{Http, messages};
pub use socket::{Socket, frame};

/// How many threads use the web.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// Number of threads that send over a WebSocket.
    pub sockets: usize,
    /// Number of threads that POST.
    pub posts: usize,
    /// Number of threads that FOLLOW over a WebSocket and acknowledge some of what they get.
    pub followers: usize,
    /// Number of threads that GET page after page, and wait for new ones.
    pub pages: usize,
}

impl Shape {
    /// Some of each.
    pub fn random(random: &mut fastrand::Rng) -> Shape {
        Shape { sockets: random.usize(1..=2), posts: random.usize(1..=2), followers: 1, pages: 1 }
    }
}

/// The threads that read.
pub fn readers(shape: &Shape) -> Vec<(String, Work)> {
    let mut works: Vec<(String, Work)> = Vec::new();
    for n in 0..shape.followers {
        let name = format!("watcher/{n}");
        let client = name.clone();
        let work: Work = Box::new(move |control, history, mut random| {
            control.while_reached(|addresses| match addresses.web {
                Some(web) => follow(&client, web, control, history, &mut random),
                None => Ok(()),
            });
        });
        works.push((name, work));
    }
    for n in 0..shape.pages {
        let name = format!("pages/{n}");
        let client = name.clone();
        let work: Work = Box::new(move |control, history, mut random| {
            let mut reached = HashMap::new();
            control.while_reached(|addresses| page(&client, addresses, &mut reached, control, history, &mut random));
        });
        works.push((name, work));
    }
    works
}

/// A message or a gap, if it is one.
fn item(object: &Value) -> Option<Item> {
    let text = |name: &str| object[name].as_str().map(str::to_owned);
    let number = |name: &str| object[name].as_u64();
    match object["type"].as_str()? {
        "message" => {
            let body = match text("base64") {
                Some(encoded) => STANDARD.decode(encoded).ok()?,
                None => text("text")?.into_bytes(),
            };
            let about = ["reply", "redacts", "redacted"].into_iter();
            let about = about.filter(|name| !object[name].is_null()).map(|name| format!("{name}={}", object[name]));
            Some(Item::Message(Message {
                room: text("room")?,
                seq: number("seq")?,
                time: text("time")?,
                about: about.collect(),
                client: text("client")?,
                body,
            }))
        }
        "gap" => Some(Item::Gap { room: text("room")?, from: number("from")?, to: number("to")? }),
        _ => None,
    }
}

fn follow(
    name: &str,
    address: SocketAddr,
    control: &Control,
    history: &History,
    random: &mut fastrand::Rng,
) -> io::Result<()> {
    let mut socket = Socket::hello(address, name)?;
    let mut reached = HashMap::new();
    for room in ROOMS {
        let answer = socket.ask(json!({"do": "join", "room": room}))?;
        let cursor = answer["cursor"].as_u64().ok_or_else(|| io::Error::other(answer.to_string()))?;
        history.cursor_is(name, room, cursor);
        reached.insert(room.to_owned(), cursor);
    }
    // The requests that have no answer yet; which room an ACK is for.
    let mut asked: HashMap<u64, Option<String>> = HashMap::new();
    for room in ROOMS {
        asked.insert(socket.request(json!({"do": "follow", "room": room}))?, None);
    }
    while control.goes_on() || !asked.is_empty() {
        let Some(object) = socket.object_within(Duration::from_millis(50))? else { continue };
        if let Some(item) = item(&object) {
            let (Item::Message(Message { room, .. }) | Item::Gap { room, .. }) = &item;
            let room = room.clone();
            let after = reached.entry(room.clone()).or_default();
            *after = history.handed(name, *after, &item);
            if random.u8(..16) == 0 && asked.len() < 8 && control.goes_on() {
                history.asks_cursor(name, &room, *after);
                let tag = socket.request(json!({"do": "ack", "room": room, "seq": *after}))?;
                asked.insert(tag, Some(room));
            }
            continue;
        }
        match object["tag"].as_u64().and_then(|tag| asked.remove(&tag)) {
            Some(Some(room)) => {
                if let Some(cursor) = object["cursor"].as_u64() {
                    history.cursor_is(name, &room, cursor);
                }
            }
            Some(None) => {}
            None if object["code"] == "stopping" => return Ok(()),
            None => history.violation(format!("{name} received an unexpected push: {object}")),
        }
    }
    Ok(())
}

/// Reads on, page by page, where the connection before left off.
fn page(
    name: &str,
    addresses: Addresses,
    reached: &mut HashMap<&'static str, u64>,
    control: &Control,
    history: &History,
    random: &mut fastrand::Rng,
) -> io::Result<()> {
    let Some(web) = addresses.web else { return Ok(()) };
    joined(addresses.lines, name)?;
    let mut http = Http::connect(web, name)?;
    while control.goes_on() {
        let room = ROOMS[random.usize(..ROOMS.len())];
        let after = reached.entry(room).or_default();
        let (limit, wait) = (random.usize(1..200), random.u8(..100));
        let (status, page) = http.get(&format!("{}?after={after}&limit={limit}&wait={wait}ms", messages(room)))?;
        let Some(objects) = page["messages"].as_array().filter(|_| status == 200) else {
            if page["code"].is_string() {
                return Err(io::Error::other(page.to_string()));
            }
            history.violation(format!("{name}'s GET was answered: {status} {page}"));
            continue;
        };
        let mut next = *after;
        for object in objects {
            match item(object) {
                Some(item) => next = history.handed(name, next, &item),
                None => history.violation(format!("{name} was handed: {object}")),
            }
        }
        if page["next"].as_u64() != Some(next) {
            history
                .violation(format!("{name} was handed {room} up to {next}, but is told to go on at {}", page["next"]));
        }
        *after = next;
        std::thread::sleep(Duration::from_millis(random.u64(..10)));
    }
    Ok(())
}
