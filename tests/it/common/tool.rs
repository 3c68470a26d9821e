//! Programs that may be missing.

/// Whether a program that a test needs is there; where it is missing the test is skipped, but not in CI.
pub fn has_tool(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    if !found {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} is missing, and this is CI");
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}
