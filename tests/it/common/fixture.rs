//! Data directories that were kept, and what is in one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Daemon, binary};

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A data directory that was kept.
pub struct Fixture {
    pub path: PathBuf,
    pub format: u32,
    pub version: String,
}

impl Fixture {
    /// All of them, by `format-<n>-<version>.tar.gz`.
    pub fn all() -> Vec<Fixture> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let fixture = |path: PathBuf| {
            let (format, version) =
                path.file_name()?.to_str()?.strip_suffix(".tar.gz")?.split_once("format-")?.1.split_once('-')?;
            Some(Fixture { format: format.parse().unwrap(), version: version.to_owned(), path: path.clone() })
        };
        paths.into_iter().filter_map(fixture).collect()
    }

    pub fn answers(&self) -> String {
        std::fs::read_to_string(self.path.with_file_name(format!("format-{}-{}.answers", self.format, self.version)))
            .unwrap()
    }

    /// A directory with it, as `data`.
    pub fn unpack(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(&self.path).unwrap();
        tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(dir.path()).unwrap();
        assert_eq!(format_of(&dir.path().join("data")), self.format);
        dir
    }
}

pub fn format_of(data_dir: &Path) -> u32 {
    std::fs::read_to_string(data_dir.join("FORMAT")).unwrap().trim().parse().unwrap()
}

/// The files below a directory, and what is in them.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.is_file() {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

pub fn dantok(arguments: &[&str], data_dir: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// What this build writes.
pub fn current() -> u32 {
    format_of(&Daemon::start().data_dir())
}
