//! What is in force, and where each value came from: a flag, an environment variable, the file, or the default, in that order.
//!
//! [`SETTINGS`] is the one table behind the command line, the environment, the file and `dantok config`.

mod address;
mod environment;
mod example;
mod file;
pub(crate) mod filter;
mod per_client;
#[cfg(feature = "tls")]
mod tls;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::limits::{Limits, RETENTION_FLOOR};
use dantok_protocol::limits::BODY_MAX_BYTES;
use dantok_protocol::units;

pub use environment::Environment;
pub use example::example;
use file::File;
#[cfg(feature = "tls")]
pub use tls::Tls;

/// The configuration of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<String>,
    /// What is said of TLS.
    #[cfg(feature = "tls")]
    pub tls: Tls,
    /// Addresses to answer what watches over the daemon on.
    #[cfg(feature = "metrics")]
    pub metrics: Vec<String>,
    /// Whether anybody may be anybody from anywhere, where there are no tokens.
    pub open: bool,
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// The file of the tokens; none: in the data directory.
    pub tokens: Option<PathBuf>,
    /// How long a message is kept.
    pub retention: Duration,
    /// Whether that may be less than the promise says.
    pub allow_short_retention: bool,
    /// The bounds.
    pub limits: Limits,
    /// What is logged, as an `EnvFilter`.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: vec!["127.0.0.1:7420".to_owned()],
            #[cfg(feature = "tls")]
            tls: Tls::default(),
            #[cfg(feature = "metrics")]
            metrics: Vec::new(),
            open: false,
            data_dir: PathBuf::from("./dantok-data"),
            tokens: None,
            retention: RETENTION_FLOOR,
            allow_short_retention: false,
            limits: Limits::default(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Whether anybody is to be served by TLS.
    pub(crate) fn wants_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return !self.tls.listen.is_empty() || self.tls.is_passed;
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// The file of the tokens.
    pub fn tokens_path(&self) -> PathBuf {
        self.tokens.clone().unwrap_or_else(|| self.data_dir.join("tokens.toml"))
    }
}

/// A setting: its flag is `--name`, its environment variable `DANTOK_NAME`, its key in the file `name`.
#[derive(Debug)]
pub struct Setting {
    /// Its name, with hyphens.
    pub name: &'static str,
    /// What its value is called in the help.
    pub value: &'static str,
    /// Under which heading of the help it stands.
    pub heading: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it may be given more than once.
    pub many: bool,
    /// Whether the flag alone means `true`.
    pub switch: bool,
    /// Takes values; an error says what is accepted.
    pub take: fn(&mut Config, &[String]) -> Result<(), String>,
    /// The value in force, as TOML.
    pub show: fn(&Config) -> String,
}

impl Setting {
    /// Its environment variable.
    pub fn env(&self) -> String {
        format!("DANTOK_{}", self.name.replace('-', "_").to_uppercase())
    }
}

/// More than there ever is of anything; can be added to.
const COUNT_MAX: usize = 1_000_000_000;

fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] => Ok(value),
        _ => Err("takes one value".to_owned()),
    }
}

fn duration(values: &[String]) -> Result<Duration, String> {
    units::duration(one(values)?).map_err(|wrong| wrong.to_string())
}

fn some_duration(values: &[String]) -> Result<Duration, String> {
    duration(values)
        .and_then(|value| if value.is_zero() { Err("takes a duration above 0".to_owned()) } else { Ok(value) })
}

fn count(values: &[String]) -> Result<usize, String> {
    match one(values)?.parse() {
        Ok(count @ 1..=COUNT_MAX) => Ok(count),
        _ => Err("takes a whole number above 0, up to 1000000000".to_owned()),
    }
}

fn switch(values: &[String]) -> Result<bool, String> {
    match one(values)? {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("takes true or false".to_owned()),
    }
}

