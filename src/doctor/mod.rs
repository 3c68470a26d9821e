//! `dantok doctor`: whether this machine can keep the promises, with measurements.
//!
//! It measures in a directory that it creates in the data directory, or where that would be, and removes afterwards. A daemon may be
//! running.

mod clock;
mod disk;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How good or bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Worth knowing, but no promise depends on it, or it can't be determined from here.
    Warning,
    /// A promise can't be kept.
    Bad,
}

/// The result of one examination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was examined.
    pub what: &'static str,
    /// How good or bad it is.
    pub level: Level,
    /// The measurement, and what to do if it is bad.
    pub text: String,
}

impl Finding {
    fn new(what: &'static str, level: Level, text: impl Into<String>) -> Finding {
        Finding { what, level, text: text.into() }
    }
}

/// All findings.
#[derive(Clone, Debug, Default)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// Whether nothing is [bad](Level::Bad).
    pub fn can_keep_the_promises(&self) -> bool {
        self.0.iter().all(|finding| finding.level < Level::Bad)
    }
}

impl Report {
    /// The report for programs.
    pub fn json(&self) -> serde_json::Value {
        let findings: Vec<_> = self
            .0
            .iter()
            .map(|finding| {
                let level = finding.level.as_str().to_lowercase();
                serde_json::json!({ "what": finding.what, "level": level, "text": finding.text })
            })
            .collect();
        serde_json::json!({ "can_keep_the_promises": self.can_keep_the_promises(), "findings": findings })
    }

    /// Adds warnings about the certificates that the daemon is configured to use.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_certificates(mut self, config: &crate::config::Config) -> Report {
        let Ok(Some(files)) = config.tls_files() else { return self };
        let warning = |text: String| Finding::new("certificate", Level::Warning, text);
        match crate::tls::validities(&files) {
            Err(error) => self.0.push(warning(error.to_string())),
            Ok(found) => self.0.extend(found.iter().filter_map(crate::tls::Validity::warning).map(warning)),
        }
        self
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Fine => "ok",
            Level::Warning => "warning",
            Level::Bad => "BAD",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let level = finding.level.as_str();
            writeln!(out, "{level:<8} {:<12} {}", finding.what, finding.text)?;
        }
        let verdict = if self.can_keep_the_promises() { "can" } else { "can NOT" };
        writeln!(out, "This machine {verdict} keep what dantok promises.")
    }
}

/// Examines everything. Takes a few seconds at most, and some MiB on the disk meanwhile.
///
/// # Errors
/// Nothing can be written where the data directory is or would be created.
pub fn examine(data_dir: &Path, connections_max: usize) -> Result<Report, Error> {
    let dir = existing(data_dir);
    let mut findings = disk::place(&dir);
    findings.push(disk::space(&dir));
    let probe = Probe::new(&dir)?;
    findings.push(disk::lock(&probe.0));
    findings.push(disk::sync(&probe.0)?);
    findings.push(disk::store(&probe.0)?);
    findings.extend(disk::write_cache(&dir));
    findings.extend(clock::findings());
    findings.push(descriptors(connections_max));
    Ok(Report(findings))
}

/// The data directory or, if it does not exist, the closest directory above it that does.
fn existing(data_dir: &Path) -> PathBuf {
    let whole = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let found = whole.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    found.canonicalize().unwrap_or_else(|_| found.to_owned())
}

/// A directory to measure in; removed when dropped.
struct Probe(PathBuf);

impl Probe {
    fn new(dir: &Path) -> Result<Probe, Error> {
        let path = dir.join(format!(".dantok-doctor-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(Error::io("create a directory to measure in", &path))?;
        Ok(Probe(path))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // If anything is left, its name says where it came from.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn descriptors(connections_max: usize) -> Finding {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let needed = connections_max as u64 + 256;
    match most {
        Some(most) if most < needed => Finding::new(
            "descriptors",
            Level::Warning,
            format!(
                "at most {most}, --max-connections needs {needed}: raise the limit (LimitNOFILE=), or lower the option"
            ),
        ),
        Some(most) => Finding::new("descriptors", Level::Fine, format!("at most {most}, {needed} needed")),
        None => Finding::new("descriptors", Level::Fine, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_finding_is_enough() {
        let finding = |level| Finding::new("x", level, "y");
        assert!(Report(vec![finding(Level::Fine), finding(Level::Warning)]).can_keep_the_promises());
        assert!(!Report(vec![finding(Level::Fine), finding(Level::Bad)]).can_keep_the_promises());
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_looked_at_where_it_would_be() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(&dir.path().join("a/b")), dir.path().canonicalize().unwrap());
    }
}
