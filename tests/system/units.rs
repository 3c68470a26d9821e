//! The units in `systemd/`, checked by `systemd-analyze`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::has_tool;

/// Ten times what `systemd-analyze security` may say at the most; 100 is no sandbox at all.
const EXPOSURE_MAX: &str = "10";

/// Copies of the units that start this build's daemon: what they name has to be there.
fn units(dir: &Path) -> Vec<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let files = std::fs::read_dir(from).unwrap().map(|file| file.unwrap().path());
    let units = files.filter(|file| file.extension().is_some_and(|of| of == "service" || of == "socket"));
    units
        .map(|unit| {
            let text = std::fs::read_to_string(&unit).unwrap();
            let copy = dir.join(unit.file_name().unwrap());
            std::fs::write(&copy, text.replace("/usr/bin/dantok", env!("CARGO_BIN_EXE_dantok"))).unwrap();
            copy
        })
        .collect()
}

fn analyze(verb: &[&str], units: &[PathBuf]) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(verb).args(units).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

#[test]
fn systemd_accepts_the_units_without_a_warning() {
    if !has_tool("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let units = units(dir.path());
    assert_eq!(units.len(), 5, "{units:?}");
    // Other units of this machine are not looked at, nor are manual pages.
    let (is_valid, printed) = analyze(&["verify", "--man=no", "--recursive-errors=no"], &units);
    assert!(is_valid && printed.is_empty(), "{printed}");
}

#[test]
fn the_service_is_sandboxed() {
    if !has_tool("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let units = units(dir.path());
    let service: Vec<_> = units.into_iter().filter(|unit| unit.ends_with("dantok.service")).collect();
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (is_below, printed) = analyze(&["security", "--offline=true", "--no-pager", &threshold], &service);
    assert!(is_below && printed.contains("Overall exposure level for dantok.service"), "{printed}");
}