fn body(values: &[String]) -> Result<usize, String> {
    let parsed = units::size(one(values)?).ok().and_then(|size| usize::try_from(size).ok());
    let in_range = parsed.filter(|bytes| (1..=BODY_MAX_BYTES).contains(bytes));
    in_range.ok_or_else(|| "takes a size from 1 to 1MiB, like 64KiB or 65536".to_owned())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn shown(duration: Duration) -> String {
    quoted(&units::in_words(duration).to_string())
}

/// Every setting, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        value: "ADDRESS",
        heading: "Serving",
        help: "Address to listen on, like 127.0.0.1:7420 or [::1]:7420; may be repeated, or none",
        many: true,
        switch: false,
        take: |config, values| address::list(values).map(|addresses| config.listen = addresses),
        show: |config| toml::Value::from(config.listen.clone()).to_string(),
    },
    Setting {
        name: "open",
        value: "BOOL",
        heading: "Serving",
        help: "Listen beyond this machine even where there are no tokens: whoever connects may be any client",
        many: false,
        switch: true,
        take: |config, values| switch(values).map(|value| config.open = value),
        show: |config| config.open.to_string(),
    },
    Setting {
        name: "data-dir",
        value: "DIR",
        heading: "Serving",
        help: "Where everything is stored; without it $STATE_DIRECTORY if that is set, else ./dantok-data",
        many: false,
        switch: false,
        take: |config, values| {
            config.data_dir = PathBuf::from(one(values)?);
            if config.data_dir.as_os_str().is_empty() { Err("takes a directory".to_owned()) } else { Ok(()) }
        },
        show: |config| quoted(&config.data_dir.to_string_lossy()),
    },
    Setting {
        name: "tokens",
        value: "FILE",
        heading: "Serving",
        help: "Who may connect, and as whom, as `dantok token` writes it; without it tokens.toml in the data directory",
        many: false,
        switch: false,
        take: |config, values| {
            config.tokens = Some(PathBuf::from(one(values)?)).filter(|path| !path.as_os_str().is_empty());
            if config.tokens.is_none() { Err("takes a file".to_owned()) } else { Ok(()) }
        },
        show: |config| quoted(&config.tokens_path().to_string_lossy()),
    },
    Setting {
        name: "retention",
        value: "TIME",
        heading: "Serving",
        help: "How long a message is kept, like 24h or 30days; at least 24h",
        many: false,
        switch: false,
        take: |config, values| some_duration(values).map(|value| config.retention = value),
        show: |config| shown(config.retention),
    },
    Setting {
        name: "allow-short-retention",
        value: "BOOL",
        heading: "Serving",
        help: "Let --retention be under 24h: for tests, since messages are then dropped sooner than promised",
        many: false,
        switch: true,
        take: |config, values| switch(values).map(|value| config.allow_short_retention = value),
        show: |config| config.allow_short_retention.to_string(),
    },
    Setting {
        name: "drain-timeout",
        value: "TIME",
        heading: "Serving",
        help: "How long connections have at shutdown to take their last answers",
        many: false,
        switch: false,
        take: |config, values| duration(values).map(|value| config.limits.drain_timeout = value),
        show: |config| shown(config.limits.drain_timeout),
    },
    #[cfg(feature = "metrics")]
    Setting {
        name: "metrics",
        value: "ADDRESS",
        heading: "Serving",
        help: "Address to answer Prometheus on over HTTP, like 127.0.0.1:9420: /metrics, /healthz, /readyz; may be repeated, or none",
        many: true,
        switch: false,
        take: |config, values| address::list(values).map(|addresses| config.metrics = addresses),
        show: |config| toml::Value::from(config.metrics.clone()).to_string(),
    },
    #[cfg(feature = "tls")]
    tls::LISTEN,
    #[cfg(feature = "tls")]
    tls::CERT,
    #[cfg(feature = "tls")]
    tls::KEY,
    #[cfg(feature = "tls")]
    tls::CLIENT_CA,
    Setting {
        name: "max-body",
        value: "SIZE",
        heading: "Limits",
        help: "Longest message, like 64KiB; up to 1MiB",
        many: false,
        switch: false,
        take: |config, values| body(values).map(|value| config.limits.body_max_bytes = value),
        show: |config| config.limits.body_max_bytes.to_string(),
    },
    Setting {
        name: "max-connections",
        value: "N",
        heading: "Limits",
        help: "Connections at once",
        many: false,
        switch: false,
        take: |config, values| count(values).map(|value| config.limits.connections_max = value),
        show: |config| config.limits.connections_max.to_string(),
    },
    per_client::CONNECTIONS,
    Setting {
        name: "max-rooms",
        value: "N",
        heading: "Limits",
        help: "Rooms that may exist",
        many: false,
        switch: false,
        take: |config, values| count(values).map(|value| config.limits.rooms_max = value),
        show: |config| config.limits.rooms_max.to_string(),
    },
    per_client::ROOMS,
    Setting {
        name: "max-joined-rooms",
        value: "N",
        heading: "Limits",
        help: "Rooms that one client may be a member of",
        many: false,
        switch: false,
        take: |config, values| count(values).map(|value| config.limits.joined_rooms_max = value),
        show: |config| config.limits.joined_rooms_max.to_string(),
    },
    Setting {
        name: "max-room-retention",
        value: "TIME",
        heading: "Limits",
        help: "Longest time that a room may be told to keep its messages",
        many: false,
        switch: false,
        take: |config, values| some_duration(values).map(|value| config.limits.room_retention_max = value),
        show: |config| shown(config.limits.room_retention_max),
    },
    per_client::REQUESTS,
    per_client::BYTES,
    Setting {
        name: "hello-timeout",
        value: "TIME",
        heading: "Limits",
        help: "How long a connection has to say HELLO",
        many: false,
        switch: false,
        take: |config, values| some_duration(values).map(|value| config.limits.hello_timeout = value),
        show: |config| shown(config.limits.hello_timeout),
    },
    Setting {
        name: "log",
        value: "FILTER",
        heading: "Logging",
        help: "What is logged: error, warn, info, debug, trace, or a filter like dantok_store=debug",
        many: false,
        switch: false,
        take: |config, values| {
            let filter = one(values)?;
            filter::parse(filter)?;
            config.log = filter.to_owned();
            Ok(())
        },
        show: |config| quoted(&config.log),
    },
    Setting {
        name: "log-format",
        value: "FORMAT",
        heading: "Logging",
        help: "text, or json: an object a line",
        many: false,
        switch: false,
        take: |config, values| {
            config.log_format = match one(values)? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("takes text or json".to_owned()),
            };
            Ok(())
        },
        show: |config| quoted(if config.log_format == LogFormat::Json { "json" } else { "text" }),
    },
];

