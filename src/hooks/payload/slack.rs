//! Messages as Slack takes them: `text`, `blocks` and `attachments`, as one text.

use serde_json::Value;

use super::json::{array, first, scalar, text};

/// The text of a message; empty if there is nothing in it that can be shown.
pub(super) fn read(message: &Value) -> String {
    let mut parts = Parts::default();
    parts.blocks(array(message, "blocks"));
    if parts.0.is_empty() {
        // Beside blocks, it is what notifications show.
        parts.add(plain(text(message, "text")));
    }
    for attachment in array(message, "attachments") {
        parts.attachment(attachment);
    }
    parts.0.join("\n")
}

/// Whether this looks like such a message.
pub(super) fn is_one(value: &Value) -> bool {
    ["text", "blocks", "attachments"].iter().any(|name| value.get(name).is_some())
}

/// Paragraphs.
#[derive(Default)]
struct Parts(Vec<String>);

impl Parts {
    fn add(&mut self, text: String) {
        let text = text.trim_end();
        if !text.trim().is_empty() {
            self.0.push(text.to_owned());
        }
    }

    fn attachment(&mut self, attachment: &Value) {
        let before = self.0.len();
        self.add(plain(text(attachment, "pretext")));
        self.add(plain(text(attachment, "author_name")));
        let (title, link) = (plain(text(attachment, "title")), text(attachment, "title_link"));
        self.add(linked(&title, link));
        self.add(plain(text(attachment, "text")));
        for field in array(attachment, "fields") {
            let value = field.get("value").map(scalar).unwrap_or_default();
            self.add(labelled(&plain(text(field, "title")), &plain(&value)));
        }
        self.blocks(array(attachment, "blocks"));
        if self.0.len() == before {
            self.add(plain(text(attachment, "fallback")));
        }
        if self.0.len() == before {
            self.add(text(attachment, "image_url").to_owned());
        }
        self.add(plain(text(attachment, "footer")));
    }

    fn blocks(&mut self, blocks: &[Value]) {
        blocks.iter().for_each(|block| self.block(block));
    }

