//! A verb's arguments: options, words and text, distinguished in the same way for all verbs.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::verbs::Verb;
use crate::text::shortened;
use crate::{Begin, units};

/// What follows a verb's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    Nothing,
    /// A text to the end of the line. Options among its words are still options.
    Text,
    /// A message: everything after one space, unchanged.
    Body,
}

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It does not match the verb's usage.
    Usage,
    /// It is wrong for this reason.
    Because(String),
    /// The value of this option or word is wrong, for the reason that continues its name.
    Value(&'static str, String),
}

/// The most words that any verb has, without options and text.
pub(crate) const WORDS_MAX: usize = 3;

/// A verb's arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments<'a> {
    words: [Option<Cow<'a, str>>; WORDS_MAX],
    options: Vec<(&'static str, Cow<'a, str>)>,
    text: Text<'a>,
}

#[derive(Debug, Default)]
enum Text<'a> {
    #[default]
    None,
    Str(Cow<'a, str>),
    /// A message that need not be text.
    Bytes(Bytes),
}

impl<'a> Text<'a> {
    /// The text of a line.
    fn of(text: Cow<'a, str>) -> Text<'a> {
        if text.is_empty() { Text::None } else { Text::Str(text) }
    }
}

/// Words separated by one or more spaces.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a>(pub(crate) &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches(' ');
        if rest.is_empty() {
            self.0 = rest;
            return None;
        }
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        self.0 = rest;
        Some(word)
    }
}

/// The word that ends a command's options.
const END: &str = "--";

/// A hyphen, or what keyboards and word processors turn one or two hyphens into.
pub(crate) fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

/// What a word is, in a place where options are allowed.
enum Is {
    Word,
    Option(&'static str),
    /// It looks like an option, but the verb has no such option.
    NoOption,
}

/// What a word is among a verb's words.
fn is_among_words(verb: &Verb, word: &str) -> Is {
    if let Some(option) = option(verb, word) {
        return Is::Option(option);
    }
    // No name begins with a dash or contains '=', and neither does a number.
    if word.starts_with(is_dash) || word.contains('=') { Is::NoOption } else { Is::Word }
}

/// What a word is in a verb's text.
fn is_in_text(verb: &Verb, word: &str) -> Is {
    if let Some(option) = option(verb, word).filter(|option| option.starts_with(END)) {
        return Is::Option(option);
    }
    let name = word.trim_start_matches(is_dash);
    // "-5 °C", "-->" and a single dash are text.
    let dashed = name.len() < word.len() && name.starts_with(char::is_alphabetic)
        || word.strip_prefix(END).is_some_and(|name| name.starts_with(char::is_alphanumeric));
    let key = |(key, _): (&str, &str)| verb.options.iter().any(|option| bare(option) == key.to_ascii_lowercase());
    if dashed || word.split_once('=').is_some_and(key) { Is::NoOption } else { Is::Word }
}

/// The option that a word names, if any.
fn option(verb: &Verb, word: &str) -> Option<&'static str> {
    let is_it = |option: &&&str| match option.strip_suffix('=') {
        Some(key) => word.split_once('=').is_some_and(|(of, _)| of == key),
        None => word == **option,
    };
    verb.options.iter().find(is_it).copied()
}

/// An option's name, without its dashes or its `=`.
pub(crate) fn bare(option: &str) -> &str {
    option.trim_start_matches(is_dash).trim_end_matches('=')
}

fn no_option(verb: &Verb, word: &str) -> Wrong {
    let (name, _) = word.split_once('=').unwrap_or((word, ""));
    let name = bare(name).to_lowercase();
    let near = verb.options.iter().find(|option| strsim::osa_distance(bare(option), &name) <= name.len() / 3);
    let hint = match (near, verb.rest) {
        (Some(option), _) => format!("; did you mean {option}"),
        (None, Rest::Text) => "; if it is text, put -- before the text".to_owned(),
        (None, _) => String::new(),
    };
    Wrong::Because(format!("{} has no option {word}{hint}", verb.name))
}