/// Settings that are in force from a start to the end; the others may change at a SIGHUP.
pub const AT_START: &[&str] = &["listen", "listen-tls", "metrics", "open", "data-dir", "tokens", "log-format"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag(String),
    /// An environment variable.
    Env(String),
    /// A key of the file.
    File(PathBuf, String),
    /// Nobody said anything.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Flag(name) => write!(f, "--{name}"),
            Source::Env(name) => write!(f, "${name}"),
            Source::File(path, key) => write!(f, "{}: {key}", path.display()),
            Source::Default => write!(f, "default"),
        }
    }
}

/// A configuration that can't be: the message names the source and what it takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    fn of(problem: String) -> ConfigError {
        ConfigError(vec![problem])
    }

    /// All that is wrong, a sentence each.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// A configuration, and where each value came from, in the order of [`SETTINGS`].
#[derive(Debug)]
pub struct Resolved {
    /// What is in force.
    pub config: Config,
    /// Why.
    pub sources: Vec<Source>,
    /// What was said that nobody listens to, a sentence each.
    pub warnings: Vec<String>,
}

/// Brings together the command line (with the environment variables that clap read), the file and the defaults.
///
/// # Errors
/// A file that can't be read, a key that is none, a value that is not taken, a retention that is too short.
pub fn resolve(matches: &ArgMatches, file: Option<&Path>, environment: &Environment) -> Result<Resolved, ConfigError> {
    let said = file.map(File::read).transpose()?.unwrap_or_default();
    let mut config = Config::default();
    #[cfg(feature = "tls")]
    {
        config.tls.is_passed = environment.passes_tls;
    }
    let mut problems = said.wrong.clone();
    let mut sources = Vec::new();
    for setting in SETTINGS {
        let Some((values, source, line)) =
            given(setting, matches, file.map(|path| (path, &said)), environment, &config)
        else {
            sources.push(Source::Default);
            continue;
        };
        if let Err(what) = (setting.take)(&mut config, &values) {
            let source = match (&source, line) {
                (Source::File(path, key), Some(line)) => format!("{}, line {line}: {key}", path.display()),
                _ => source.to_string(),
            };
            let values = if values.iter().all(String::is_empty) { "nothing".to_owned() } else { values.join(", ") };
            problems.push(format!("{source} {what}, and not {values}"));
        }
        sources.push(source);
    }
    if config.retention < RETENTION_FLOOR && !config.allow_short_retention {
        let place = SETTINGS.iter().position(|setting| setting.name == "retention");
        let source = place.and_then(|place| sources.get(place)).unwrap_or(&Source::Default);
        problems.push(format!(
            "{source}: {} is under 24h, for which messages are promised to be kept; \
             --allow-short-retention gives the promise up",
            units::in_words(config.retention)
        ));
    }
    // What is missing may be what was wrong.
    #[cfg(feature = "tls")]
    if problems.is_empty() {
        config.tls_files()?;
    }
    if problems.is_empty() {
        Ok(Resolved { config, sources, warnings: environment.warnings() })
    } else {
        Err(ConfigError(problems))
    }
}

