//! Writes a request as a line, for scripts in Rust and for tests.

use super::answer::{push_tag, time};
use super::arguments::write;
use super::verbs::verb;
use crate::{Begin, Command, Seek, Since, Tag};

/// Appends a request: what it appends decodes to the same request.
/// A body with a line end or without a byte goes as SENDB, any other UTF-8 as SEND.
pub fn encode_request(tag: &Tag, command: &Command, out: &mut Vec<u8>) {
    push_tag(out, tag);
    let mut line = Line::default();
    let name = line.fill(command);
    out.extend_from_slice(name.as_bytes());
    if let Some(verb) = verb(name) {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        write(verb, &line.options, &words, line.text.as_deref().filter(|text| !text.is_empty()), out);
    }
    out.push(b'\n');
    if let (Command::Send { body, .. }, "SENDB") = (command, name) {
        out.extend_from_slice(body);
        out.push(b'\n');
    }
}

/// A request that is being written.
#[derive(Default)]
struct Line {
    options: Vec<String>,
    words: Vec<String>,
    text: Option<String>,
}

impl Line {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.words.extend(words.map(str::to_owned));
    }

    fn option(&mut self, option: &str, value: Option<impl std::fmt::Display>) {
        self.options.extend(value.map(|value| format!("{option}{value}")));
    }

    fn begin(&mut self, from: Begin) {
        self.option("from=", (from == Begin::Now).then_some("now"));
    }

    /// Takes what a command has; returns its verb.
    fn fill(&mut self, command: &Command) -> &'static str {
        match command {
            Command::Hello { client, token, epoch, .. } => {
                self.words([client]);
                self.words.extend(token.clone());
                self.option("epoch=", epoch.as_ref());
                "HELLO"
            }
            Command::Nick { nick } => {
                self.text = Some(nick.clone());
                "NICK"
            }
            Command::Create { room, topic, private } => {
                self.option("--private", private.then_some(""));
                self.words([room]);
                self.text = Some(topic.clone());
                "CREATE"
            }
            Command::Topic { room, topic } => {
                self.words([room]);
                self.option("--clear", (topic.as_deref() == Some("")).then_some(""));
                self.text = topic.clone();
                "TOPIC"
            }
            Command::Send { room, id, body, reply } => self.send(room, id.as_deref(), body, *reply),
            Command::Join { room, from } => {
                self.words([room]);
                self.option("from=", (*from != Begin::Start).then(|| from.as_str()));
                "JOIN"
            }
            _ => self.fill_room(command),
        }
    }

    fn send(&mut self, room: &str, id: Option<&str>, body: &[u8], reply: Option<u64>) -> &'static str {
        self.option("id=", id);
        self.option("reply=", reply);
        self.words([room]);
        // A trailing carriage return would be taken for part of the line end.
        let as_text = !body.is_empty() && !body.contains(&b'\n') && body.last() != Some(&b'\r');
        match std::str::from_utf8(body) {
            Ok(text) if as_text => {
                self.text = Some(text.to_owned());
                "SEND"
            }
            _ => {
                self.words.push(body.len().to_string());
                "SENDB"
            }
        }
    }

    fn fill_room(&mut self, command: &Command) -> &'static str {
        let (name, room) = match command {
            Command::Leave { room } => ("LEAVE", room),
            Command::Fetch { room, after, max } => {
                self.option("after=", *after);
                self.option("max=", *max);
                ("FETCH", room)
            }
            Command::Read { room, max } => {
                self.option("max=", *max);
                ("READ", room)
            }
            Command::Follow { room } => ("FOLLOW", room),
            Command::Unfollow { room } => ("UNFOLLOW", room),
            Command::Who { room } => ("WHO", room),
            Command::Access { room } => ("ACCESS", room),
            Command::Delete { room, number } => {
                self.option("number=", *number);
                ("DELETE", room)
            }
            Command::Typing { room } => ("TYPING", room),
            Command::Groups { room } => ("GROUPS", room),
            Command::History { room, before, since, max } => {
                self.option("before=", *before);
                match since {
                    None => {}
                    Some(Since::At(ms)) => self.option("since=", Some(time(*ms))),
                    Some(Since::Ago(ms)) => self.option("since=", Some(format!("{ms}ms"))),
                }
                self.option("max=", *max);
                ("HISTORY", room)
            }
            _ => return self.fill_two(command),
        };
        self.words([room]);
        name
    }

    fn fill_two(&mut self, command: &Command) -> &'static str {
        let none = |number: u64| if number == 0 { "none".to_owned() } else { number.to_string() };
        let (name, room, second) = match command {
            Command::Ack { room, seq } => {
                self.words([room]);
                self.words.extend(seq.map(|seq| seq.to_string()));
                return "ACK";
            }
            Command::Retain { room, secs, cap_bytes } => {
                self.words([room]);
                let time = |secs| if secs == 0 { "default".to_owned() } else { format!("{secs}s") };
                self.words.extend(secs.map(time));
                self.option("cap=", cap_bytes.map(none));
                return "RETAIN";
            }
            Command::Invite { room, client } => ("INVITE", room, client.clone()),
            Command::Kick { room, client } => ("KICK", room, client.clone()),
            Command::Ban { room, client } => ("BAN", room, client.clone()),
            Command::Unban { room, client } => ("UNBAN", room, client.clone()),
            Command::Redact { room, seq } => ("REDACT", room, seq.to_string()),
            Command::Seek { room, to: Seek::To(seq) } => ("SEEK", room, seq.to_string()),
            Command::Seek { room, to: Seek::Start } => ("SEEK", room, "start".to_owned()),
            Command::Seek { room, to: Seek::Now } => ("SEEK", room, "now".to_owned()),
            _ => return self.fill_group(command),
        };
        self.words([room, &second]);
        name
    }

    fn fill_group(&mut self, command: &Command) -> &'static str {
        let (name, room, group) = match command {
            Command::Group { room, group, from, timeout_ms } => {
                self.begin(*from);
                self.option("timeout=", timeout_ms.map(|ms| format!("{ms}ms")));
                ("GROUP", room, group)
            }
            Command::Take { room, group, max, wait_ms } => {
                self.option("max=", *max);
                self.option("wait=", (*wait_ms > 0).then(|| format!("{wait_ms}ms")));
                ("TAKE", room, group)
            }
            Command::Done { room, group, seq } => {
                self.words([room, group, &seq.to_string()]);
                return "DONE";
            }
            Command::Ungroup { room, group } => ("UNGROUP", room, group),
            Command::Pending { room, group } => ("PENDING", room, group),
            _ => return self.fill_rest(command),
        };
        self.words([room, group]);
        name
    }

    fn fill_rest(&mut self, command: &Command) -> &'static str {
        match command {
            Command::Events { on } => {
                self.words([if *on { "on" } else { "off" }]);
                "EVENTS"
            }
            Command::Format { json } => {
                self.words([if *json { "json" } else { "text" }]);
                "FORMAT"
            }
            Command::Help { verb } => {
                self.words.extend(verb.clone());
                "HELP"
            }
            Command::Rooms => "ROOMS",
            Command::Watch => "WATCH",
            Command::Unwatch => "UNWATCH",
            Command::Stats => "STATS",
            Command::Ping => "PING",
            // All others are above.
            _ => "QUIT",
        }
    }
}
