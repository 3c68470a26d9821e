//! Chat logs as IRC clients write them: `[HH:MM] <nick> text`, `[HH:MM]  * nick does something`, `=== channel event`.

use std::path::{Path, PathBuf};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who.
    pub nick: String,
    /// What; an action has `* ` in front.
    pub text: Vec<u8>,
}

/// Reads a line of a log; none where it is a channel event, or nothing that is known.
pub fn parse(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let rest = line.strip_prefix(b"[")?;
    let rest = rest.split_at_checked(rest.iter().position(|&byte| byte == b']')? + 1)?.1;
    if let Some(said) = rest.strip_prefix(b" <") {
        let end = said.iter().position(|&byte| byte == b'>')?;
        let (nick, text) = said.split_at_checked(end)?;
        let text = text.strip_prefix(b">")?;
        return Some(Line { nick: name(nick), text: text.strip_prefix(b" ").unwrap_or(text).to_vec() });
    }
    let action = rest.strip_prefix(b"  * ")?;
    let end = action.iter().position(|&byte| byte == b' ').unwrap_or(action.len());
    let (nick, text) = action.split_at_checked(end)?;
    Some(Line { nick: name(nick), text: [b"*", text].concat() })
}

/// A nick as a client's name: what such a name may not hold becomes `_`.
fn name(nick: &[u8]) -> String {
    let nick = String::from_utf8_lossy(nick);
    let bad = |c: char| c.is_whitespace() || c == '=' || c == '/' || dantok_protocol::text::is_unsafe(c);
    let mut name: String = nick.chars().map(|c| if bad(c) { '_' } else { c }).collect();
    while name.len() > dantok_protocol::limits::NAME_MAX_BYTES {
        name.pop();
    }
    if name.is_empty() { "_".to_owned() } else { name }
}

/// A log: a room and its messages.
#[derive(Clone, Debug)]
pub struct Log {
    /// The file's name without its ending.
    pub room: String,
    /// In the order of the file.
    pub lines: Vec<Line>,
}

/// Reads every `*.log` of a directory, in the order of their names.
///
/// # Errors
/// I/O errors.
pub fn read_dir(dir: &Path) -> std::io::Result<Vec<Log>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path)?;
        let room = name(path.file_stem().unwrap_or_default().as_encoded_bytes());
        Ok(Log { room, lines: bytes.split(|&byte| byte == b'\n').filter_map(parse).collect() })
    };
    paths.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(String, String)> {
        parse(line.as_bytes()).map(|line| (line.nick, String::from_utf8(line.text).unwrap()))
    }

    #[test]
    fn lines_are_understood() {
        let some = |nick: &str, text: &str| Some((nick.to_owned(), text.to_owned()));
        assert_eq!(
            parsed("[12:18] <|trey|> usual, quite stable though  :)"),
            some("|trey|", "usual, quite stable though  :)")
        );
        assert_eq!(parsed("[10:00]  * mrglinux prefer go on debian.."), some("mrglinux", "* prefer go on debian.."));
        assert_eq!(parsed("[10:00] <a> "), some("a", ""));
        assert_eq!(parsed("[10:00] <a b=c> <x> y"), some("a_b_c", "<x> y"));
        assert_eq!(parsed("=== tuxx  has joined #ubuntu"), None);
        assert_eq!(parsed(""), None);
    }
}
