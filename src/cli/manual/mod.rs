//! The manual pages: of the program, of each of its commands, and of the settings file.

mod settings;

use std::time::{Duration, SystemTime};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use dantok_protocol::units;

pub use settings::installed;

/// The footer of every page.
const MANUAL: &str = "dantok";

/// The date on the pages: the day of `$SOURCE_DATE_EPOCH`, so that the same sources make the same pages; otherwise that of the commit, or
/// today.
///
/// # Errors
/// `$SOURCE_DATE_EPOCH` is not a time.
pub fn date() -> Result<String, String> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => {
            let seconds = epoch.parse().map_err(|_| "SOURCE_DATE_EPOCH is not a number of seconds")?;
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            time.filter(|_| seconds <= units::TIME_LAST_MS / 1000).ok_or("SOURCE_DATE_EPOCH is too large")?
        }
        Err(_) => match env!("DANTOK_COMMIT").split_once(' ') {
            Some((_, day)) => return Ok(day.to_owned()),
            None => SystemTime::now(),
        },
    };
    Ok(units::time(time).to_string().chars().take(10).collect())
}

/// The page for the words of a command, or for the name of the settings file; `None` if there is no such page.
pub fn page_of(words: &[String], date: &str) -> Option<String> {
    let asked = words.join("-");
    let name = match asked.as_str() {
        "" | "dantok" => "dantok.1".to_owned(),
        "dantok.toml" => "dantok.toml.5".to_owned(),
        asked => format!("dantok-{}.1", asked.strip_prefix("dantok-").unwrap_or(asked)),
    };
    pages(date).into_iter().find_map(|(page, text)| if page == name { Some(text) } else { None })
}

/// Every page, with its file name.
pub fn pages(date: &str) -> Vec<(String, String)> {
    let command = super::shown().disable_help_subcommand(true);
    let usage = "dantok [OPTIONS]\ndantok [OPTIONS] COMMAND";
    let top = command.clone().override_usage(usage);
    let mut pages = vec![page(top, date, &[EXIT_STATUS, FILES], &names(&command, "dantok"))];
    below(&command, "dantok", date, &mut pages);
    pages.push(settings::page(date));
    pages
}

/// The pages of another program, with their file names.
pub fn page_of_program(command: Command, date: &str) -> (String, String) {
    page(command, date, &[], &["dantok".to_owned()])
}

fn below(command: &Command, name: &str, date: &str, pages: &mut Vec<(String, String)>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let page_name = format!("{name}-{}", inner.get_name());
        let also = [vec![name.to_owned()], names(inner, &page_name)].concat();
        let titled = inner.clone().disable_help_subcommand(true).display_name(&page_name);
        pages.push(page(titled.bin_name(page_name.replace('-', " ")), date, &[OTHER_OPTIONS], &also));
        below(inner, &page_name, date, pages);
    }
}

fn names(command: &Command, name: &str) -> Vec<String> {
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.map(|inner| format!("{name}-{}", inner.get_name())).collect()
}

/// A heading and the paragraphs under it.
type Section = (&'static str, &'static [&'static str]);

const OTHER_OPTIONS: Section = (
    "OTHER OPTIONS",
    &[
        "The other settings of dantok(1) are accepted as well and have no effect here, so that a command can be given the same options as the daemon.",
    ],
);

const EXIT_STATUS: Section = (
    "EXIT STATUS",
    &[
        "0: success; for the daemon, it was told to stop and answered all that had arrived.",
        "1: it could not start, or had to stop; or a command found a problem. The last line of the log says why.",
        "2: an option, an environment variable or a setting in the file is invalid.",
    ],
);

const FILES: Section = (
    "FILES",
    &[
        "/etc/dantok/dantok.toml: the settings of the packaged daemon; see dantok.toml(5).",
        "/var/lib/dantok: its data directory, with messages and tokens.",
    ],
);

fn page(command: Command, date: &str, sections: &[Section], also: &[String]) -> (String, String) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let has_commands = command.has_subcommands();
    let man = Man::new(command.subcommand_help_heading("COMMANDS").subcommand_value_name("command"))
        .title(name.to_uppercase())
        .date(date)
        .source(concat!("dantok ", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    prose(&mut roff, &format!("{about}\n\n{after}"));
    let mut end = Roff::new();
    for (heading, paragraphs) in sections {
        end.control("SH", [*heading]);
        prose(&mut end, &paragraphs.join("\n\n"));
    }
    see_also(&mut end, also);
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut out);
    let _ = man.render_name_section(&mut out);
    let _ = man.render_synopsis_section(&mut out);
    let _ = roff.to_writer(&mut out);
    let _ = man.render_options_section(&mut out);
    if has_commands {
        let _ = man.render_subcommands_section(&mut out);
    }
    let _ = end.to_writer(&mut out);
    // mandoc warns about a break before an empty line.
    (format!("{name}.1"), String::from_utf8_lossy(&out).replace(".br\n\n.br\n", ".sp\n"))
}

/// Writes paragraphs; indented lines are kept as they are.
fn prose(roff: &mut Roff, text: &str) {
    for (number, paragraph) in text.trim().split("\n\n").enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        let mut as_is = false;
        for line in paragraph.lines() {
            if line.starts_with("  ") != as_is {
                as_is = !as_is;
                if as_is {
                    roff.control("RS", ["4"]).control("nf", []);
                } else {
                    roff.control("fi", []).control("RE", []);
                }
            }
            roff.text([roman(line.trim_start())]);
        }
        if as_is {
            roff.control("fi", []).control("RE", []);
        }
    }
}

/// Refers to other pages.
fn see_also(roff: &mut Roff, names: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let pages = names.iter().map(|name| (name.as_str(), "(1), ")).chain([("dantok.toml", "(5)")]);
    roff.text(pages.flat_map(|(name, section)| [bold(name), roman(section)]).collect::<Vec<Inline>>());
    roff.control("PP", []);
    roff.text([roman(
        "The contract for clients is in protocol.md, and more about running the daemon in docs/operating.md, both in",
    )]);
    roff.text([roman("/usr/share/doc/dantok if a package installed this page.")]);
}
