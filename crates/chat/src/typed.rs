//! Parses typed commands that the line protocol also has, with its own parser, so that options mean the same in both.

use dantok_protocol::line::read_request;
use dantok_protocol::{Command, commands};

/// Parses a command's arguments as the line protocol parses those of a verb. An error ends with `written`, the command's usage.
fn read(verb: &str, text: &str, written: &str) -> Result<Command, String> {
    let in_our_words = |refusal: dantok_protocol::Refusal| {
        // The sentence ends with the verb's own usage, which is replaced.
        let why = refusal.text.split("usage: ").next().unwrap_or_default().to_owned();
        format!("{why}{written}")
    };
    read_request(&format!("{verb} {text}")).map_err(in_our_words)
}

/// Parses `/create`: the room, its topic, and whether it is private.
pub fn create(text: &str) -> Result<(String, String, bool), String> {
    let written = "/create [--private] ROOM [TOPIC]";
    match read("CREATE", text, written)? {
        Command::Create(commands::Create { room, topic, private }) => Ok((room, topic, private)),
        _ => Err(written.to_owned()),
    }
}

/// Parses `/topic`: the new topic; `None` to show the current one.
pub fn topic(text: &str) -> Result<Option<String>, String> {
    let written = "/topic [TEXT|--clear]";
    match read("TOPIC", &format!("room {text}"), written)? {
        Command::Topic(commands::Topic { topic, .. }) => Ok(topic),
        _ => Err(written.to_owned()),
    }
}

/// Parses `/nick`: the new nick.
pub fn nick(text: &str) -> Result<String, String> {
    let written = "/nick NAME";
    match read("NICK", text, written)? {
        Command::Nick(commands::Nick { nick }) => Ok(nick),
        _ => Err(written.to_owned()),
    }
}

/// Parses the name of a room or a person.
pub fn name(text: &str, written: &str) -> Result<String, String> {
    match read("WHO", text, written)? {
        Command::Who(commands::Who { room }) => Ok(room),
        _ => Err(written.to_owned()),
    }
}