impl<'a> Arguments<'a> {
    /// Splits a verb's arguments.
    pub(crate) fn of(verb: &Verb, line: &'a str) -> Result<Arguments<'a>, Wrong> {
        let (mut arguments, mut rest) = (Arguments::default(), Words(line));
        let (mut count, mut options_end) = (0, false);
        while count < verb.words.1 || verb.rest == Rest::Nothing {
            let Some(word) = rest.next() else { break };
            match is_among_words(verb, word) {
                _ if options_end => {}
                _ if word == END => {
                    options_end = true;
                    continue;
                }
                Is::Option(option) => {
                    arguments.put(option, word)?;
                    continue;
                }
                Is::NoOption => return Err(no_option(verb, word)),
                Is::Word => {}
            }
            let Some(place) = arguments.words.get_mut(count).filter(|_| count < verb.words.1) else {
                return Err(arguments.too_many(verb, word));
            };
            *place = Some(Cow::Borrowed(word));
            count += 1;
        }
        if count < verb.words.0 {
            return Err(Wrong::Usage);
        }
        match verb.rest {
            Rest::Nothing => {}
            Rest::Body => arguments.text = Text::of(Cow::Borrowed(rest.0)),
            Rest::Text => arguments.take_text(verb, rest, options_end)?,
        }
        Ok(arguments)
    }

    fn put(&mut self, option: &'static str, word: &'a str) -> Result<(), Wrong> {
        if self.option(option).is_some() {
            return Err(Wrong::Because(format!("{option} is given twice")));
        }
        self.options.push((option, Cow::Borrowed(word.get(option.len()..).unwrap_or_default())));
        Ok(())
    }

    fn too_many(&self, verb: &Verb, word: &str) -> Wrong {
        // Probably a name with spaces in it, unless the last word is a number.
        let words: Vec<&str> = self.words.iter().flatten().map(|word| &**word).collect();
        let name = match (verb.name, &*words) {
            ("HELLO", name) => name.join("-"),
            (_, [.., last]) if verb.usage.contains("<room>") && last.parse::<u64>().is_err() => (*last).to_owned(),
            _ => return Wrong::Because(format!("{word} is one word too many")),
        };
        let why = format!("{word} is one word too many; a name has no spaces, so try {name}-{word}");
        Wrong::Because(why)
    }

    /// The text to the end of the line, without the options in it.
    fn take_text(&mut self, verb: &Verb, line: Words<'a>, mut options_end: bool) -> Result<(), Wrong> {
        let mut rest = line;
        let mut left_out = false;
        let mut text = String::new();
        loop {
            let spaces = rest.0.len() - rest.0.trim_start_matches(' ').len();
            let Some(word) = rest.next() else { break };
            if !options_end {
                match is_in_text(verb, word) {
                    _ if word == END && text.is_empty() => {
                        (options_end, left_out) = (true, true);
                        continue;
                    }
                    Is::Option(option) => {
                        self.put(option, word)?;
                        left_out = true;
                        continue;
                    }
                    Is::NoOption => return Err(no_option(verb, word)),
                    Is::Word => {}
                }
            }
            // One space was consumed with the previous word.
            text.extend(std::iter::repeat_n(' ', if text.is_empty() { 0 } else { spaces + 1 }));
            text.push_str(word);
        }
        self.text = Text::of(if left_out { Cow::Owned(text.trim().to_owned()) } else { Cow::Borrowed(line.0.trim()) });
        Ok(())
    }

    /// Adds a word, for a request that is not a line.
    pub(crate) fn put_word(&mut self, place: usize, word: Cow<'a, str>) {
        if let Some(free) = self.words.get_mut(place) {
            *free = Some(word);
        }
    }

    /// Adds an option with its value.
    pub(crate) fn put_option(&mut self, option: &'static str, value: Cow<'a, str>) {
        self.options.push((option, value));
    }

    /// Sets the text, which may be empty.
    pub(crate) fn put_text(&mut self, text: Cow<'a, str>) {
        self.text = Text::Str(text);
    }

    /// Sets a message that need not be text.
    pub(crate) fn put_bytes(&mut self, bytes: Bytes) {
        self.text = Text::Bytes(bytes);
    }

    /// Whether there is a text or a message.
    pub(crate) fn has_text(&self) -> bool {
        !matches!(self.text, Text::None)
    }

    /// A word, by its place.
    pub(crate) fn word(&self, place: usize) -> Option<&str> {
        self.words.get(place).and_then(Option::as_deref)
    }

    /// A required word.
    pub(crate) fn name(&self, place: usize) -> Result<String, Wrong> {
        self.word(place).map(str::to_owned).ok_or(Wrong::Usage)
    }

    /// An option's value.
    pub(crate) fn option(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(of, _)| *of == option).map(|(_, value)| &**value)
    }

