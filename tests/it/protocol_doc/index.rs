//! The headings of a document, the links to them, and the index of commands.

use std::collections::BTreeMap;

/// A heading.
#[derive(Debug)]
pub struct Heading<'a> {
    /// How many `#` it has.
    pub level: usize,
    /// Its text.
    pub text: &'a str,
    /// What a link to it is, without the `#`: as GitHub makes it.
    pub anchor: String,
}

/// The headings, in order.
pub fn headings(doc: &str) -> Vec<Heading<'_>> {
    let mut seen = BTreeMap::new();
    let mut is_fenced = false;
    let mut headings = Vec::new();
    for line in doc.lines() {
        is_fenced ^= line.starts_with("```");
        let level = line.chars().take_while(|c| *c == '#').count();
        let Some(text) = line[level..].strip_prefix(' ').filter(|_| !is_fenced && level > 0) else { continue };
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let mut anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let before = seen.entry(anchor.clone()).or_insert(0);
        if *before > 0 {
            anchor = format!("{anchor}-{before}");
        }
        *before += 1;
        headings.push(Heading { level, text, anchor });
    }
    headings
}

/// A line of the index.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The link of the chapter that it stands under.
    pub chapter: &'a str,
    /// How the command is written.
    pub usage: &'a str,
    /// The link of its section.
    pub anchor: &'a str,
    /// What it does.
    pub purpose: &'a str,
}

/// The lines of the section "Commands".
pub fn entries(doc: &str) -> Vec<Entry<'_>> {
    let section = doc.split("\n## ").find_map(|section| section.strip_prefix("Commands\n")).unwrap();
    let (mut chapter, mut entries) = ("", Vec::new());
    for line in section.lines().filter(|line| !line.is_empty()) {
        if let Some((_, anchor)) = line.strip_prefix("**[").and_then(|line| line.split_once("](#")) {
            chapter = anchor.strip_suffix(")**").unwrap();
        } else {
            let entry = line.strip_prefix("- [`").and_then(|line| line.split_once("`](#"));
            let (usage, rest) = entry.unwrap_or_else(|| panic!("what is `{line}`?"));
            let (anchor, purpose) = rest.split_once("): ").unwrap_or_else(|| panic!("what is `{line}`?"));
            entries.push(Entry { chapter, usage, anchor, purpose });
        }
    }
    entries
}
