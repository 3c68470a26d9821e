//! The fenced blocks of a document.

/// A file of the repository.
pub fn read(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block.
#[derive(Debug)]
pub struct Block<'a> {
    /// The word after its opening fence.
    pub kind: &'a str,
    /// What follows that.
    pub more: &'a str,
    /// `retention=…` there: the block is for a daemon of its own.
    pub retention: Option<&'a str>,
    /// The number of its first line in the document.
    first: usize,
    text: Vec<&'a str>,
}

impl<'a> Block<'a> {
    /// Its lines, each with its number in the document.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.text.iter().enumerate().map(|(at, line)| (self.first + at, *line))
    }
}

/// The fenced blocks of `doc`, in order.
pub fn blocks(doc: &str) -> impl Iterator<Item = Block<'_>> {
    let mut lines = doc.lines().zip(1..);
    std::iter::from_fn(move || {
        let (info, opened) = lines.by_ref().find_map(|(line, number)| Some((line.strip_prefix("```")?, number)))?;
        let (kind, more) = info.split_once(' ').unwrap_or((info, ""));
        let text = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
        Some(Block { kind, more, retention: more.strip_prefix("retention="), first: opened + 1, text })
    })
}

/// Whether the daemon's line is the document's, but for what changes from run to run: in the document, a time stands for
/// any time, what HELLO says of the epoch for any epoch, a room's number for any, and `<n>` for any number.
pub fn same(document: &str, actual: &str) -> bool {
    const TIME: &str = "0000-00-00T00:00:00.000Z";
    let is_time = |text: &str| {
        text.len() >= TIME.len()
            && TIME
                .bytes()
                .zip(text.bytes())
                .all(|(form, byte)| if form == b'0' { byte.is_ascii_digit() } else { form == byte })
    };
    let past_epoch = |text: &str| {
        let epoch = text.strip_prefix(" epoch=").or_else(|| text.strip_prefix("\"epoch\":\""))?;
        let (epoch, rest) = epoch.split_at_checked(16)?;
        epoch.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(rest.len())
    };
    let past_number = |text: &str| {
        let rest = text.strip_prefix(" number=")?;
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        (after.len() < rest.len()).then_some(after.len())
    };
    let (mut document, mut actual) = (document, actual);
    loop {
        if let (Some(left), Some(right)) = (past_number(document), past_number(actual)) {
            document = &document[document.len() - left..];
            actual = &actual[actual.len() - right..];
        }
        if let (Some(left), Some(right)) = (past_epoch(document), past_epoch(actual)) {
            document = &document[document.len() - left..];
            actual = &actual[actual.len() - right..];
        }
        if is_time(document) && is_time(actual) {
            document = &document[TIME.len()..];
            actual = &actual[TIME.len()..];
        } else if let Some(rest) = document.strip_prefix("<n>") {
            let number = actual.trim_start_matches(|c: char| c.is_ascii_digit());
            if number.len() == actual.len() {
                return false;
            }
            (document, actual) = (rest, number);
        } else {
            let (mut left, mut right) = (document.chars(), actual.chars());
            match (left.next(), right.next()) {
                (None, None) => return true,
                (a, b) if a != b => return false,
                _ => (document, actual) = (left.as_str(), right.as_str()),
            }
        }
    }
}

#[test]
fn times_and_numbers_may_differ_and_nothing_else() {
    assert!(same("MSG a 1 2026-11-20T10:00:00.000Z b x", "MSG a 1 2031-01-02T03:04:05.678Z b x"));
    assert!(same("OK rooms=<n> members=<n>", "OK rooms=12 members=0"));
    assert!(same("OK epoch=0123456789abcdef x", "OK epoch=fedcba9876543210 x"));
    assert!(same("OK created number=3", "OK created number=12"));
    for (document, actual) in [
        ("MSG a 1 2026-11-20T10:00:00.000Z b", "MSG a 1 2026-11-20T10:00:00Z b"),
        ("MSG a 1 2026-11-20T10:00:00.000Z b", "MSG a 2 2026-11-20T10:00:00.000Z b"),
        ("OK rooms=<n>", "OK rooms="),
        ("OK epoch=0123456789abcdef", "OK epoch=0123456789abcde"),
        ("OK epoch=0123456789abcdef", "OK epoch=0123456789abcdeg"),
        ("OK number=3", "OK number="),
        ("OK", "OK dup"),
        ("OK dup", "OK"),
    ] {
        assert!(!same(document, actual), "{document} / {actual}");
    }
}
