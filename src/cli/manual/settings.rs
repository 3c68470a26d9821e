//! The manual page of the settings file.

use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::config::{Config, SETTINGS};

const ABOUT: &str = "\
The settings of dantok: a TOML file that --config or DANTOK_CONFIG names. Every setting \
is also an option of dantok(1), --NAME, and an environment variable, DANTOK_NAME with \
underscores. An option overrides the environment, which overrides the file. An unknown \
key is an error. A switch takes true or false.

A setting with several values takes an array; any other takes a string, or a number. \
`dantok config` prints the values in effect and where each came from.";

/// The defaults of a packaged service.
pub fn installed() -> Config {
    Config { data_dir: "/var/lib/dantok".into(), ..Config::default() }
}

/// dantok.toml(5).
pub(super) fn page(date: &str) -> (String, String) {
    let mut roff = Roff::new();
    let source = concat!("dantok ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["DANTOK.TOML", "5", date, source, super::MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("dantok.toml - settings of dantok")]);
    roff.control("SH", ["DESCRIPTION"]);
    super::prose(&mut roff, ABOUT);
    let mut heading = "";
    for setting in SETTINGS {
        if setting.heading != heading {
            heading = setting.heading;
            roff.control("SH", [heading.to_uppercase().as_str()]);
        }
        roff.control("TP", []);
        roff.text([bold(setting.name), roman(" = "), italic(setting.value)]);
        roff.text([roman(setting.help)]);
        let default = (setting.show)(&installed());
        if default != "\"\"" && default != "[]" {
            roff.control("br", []);
            roff.text([roman("Default: "), roman(default)]);
        }
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.control("RS", ["4"]).control("nf", []);
    for line in ["listen = [\"127.0.0.1:7420\", \"[::1]:7420\"]", "retention = \"30days\"", "max-body = \"256KiB\""] {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).control("RE", []);
    super::see_also(&mut roff, &["dantok".to_owned()]);
    ("dantok.toml.5".to_owned(), roff.render())
}
