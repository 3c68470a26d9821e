//! A manual page for the program, and one for each of its commands.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// What stands at the foot of every page.
pub const MANUAL: &str = "dantok";

/// Every page by its file's name.
pub fn pages(date: &str) -> Vec<(String, String)> {
    // Its commands' own pages leave out what is told here: the options that all of them take.
    let command = dantok::cli::command().disable_help_subcommand(true);
    let usage = "dantok [OPTIONS]\ndantok [OPTIONS] COMMAND";
    let top = command.clone().override_usage(usage);
    let mut pages = vec![page(top, date, &[EXIT_STATUS, FILES], &names(&command, "dantok"))];
    below(&command, "dantok", date, &mut pages);
    pages
}

fn below(command: &Command, name: &str, date: &str, pages: &mut Vec<(String, String)>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let page_name = format!("{name}-{}", inner.get_name());
        let also = [vec![name.to_owned()], names(inner, &page_name)].concat();
        let titled = inner.clone().disable_help_subcommand(true).display_name(&page_name);
        pages.push(page(titled.bin_name(page_name.replace('-', " ")), date, &[OPTIONS_OF_ALL], &also));
        below(inner, &page_name, date, pages);
    }
}

fn names(command: &Command, name: &str) -> Vec<String> {
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.map(|inner| format!("{name}-{}", inner.get_name())).collect()
}

/// A heading and the paragraphs under it.
type Section = (&'static str, &'static [&'static str]);

const OPTIONS_OF_ALL: Section = ("COMMON OPTIONS", &["Every option of dantok(1) is taken as well."]);

const EXIT_STATUS: Section = (
    "EXIT STATUS",
    &[
        "0: it did what was asked; the daemon: it was told to stop, and answered what had arrived.",
        "1: it could not start, or had to stop; or a command has found something wrong. The last line of the log says why.",
        "2: the options, the environment or the file of settings are wrong.",
    ],
);

const FILES: Section = (
    "FILES",
    &[
        "/etc/dantok/dantok.toml: the settings of the daemon that the package brings; see dantok.toml(5).",
        "/var/lib/dantok: its messages, and who may connect.",
    ],
);

fn page(command: Command, date: &str, sections: &[Section], also: &[String]) -> (String, String) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
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
    // An empty line is no matter of breaks: mandoc warns of it.
    (format!("{name}.1"), String::from_utf8_lossy(&out).replace(".br\n\n.br\n", ".sp\n"))
}

/// Paragraphs; lines that are indented stay as they are.
pub fn prose(roff: &mut Roff, text: &str) {
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
pub fn see_also(roff: &mut Roff, names: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let pages = names.iter().map(|name| (name.as_str(), "(1), ")).chain([("dantok.toml", "(5)")]);
    roff.text(pages.flat_map(|(name, section)| [bold(name), roman(section)]).collect::<Vec<Inline>>());
    roff.control("PP", []);
    roff.text([roman(
        "The contract for clients is in protocol.md, and more about running the daemon in README.md, both in",
    )]);
    roff.text([roman("/usr/share/doc/dantok where a package has brought this page.")]);
}