/// What was said of a setting, by whom, and in which line if in a file.
fn given(
    setting: &Setting,
    matches: &ArgMatches,
    file: Option<(&Path, &File)>,
    environment: &Environment,
    config: &Config,
) -> Option<(Vec<String>, Source, Option<usize>)> {
    if let Some(values) = matches.get_many::<String>(setting.name) {
        let source = match matches.value_source(setting.name) {
            Some(ValueSource::CommandLine) => Source::Flag(setting.name.to_owned()),
            _ => Source::Env(setting.env()),
        };
        return Some((values.cloned().collect(), source, None));
    }
    if let Some((path, file)) = file
        && let Some((values, line)) = file.value(setting.name)
    {
        return Some((values.clone(), Source::File(path.to_owned(), setting.name.to_owned()), Some(*line)));
    }
    environment.value(setting.name, config).map(|(value, source)| (vec![value], source, None))
}

/// What somebody has meant who wrote a name that is none of these; or what else is to be said.
fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(name, names).map_or_else(|| otherwise.to_owned(), |near| format!("is {near} meant?"))
}

/// Which of some names is nearest to one that is none of them; none where all are far.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = |near: &str| {
        let edits = strsim::damerau_levenshtein(name, near);
        // Half a name is often enough said: rooms for max-rooms.
        if name.len() > 3 && (near.contains(name) || name.contains(near)) { edits.min(2) } else { edits }
    };
    let (edits, near) = names.map(|near| (far(near), near)).min_by_key(|(edits, _)| *edits)?;
    (edits <= (name.chars().count() / 3).max(2)).then_some(near)
}

impl Resolved {
    /// Whether anybody has said what this setting is to be.
    pub fn is_said(&self, name: &str) -> bool {
        let mut sources = SETTINGS.iter().zip(&self.sources);
        sources.any(|(setting, source)| setting.name == name && *source != Source::Default)
    }