    /// Whether an option without a value is present.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.option(option).is_some()
    }

    /// The text. No line can state an empty one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Text::Str(text) = &self.text { Some(text) } else { None }
    }

    /// A message.
    pub(crate) fn body(&self) -> Option<Bytes> {
        match &self.text {
            Text::None => None,
            Text::Str(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            Text::Bytes(bytes) => Some(bytes.clone()),
        }
    }

    /// An option's value as a number.
    pub(crate) fn number(&self, option: &'static str) -> Result<Option<u64>, Wrong> {
        self.option(option).map(|value| number(option, value)).transpose()
    }

    /// `max=`, or a bare number in this place.
    pub(crate) fn max(&self, place: usize) -> Result<Option<u64>, Wrong> {
        match (self.word(place), self.number("max=")?) {
            (Some(_), Some(_)) => Err(Wrong::Because("max= is given twice".to_owned())),
            (Some(word), None) => number("max=", word).map(Some),
            (None, max) => Ok(max),
        }
    }

    /// A required seq.
    pub(crate) fn seq(&self, place: usize) -> Result<u64, Wrong> {
        number("<seq>", self.word(place).unwrap_or_default())
    }

    /// Which of two words the first is.
    pub(crate) fn either(&self, yes: &str, no: &str) -> Result<bool, Wrong> {
        match self.word(0) {
            Some(word) if word == yes => Ok(true),
            Some(word) if word == no => Ok(false),
            _ => Err(Wrong::Usage),
        }
    }

    /// `from=start|now`.
    pub(crate) fn begin(&self) -> Result<Begin, Wrong> {
        match self.option("from=") {
            None | Some("start") => Ok(Begin::Start),
            Some("now") => Ok(Begin::Now),
            Some(_) => Err(Wrong::Value("from=", "takes start or now".to_owned())),
        }
    }

    /// An option's value as a duration like `30s`, in milliseconds.
    pub(crate) fn ms(&self, option: &'static str) -> Result<Option<u64>, Wrong> {
        let Some(value) = self.option(option) else { return Ok(None) };
        duration(option, value).map(units::ms).map(Some)
    }
}

/// A number: digits and nothing else.
pub(crate) fn number(what: &'static str, text: &str) -> Result<u64, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Wrong::Value(what, format!("takes a number, not {}", shortened(text))))
}

pub(crate) fn duration(what: &'static str, text: &str) -> Result<Duration, Wrong> {
    units::duration(text).map_err(|wrong| Wrong::Value(what, wrong.to_string()))
}

/// Appends a command's arguments so that they are read back as the same command: options, words and text.
pub(crate) fn write(verb: &Verb, options: &[String], words: &[&str], text: Option<&str>, out: &mut Vec<u8>) {
    let is_taken = |is: Is| !matches!(is, Is::Word);
    let in_text = |text: &str| {
        let mut words = Words(text).enumerate();
        words.any(|(at, word)| is_taken(is_in_text(verb, word)) || at == 0 && word == END)
    };
    let ends = words.iter().any(|word| *word == END || is_taken(is_among_words(verb, word)))
        || verb.rest == Rest::Text && text.is_some_and(in_text);
    let options = options.iter().map(String::as_str);
    let words = words.iter().copied();
    let mut put = |word: &str| {
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
    };
    if ends || verb.rest != Rest::Nothing {
        options.for_each(&mut put);
        ends.then_some(END).into_iter().chain(words).for_each(&mut put);
    } else {
        words.chain(options).for_each(&mut put);
    }
    if let Some(text) = text {
        put(text);
    }
}
