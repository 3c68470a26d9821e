//! Writes requests as lines, for scripts in Rust and for tests.

use std::fmt::Display;

use bytes::Bytes;

use super::answer::push_tag;
use super::arguments::write;
use crate::{Command, Tag};

/// Appends a request in a form that decodes to the same request.
/// A body that contains a line end or is empty is written as SENDB, any other UTF-8 as SEND.
pub fn encode_request(tag: &Tag, command: &Command, out: &mut Vec<u8>) {
    let mut line = Line::default();
    command.write(&mut line);
    let verb = command.verb();
    push_tag(out, tag);
    out.extend_from_slice(verb.name.as_bytes());
    let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
    let options: Vec<String> = line.options.iter().map(|(option, value)| format!("{option}{value}")).collect();
    write(verb, &options, &words, line.text.as_deref().filter(|text| !text.is_empty()), out);
    out.push(b'\n');
    if let Some(payload) = line.payload {
        out.extend_from_slice(&payload);
        out.push(b'\n');
    }
}

/// Writes a request.
#[derive(Debug, Default)]
pub(crate) struct Line {
    options: Vec<(&'static str, String)>,
    words: Vec<String>,
    text: Option<String>,
    payload: Option<Bytes>,
}

impl Line {
    /// Adds a word.
    pub(crate) fn word(&mut self, word: impl Display) {
        self.words.push(word.to_string());
    }

    /// Adds an option with its value, if it has one.
    pub(crate) fn option(&mut self, option: &'static str, value: Option<impl Display>) {
        self.options.extend(value.map(|value| (option, value.to_string())));
    }

    /// Adds an option without a value.
    pub(crate) fn flag(&mut self, option: &'static str, is_there: bool) {
        self.option(option, is_there.then_some(""));
    }

    /// Sets the text that follows the words.
    pub(crate) fn text(&mut self, text: &str) {
        self.text = Some(text.to_owned());
    }

    /// Sets the bytes that follow the line.
    pub(crate) fn set_payload(&mut self, bytes: &Bytes) {
        self.payload = Some(bytes.clone());
    }

    /// A word, by its place.
    pub(crate) fn word_at(&self, place: usize) -> Option<&str> {
        self.words.get(place).map(String::as_str)
    }

    /// An option's value.
    pub(crate) fn option_of(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(of, _)| *of == option).map(|(_, value)| &**value)
    }

    /// The text that follows the words.
    pub(crate) fn text_of(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The bytes that follow the line.
    pub(crate) fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }
}
