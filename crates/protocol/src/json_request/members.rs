//! The members of each command's object, from the table of verbs.

use crate::line::{Rest, Verb, bare};

/// What a member's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A string.
    Text,
    /// A whole number, or a string that states it, or a word in its place.
    Number,
    /// `true` or `false`.
    Bool,
}

/// A member of a command's object, besides `do` and `tag`.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub takes: Takes,
    /// Whether the command needs it. Of `text` and `base64` it needs one.
    pub is_required: bool,
    pub(super) goes: Goes,
}

/// Which argument a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    /// The word in this place.
    Word(usize),
    /// An option: `key=`, or `--word`.
    Option(&'static str),
    /// The text.
    Text,
    /// The same, if it is not text.
    Bytes,
}

/// Members that are numbers, in whichever command.
const NUMBERS: [&str; 7] = ["seq", "reply", "after", "before", "max", "number", "cap"];
/// Words that are written as a truth.
const TRUTHS: [&str; 1] = ["on"];

/// The members of a verb's object, besides `do` and `tag`.
pub fn members(verb: &Verb) -> impl Iterator<Item = Member> {
    let text_at = (verb.rest != Rest::Nothing).then(|| verb.names.len().saturating_sub(1));
    let words = verb.names.iter().enumerate().map(move |(at, name)| Member {
        name,
        takes: match *name {
            name if NUMBERS.contains(&name) => Takes::Number,
            name if TRUTHS.contains(&name) => Takes::Bool,
            _ => Takes::Text,
        },
        is_required: !verb.usage.contains(&format!("[<{name}>")),
        goes: if text_at == Some(at) { Goes::Text } else { Goes::Word(at) },
    });
    let bytes = (verb.rest == Rest::Body).then_some(Member {
        name: "base64",
        takes: Takes::Text,
        is_required: true,
        goes: Goes::Bytes,
    });
    let options = verb.options.iter().map(|option| Member {
        name: bare(option),
        takes: match bare(option) {
            name if NUMBERS.contains(&name) => Takes::Number,
            _ if option.ends_with('=') => Takes::Text,
            _ => Takes::Bool,
        },
        is_required: false,
        goes: Goes::Option(option),
    });
    words.chain(bytes).chain(options)
}

/// The words that a member takes, and whether it takes others.
fn words(verb: &Verb, member: &Member) -> (Vec<&'static str>, bool) {
    let (key, angled) = (format!("{}=", member.name), format!("<{}>", member.name));
    let begin = match (verb.usage.find(&key), verb.usage.find(&angled)) {
        (Some(at), _) => at,
        (None, Some(at)) => at,
        (None, None) => verb.name.len() + 1,
    };
    let rest = verb.usage.get(begin..).unwrap_or_default();
    let rest = rest.split([' ', ']']).next().unwrap_or_default();
    let all = rest.split('|').map(|word| word.trim_start_matches(&key));
    let (open, words): (Vec<&str>, Vec<&str>) = all.partition(|word| word.starts_with(['<', '-', '[']));
    (words, !open.is_empty())
}

/// A verb's usage in JSON: what it needs, then what it may have, in brackets.
pub fn usage(verb: &Verb) -> String {
    let mut usage = format!("{{\"do\":\"{}\"", verb.name.to_ascii_lowercase());
    for member in members(verb).filter(|member| member.goes != Goes::Bytes) {
        let name = match member.goes {
            Goes::Text if verb.rest == Rest::Body => format!("\"{}\"|\"base64\"", member.name),
            _ => format!("\"{}\"", member.name),
        };
        let (words, is_open) = words(verb, &member);
        let mut values: Vec<String> = match member.takes {
            Takes::Number => vec!["n".to_owned()],
            Takes::Bool if member.is_required => vec!["true|false".to_owned()],
            Takes::Bool => vec!["true".to_owned()],
            Takes::Text if is_open || words.is_empty() => vec!["\"…\"".to_owned()],
            Takes::Text => Vec::new(),
        };
        if member.takes != Takes::Bool {
            values.extend(words.iter().map(|word| format!("\"{word}\"")));
        }
        let member_usage = format!(",{name}:{}", values.join("|"));
        usage.push_str(&if member.is_required { member_usage } else { format!("[{member_usage}]") });
    }
    usage.push('}');
    usage
}
