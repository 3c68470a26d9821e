//! The two forms of an answer on the line protocol: text and JSON. A reply or item describes both in one place; each form takes what
//! is meant for it and ignores the rest.

use std::fmt::{self, Arguments, Display};

use serde::Serialize;

use crate::MessageRef;

/// A form to write to.
pub(crate) trait Form {
    /// Sets the type of the JSON object. Call it before adding fields.
    fn kind(&mut self, kind: &str);

    /// Adds to the line.
    fn line(&mut self, text: Arguments<'_>);

    /// Adds a field to the JSON object.
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self;

    /// Writes a message.
    fn message(&mut self, message: MessageRef<'_>);

    /// Begins the answer to a successful request: `OK`, then `rest`.
    fn ok(&mut self, rest: Arguments<'_>) {
        self.kind("ok");
        self.line(format_args!("OK{rest}"));
    }
}

/// A value, or the placeholder for a missing one.
pub(crate) struct Or<T>(pub(crate) Option<T>, pub(crate) &'static str);

impl<T: Display> Display for Or<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Or(Some(value), _) => value.fmt(f),
            Or(None, none) => f.write_str(none),
        }
    }
}

/// A duration in the form of the line protocol: seconds, with the remaining milliseconds as a fraction.
pub(crate) fn seconds(ms: u64) -> impl Display {
    struct Seconds(u64);
    impl Display for Seconds {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 % 1000 {
                0 => write!(f, "{}s", self.0 / 1000),
                ms => write!(f, "{}.{ms:03}s", self.0 / 1000),
            }
        }
    }
    Seconds(ms)
}
