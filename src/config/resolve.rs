//! Combines the command line, the environment, the file and the defaults.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::file::File;
use super::{Config, Environment, SETTINGS, Setting};
use crate::limits::RETENTION_FLOOR;
use dantok_protocol::units;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag(String),
    /// An environment variable.
    Env(String),
    /// A key of the file.
    File(PathBuf, String),
    /// Nothing was set.
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

/// An invalid configuration. The message names the source and what it accepts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    pub(super) fn of(problem: String) -> ConfigError {
        ConfigError(vec![problem])
    }

    /// Everything that is wrong, a sentence each.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// A configuration, and where each value came from, in the order of [`SETTINGS`].
#[derive(Debug)]
pub struct Resolved {
    /// The values in effect.
    pub config: Config,
    /// Where they came from.
    pub sources: Vec<Source>,
    /// What was set and has no effect, a sentence each.
    pub warnings: Vec<String>,
}

/// Combines the command line (with the environment variables, which clap has read), the file and the defaults.
///
/// # Errors
/// The file can't be read; it has an unknown key; a value is not accepted; the retention is too short.
pub fn resolve(matches: &ArgMatches, file: Option<&Path>, environment: &Environment) -> Result<Resolved, ConfigError> {
    let printed = file.map(File::read).transpose()?.unwrap_or_default();
    let mut config = Config::default();
    #[cfg(feature = "tls")]
    {
        config.tls.is_passed = environment.passes_tls;
    }
    let mut problems = printed.wrong.clone();
    let mut sources = Vec::new();
    for setting in SETTINGS {
        let Some((values, source, line)) =
            given(setting, matches, file.map(|path| (path, &printed)), environment, &config)
        else {
            sources.push(Source::Default);
            continue;
        };
        if let Err(what) = (setting.parse)(&mut config, &values) {
            let source = match (&source, line) {
                (Source::File(path, key), Some(line)) => format!("{}, line {line}: {key}", path.display()),
                _ => source.to_string(),
            };
            let values = if values.iter().all(String::is_empty) { "nothing".to_owned() } else { values.join(", ") };
            problems.push(format!("{source} {what}, not {values}"));
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
    // Otherwise a file may only seem to be missing because its setting was wrong.
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

/// The values given for a setting, their source, and the line if it is a file.
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

impl Resolved {
    /// Whether this setting was set anywhere.
    pub fn is_given(&self, name: &str) -> bool {
        let mut sources = SETTINGS.iter().zip(&self.sources);
        sources.any(|(setting, source)| setting.name == name && *source != Source::Default)
    }

    /// The values in effect as a TOML file, each followed by its source.
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
    use crate::config::example;
    use std::time::Duration;

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
    fn systemd_gives_the_data_directory_unless_one_is_given() {
        let from_systemd = resolved(&[], None, Some("/var/lib/dantok:/var/lib/other")).unwrap();
        assert_eq!(from_systemd.config.data_dir, Path::new("/var/lib/dantok"));
        let printed = resolved(&["--data-dir", "x"], None, Some("/var/lib/dantok")).unwrap();
        assert_eq!(printed.config.data_dir, Path::new("x"));
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
        let printed = resolved(&["--tokens", "x"], false).unwrap();
        assert_eq!(printed.config.tokens_path(), Path::new("x"));
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
                "dantok.toml, line 3: max-romms: no such setting; did you mean max-rooms?",
            ),
            (&[], Some("max_rooms = 5"), "dantok.toml, line 1: max_rooms: no such setting; did you mean max-rooms?"),
            (&[], Some("rooms = 5"), "did you mean max-rooms?"),
            (&[], Some("zzz = 5"), "dantok.toml, line 1: zzz: no such setting; `dantok config` prints"),
            (
                &[],
                Some("# 안녕\r\n[limits]\r\nmax-rooms = 5"),
                "dantok.toml, line 2: limits: no such setting; settings belong to no [table]",
            ),
            (&[], Some("[[listen]]\naddress = 5"), "dantok.toml, line 1: listen takes"),
            (&[], Some("max-rooms = 5\nmax-rooms = 6"), "dantok.toml, line 2: duplicate key"),
            (&[], Some("max-rooms = 5\nmax-rooms 6"), "dantok.toml, line 2: "),
            (&[], Some("log = \"info\"\nmax-rooms = \"many\""), "dantok.toml, line 2: max-rooms takes"),
            (&["--listen", "7420"], None, "--listen takes an address and a port"),
            (
                &["--listen", ""],
                None,
                "--listen takes an address and a port, like 127.0.0.1:7420, [::1]:7420 or chat.example.org:7420; or none, not nothing",
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
            warnings.iter().filter(|warning| warning.contains("did you mean DANTOK_MAX_ROOMS?")).count(),
            2,
            "{warnings:?}"
        );
        assert!(warnings.iter().any(|warning| warning.starts_with("$DANTOK_ZZZ is set, but nothing reads it")));
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
