//! The real `dantok doctor`, on a disk and in memory.

use std::path::Path;
use std::process::Command;

fn doctor(dir: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dantok")).arg("doctor").arg("--data-dir").arg(dir).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn it_reports_every_figure_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (_, printed) = doctor(dir.path());
    for what in
        ["file system", "space", "lock", "sync", "fdatasync of 4096 bytes: median", "store", "clock", "time sync"]
    {
        assert!(printed.contains(what), "{what}: {printed}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn programs_get_the_same_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    let output = command.args(["doctor", "--json", "--data-dir"]).arg(dir.path()).output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["can_keep_the_promises"].as_bool(), Some(output.status.success()));
    let findings = printed["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["what"] == "sync" && finding["text"].is_string()), "{printed}");
    assert!(findings.iter().all(|finding| ["ok", "warning", "bad"].contains(&finding["level"].as_str().unwrap())));
}

#[test]
fn a_directory_in_memory_is_not_accepted_as_a_disk() {
    let shm = Path::new("/dev/shm");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    if !mounts.lines().any(|line| line.contains(" /dev/shm tmpfs ") && line.contains("rw")) {
        eprintln!("SKIPPED: /dev/shm is not a tmpfs here");
        return;
    }
    let (code, printed) = doctor(&shm.join("dantok-data"));
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("BAD      file system") && printed.contains("can NOT keep"), "{printed}");
}