    fn block(&mut self, block: &Value) {
        match text(block, "type") {
            "section" | "header" => {
                self.add(object(&block["text"]));
                array(block, "fields").iter().for_each(|field| self.add(object(field)));
            }
            "markdown" => self.add(text(block, "text").to_owned()),
            "context" => {
                let parts = array(block, "elements").iter().map(|element| match text(element, "type") {
                    "image" => text(element, "alt_text").to_owned(),
                    _ => object(element),
                });
                self.add(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
            }
            "image" | "video" => {
                let title = match object(&block["title"]) {
                    title if title.is_empty() => text(block, "alt_text").to_owned(),
                    title => title,
                };
                self.add(linked(&title, first(block, &["image_url", "title_url", "video_url"])));
            }
            "actions" => {
                for element in array(block, "elements").iter().filter(|element| !text(element, "url").is_empty()) {
                    self.add(linked(&object(&element["text"]), text(element, "url")));
                }
            }
            "rich_text" => array(block, "elements").iter().for_each(|element| self.rich(element, "")),
            _ => {}
        }
    }

    /// A part of rich text, whose lines get this prefix.
    fn rich(&mut self, element: &Value, prefix: &str) {
        match text(element, "type") {
            "rich_text_list" => array(element, "elements").iter().for_each(|item| self.rich(item, "- ")),
            kind => {
                let prefix = if kind == "rich_text_quote" { "> " } else { prefix };
                let runs: String = array(element, "elements").iter().map(run).collect();
                self.add(runs.lines().map(|line| format!("{prefix}{line}\n")).collect());
            }
        }
    }
}

/// A run of rich text.
fn run(element: &Value) -> String {
    let of = |name| text(element, name);
    match of("type") {
        "text" => of("text").to_owned(),
        "link" => linked(of("text"), of("url")),
        "emoji" => format!(":{}:", of("name")),
        "user" => format!("@{}", of("user_id")),
        "usergroup" => format!("@{}", of("usergroup_id")),
        "channel" => format!("#{}", of("channel_id")),
        "broadcast" => format!("@{}", of("range")),
        "date" => of("fallback").to_owned(),
        _ => String::new(),
    }
}

/// A text object, which says whether it has markup.
fn object(object: &Value) -> String {
    match object {
        // Some senders leave the object out.
        Value::String(text) => plain(text),
        object if text(object, "type") == "plain_text" => unescape(text(object, "text")),
        object => plain(text(object, "text")),
    }
}

fn linked(label: &str, url: &str) -> String {
    match (label.trim(), url) {
        (label, "") => label.to_owned(),
        ("", url) => url.to_owned(),
        (label, url) if label == url => url.to_owned(),
        (label, url) => format!("{label} ({url})"),
    }
}

fn labelled(label: &str, value: &str) -> String {
    match (label.trim(), value.trim()) {
        ("", value) => value.to_owned(),
        (label, "") => label.to_owned(),
        (label, value) => format!("{label}: {value}"),
    }
}

/// Text with Slack's markup, as people read it: links and mentions without angle brackets, and nothing escaped.
fn plain(marked: &str) -> String {
    let mut plain = String::with_capacity(marked.len());
    let mut rest = marked;
    while let Some((before, behind)) = rest.split_once('<') {
        plain += &unescape(before);
        // Angle brackets that are meant are escaped, but not every sender does that.
        match behind.split_once('>').filter(|(inside, _)| !inside.contains(['<', '\n'])) {
            Some((inside, after)) => {
                plain += &mention(inside);
                rest = after;
            }
            None => {
                plain.push('<');
                rest = behind;
            }
        }
    }
    plain + &unescape(rest)
}

/// What stands between angle brackets.
fn mention(inside: &str) -> String {
    let (target, label) = inside.split_once('|').map_or((inside, ""), |(target, label)| (target, label));
    let label = unescape(label);
    match target.chars().next() {
        Some(sign @ ('@' | '#')) if !label.is_empty() => format!("{sign}{}", label.trim_start_matches(sign)),
        Some('@' | '#') => target.to_owned(),
        Some('!') if !label.is_empty() => label,
        Some('!') => format!("@{}", target.trim_start_matches('!')),
        _ => match target.strip_prefix("mailto:") {
            Some(address) if label.is_empty() => unescape(address),
            Some(_) => label,
            None => linked(&label, &unescape(target)),
        },
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn markup_becomes_what_people_read() {
        for (marked, expected) in [
            ("plain &amp; &lt;simple&gt; &amp;lt;", "plain & <simple> &lt;"),
            ("<https://ci.example/7|build 7> failed", "build 7 (https://ci.example/7) failed"),
            ("<https://ci.example/?a=1&amp;b=2>", "https://ci.example/?a=1&b=2"),
            ("<https://a.example|https://a.example>", "https://a.example"),
            ("<mailto:a@b.example|Ann> <mailto:a@b.example>", "Ann a@b.example"),
            ("<@U123> <@U123|ann> <#C9|general> <#C9>", "@U123 @ann #general #C9"),
            ("<!here> <!channel|channel> <!subteam^S1|@ops>", "@here channel @ops"),
            ("<!date^1392734382^{date}|18 February>", "18 February"),
            ("1 <2\n3> 4", "1 <2\n3> 4"),
            ("<", "<"),
            ("<>", ""),
            ("<<https://a.example>", "<https://a.example"),
        ] {
            assert_eq!(plain(marked), expected, "{marked}");
        }
    }

    #[test]
    fn anything_may_be_of_any_type() {
        for value in [json!(null), json!(7), json!([]), json!("x"), json!({}), json!([[{}]]), json!({"type": {}})] {
            let message = json!({
                "text": value, "blocks": value, "attachments": [value, {"fields": value, "title": value, "blocks": [value]}],
            });
            read(&message);
            for kind in ["section", "header", "context", "image", "actions", "rich_text", "markdown", "video", "?"] {
                let block =
                    json!({"type": kind, "text": value, "elements": [value, {"elements": value}], "fields": [value]});
                read(&json!({"blocks": [block]}));
            }
        }
    }
}
