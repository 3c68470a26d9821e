//! Checks that every mutation applies to the current code.

use std::path::Path;
use std::process::Command;

#[test]
fn every_mutation_applies() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = |arguments: &[&str]| Command::new("git").args(arguments).current_dir(dir.join("..")).output();
    if !git(&["rev-parse", "--git-dir"]).is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "git, or the repository, is missing");
        eprintln!("SKIPPED: mutations were not tried: git, or the repository, is missing");
        return;
    }
    let mut count = 0;
    for patch in std::fs::read_dir(dir.join("mutations")).unwrap().map(|entry| entry.unwrap().path()) {
        if patch.extension().is_some_and(|extension| extension == "patch") {
            let output = git(&["apply", "--check", patch.to_str().unwrap()]).unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