    /// The values in force as a TOML file, each with its source behind it.
    pub fn show(&self) -> String {
        let lines: Vec<String> =
            SETTINGS.iter().map(|setting| format!("{} = {}", setting.name, (setting.show)(&self.config))).collect();
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let mut out = String::new();
        for (line, source) in lines.iter().zip(&self.sources) {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{line:width$}  # {source}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn resolved(args: &[&str], file: Option<&str>, state: Option<&str>) -> Result<Resolved, String> {
        let matches = cli::command().try_get_matches_from([&["dantok"], args].concat()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = file.map(|text| {
            let path = dir.path().join("dantok.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let environment = Environment { state_directory: state.map(str::to_owned), ..Environment::default() };
        resolve(&matches, path.as_deref(), &environment).map_err(|error| error.to_string())
    }

    fn source<'a>(resolved: &'a Resolved, name: &str) -> &'a Source {
        let place = SETTINGS.iter().position(|setting| setting.name == name).unwrap();
        &resolved.sources[place]
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let resolved = resolved(&[], None, None).unwrap();
        assert_eq!(resolved.config, Config::default());
        assert!(resolved.sources.iter().all(|source| *source == Source::Default));
    }

    #[test]
    fn a_flag_beats_the_file() {
        let file = "retention = \"48h\"\nmax-body = 1000\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]\nmax-rooms = 7";
        let resolved = resolved(&["--retention", "30days", "--max-body=1MiB"], Some(file), None).unwrap();
        assert_eq!(resolved.config.retention, Duration::from_secs(30 * 86_400));
        assert_eq!(resolved.config.limits.body_max_bytes, 1024 * 1024);
        assert_eq!(resolved.config.limits.rooms_max, 7);
        assert_eq!(resolved.config.listen, ["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(*source(&resolved, "retention"), Source::Flag("retention".to_owned()));
        assert!(matches!(source(&resolved, "max-rooms"), Source::File(_, key) if key == "max-rooms"));
    }

    #[test]
    fn systemd_gives_the_data_directory_unless_it_is_said() {
        let from_systemd = resolved(&[], None, Some("/var/lib/dantok:/var/lib/other")).unwrap();
        assert_eq!(from_systemd.config.data_dir, Path::new("/var/lib/dantok"));
        let said = resolved(&["--data-dir", "x"], None, Some("/var/lib/dantok")).unwrap();
        assert_eq!(said.config.data_dir, Path::new("x"));
    }

    #[test]
    fn credentials_are_for_who_names_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tokens.toml", "tls-cert.pem", "tls-key.pem"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let resolved = |args: &[&str], passes_tls| {
            let matches = cli::command().try_get_matches_from([&["dantok"], args].concat()).unwrap();
            let credentials_directory = Some(dir.path().to_owned());
            resolve(&matches, None, &Environment { credentials_directory, passes_tls, ..Environment::default() })
        };
        let of_nobody = resolved(&[], false).unwrap();
        assert_eq!(of_nobody.config.tokens_path(), dir.path().join("tokens.toml"));
        assert_eq!(*source(&of_nobody, "tokens"), Source::Env("CREDENTIALS_DIRECTORY".to_owned()));
        let said = resolved(&["--tokens", "x"], false).unwrap();
        assert_eq!(said.config.tokens_path(), Path::new("x"));
        #[cfg(feature = "tls")]
        {
            // A certificate is taken where TLS is wanted, and is no mistake where it is not.
            assert_eq!(of_nobody.config.tls_files(), Ok(None));
            for wanted in [resolved(&["--listen-tls", "127.0.0.1:0"], false), resolved(&[], true)] {
                let files = wanted.unwrap().config.tls_files().unwrap().unwrap();
                assert_eq!((files.cert, files.client_ca), (dir.path().join("tls-cert.pem"), None));
            }
            let error = resolve(
                &cli::command().try_get_matches_from(["dantok"]).unwrap(),
                None,
                &Environment { passes_tls: true, ..Environment::default() },
            );
            assert!(error.unwrap_err().to_string().contains("a socket for TLS needs a certificate"));
        }
    }

    #[test]
    fn short_retention_wants_to_be_allowed() {
        let error = resolved(&["--retention", "23h"], None, None).unwrap_err();
        assert!(error.contains("--retention") && error.contains("--allow-short-retention"), "{error}");
        assert!(resolved(&["--retention", "1s", "--allow-short-retention"], None, None).is_ok());
        assert!(resolved(&[], Some("retention = \"1s\"\nallow-short-retention = true"), None).is_ok());
    }

    #[test]
    fn what_is_not_taken_names_its_source() {
        for (args, file, named) in [
            (&["--max-body", "2MiB"][..], None, "--max-body"),
            (&["--log-format", "xml"], None, "--log-format"),
            (&[], Some("max-rooms = 0"), "dantok.toml, line 1: max-rooms takes"),
            (
                &[],
                Some("max-rooms = 5\n\nmax-romms = 5"),
                "dantok.toml, line 3: max-romms: no such setting; is max-rooms meant?",
            ),
            (&[], Some("max_rooms = 5"), "dantok.toml, line 1: max_rooms: no such setting; is max-rooms meant?"),
            (&[], Some("rooms = 5"), "is max-rooms meant?"),
            (&[], Some("zzz = 5"), "dantok.toml, line 1: zzz: no such setting; `dantok config` prints"),
            (
                &[],
                Some("# 안녕\r\n[limits]\r\nmax-rooms = 5"),
                "dantok.toml, line 2: limits: no such setting; settings stand in no [table]",
            ),
            (&[], Some("[[listen]]\naddress = 5"), "dantok.toml, line 1: listen takes"),
            (&[], Some("max-rooms = 5\nmax-rooms = 6"), "dantok.toml, line 2: duplicate key"),
            (&[], Some("max-rooms = 5\nmax-rooms 6"), "dantok.toml, line 2: "),
            (&[], Some("log = \"info\"\nmax-rooms = \"many\""), "dantok.toml, line 2: max-rooms takes"),
            (&["--listen", "7420"], None, "--listen takes an address and a port"),
            (
                &["--listen", ""],
                None,
                "--listen takes an address and a port, like 127.0.0.1:7420, [::1]:7420 or chat.example.org:7420; or none, and not nothing",
            ),
            (&["--log", "warning"], None, "--log takes error, warn"),
            (&[], Some("max-rooms ="), "dantok.toml"),
            (&["--retention", "soon"], None, "--retention takes a duration"),
            (&["--drain-timeout", "18446744073709551615s"], None, "--drain-timeout takes a duration up to 36500days"),
            (&["--hello-timeout", "36501days"], None, "--hello-timeout takes a duration up to 36500days"),
            (
                &["--max-connections", "18446744073709551615"],
                None,
                "--max-connections takes a whole number above 0, up to",
            ),
        ] {
            let error = resolved(args, file, None).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let error =
            resolved(&["--listen", "7420"], Some("max-room = 3\nmax-body = 0\nretention = \"1h\""), None).unwrap_err();
        for named in ["--listen takes", "line 1: max-room:", "line 2: max-body takes", "retention: 1h is under 24h"] {
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn variables_that_nobody_reads_are_told_of() {
        let unread = ["DANTOK_MAX_ROOM", "dantok_max_rooms", "DANTOK_ZZZ"].map(str::to_owned).to_vec();
        let matches = cli::command().try_get_matches_from(["dantok"]).unwrap();
        let warnings = resolve(&matches, None, &Environment { unread, ..Environment::default() }).unwrap().warnings;
        assert_eq!(
            warnings.iter().filter(|warning| warning.contains("is DANTOK_MAX_ROOMS meant?")).count(),
            2,
            "{warnings:?}"
        );
        assert!(warnings.iter().any(|warning| warning.starts_with("$DANTOK_ZZZ is set, and nobody reads it")));
    }

    #[test]
    fn the_example_sets_nothing_and_takes_everything() {
        let example = example(&Config::default());
        assert_eq!(resolved(&[], Some(&example), None).unwrap().config, Config::default());
        let all: String = example
            .lines()
            .filter(|line| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("##"))
            .map(|line| format!("{}\n", &line[1..]))
            .collect();
        let resolved = resolved(&[], Some(&all), None).unwrap();
        assert!(resolved.sources.iter().all(|source| matches!(source, Source::File(..))), "{all}");
        assert_eq!(Config { tokens: None, ..resolved.config }, Config::default());
    }

    #[test]
    fn what_is_shown_is_taken_again() {
        let first = resolved(&["--max-body", "1000", "--listen", "a:1", "--listen", "b:2"], None, None).unwrap();
        let again = resolved(&[], Some(&first.show()), None).unwrap();
        assert_eq!(first.config.tokens_path(), again.config.tokens_path());
        assert_eq!(first.config, Config { tokens: None, ..again.config });
        assert!(first.show().contains("# --max-body"));
        assert!(first.show().contains("# default"));
    }
}
