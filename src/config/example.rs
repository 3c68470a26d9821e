//! An example of a settings file, which `dantok config --example` prints and packages install.

use std::fmt::Write as _;

use super::{Config, SETTINGS};

/// A file with every setting in a comment, with its value in `defaults`. It sets nothing.
pub fn example(defaults: &Config) -> String {
    let mut out = "\
# Settings of dantok; see dantok.toml(5). Each stands here with its default: take the
# first # away from a line to change it. `dantok config --config FILE` shows what a file does.
"
    .to_owned();
    let mut heading = "";
    for setting in SETTINGS {
        // Writing to a string does not fail.
        if setting.heading != heading {
            heading = setting.heading;
            let _ = write!(out, "\n\n## {heading}\n");
        }
        let _ = write!(out, "\n{}#{} = {}\n", wrapped(setting.help), setting.name, (setting.show)(defaults));
    }
    out
}

/// Wraps a text into comment lines.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        if width == 0 || width + 1 + word.chars().count() > 90 {
            out.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        width += 1 + word.chars().count();
        out.push(' ');
        out.push_str(word);
    }
    out.push('\n');
    out
}
