//! What tests need of other packages, which cargo has not built for them.

use std::path::Path;
use std::process::Command;

/// Builds a program of the workspace, and the examples, into the directory of the binaries, as those were built.
pub fn build(program: &str, workspace: &Path, dir: &Path) {
    let mut build = Command::new(env!("CARGO"));
    // No package by name, and an example: so dependencies have the features that they have in `cargo test`, and none is built twice.
    build
        .args(["build", "--quiet", "--bin", program, "--example", "client", "--example", "replay"])
        .current_dir(workspace);
    build.args(dir.ends_with("release").then_some("--release"));
    // What cargo tells a test is nothing that a build depends on; but build scripts ask for it, and would run again each time.
    let told = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|of| name.starts_with(of))
    };
    for (name, _) in std::env::vars().filter(|(name, _)| told(name)) {
        build.env_remove(name);
    }
    assert!(build.status().unwrap().success(), "can't build {program}");
}
