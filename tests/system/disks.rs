//! Disks that are too small. Mounting them needs root.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::fixture::{Fixture, current, dantok, files, format_of};
#[cfg(feature = "metrics")]
use crate::common::http::get;
use crate::common::scrape::Watched;
use crate::common::{binary, copy_dir, has_tool, wait_until};

#[test]
fn an_upgrade_without_room_for_the_copy_says_how_much_is_missing_and_changes_nothing() {
    // A small disk of its own.
    if !["mkfs.ext4", "mount"].into_iter().all(has_tool) || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root mounts a disk");
        return;
    }
    let fixture = Fixture::all().remove(0);
    let disk = tempfile::tempdir().unwrap();
    let (image, at) = (disk.path().join("image"), disk.path().join("at"));
    std::fs::create_dir(&at).unwrap();
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(72 * 1024 * 1024).unwrap();
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| Command::new(program).args(arguments).output().unwrap();
    assert!(run("mkfs.ext4", &["-q".as_ref(), image.as_ref()]).status.success());
    let mounted = run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()]);
    if !mounted.status.success() {
        eprintln!("SKIPPED: can't mount: {mounted:?}");
        return;
    }
    let (code, printed, untouched, ended) = {
        let unpacked = fixture.unpack();
        copy_dir(&unpacked.path().join("data"), &at.join("data"));
        let before = files(&at.join("data"));
        let start = || dantok(&["serve", "--listen", "127.0.0.1:0"], &at.join("data"));
        let (code, printed) = start();
        let mut after = files(&at.join("data"));
        after.remove(Path::new("dantok.lock"));
        let untouched = after == before;
        // As the message suggests: a directory on another disk.
        let elsewhere = tempfile::tempdir().unwrap();
        let link = at.join("data").join(format!("before-format-{}", current()));
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        let mut command = Command::new(binary());
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(at.join("data")).stderr(Stdio::null());
        let mut child = Ended(command.spawn().unwrap());
        wait_until("it is upgraded", || format_of(&at.join("data")) == current());
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        (code, printed, untouched, files(elsewhere.path()) == before)
    };
    assert!(run("umount", &[at.as_ref()]).status.success());
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("before-format-") && printed.contains(" are missing. Make room"), "{printed}");
    assert!(untouched && ended);
}

/// Ends a process with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file system of its own; gone when it is dropped.
#[cfg(feature = "metrics")]
struct Mounted(std::path::PathBuf);

#[cfg(feature = "metrics")]
impl Mounted {
    /// None where this may not be done.
    fn tmpfs(at: &std::path::Path) -> Option<Mounted> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=200m", "dantok-test"]).arg(at).output();
        let is_mounted = mount.is_ok_and(|output| output.status.success());
        if !is_mounted {
            eprintln!("SKIPPED: no tmpfs can be mounted here");
        }
        is_mounted.then(|| Mounted(at.to_owned()))
    }
}

#[cfg(feature = "metrics")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
#[cfg(feature = "metrics")]
fn a_full_disk_is_reported_until_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let Some(mounted) = Mounted::tmpfs(&data) else { return };
    let watched = Watched::start_in(dir, &[]);
    // Dropped before what it is mounted on.
    let _mounted = mounted;
    let mut alice = watched.daemon.lines("alice");
    alice.ask("JOIN lobby");
    let figures = watched.figures();
    let (free, least) = (figures["dantok_disk_free_bytes"], figures["dantok_disk_free_min_bytes"]);
    assert!(free > least && figures["dantok_store_refuses_writes"] == 0.0, "{figures:#?}");
    let filler = data.join("filler");
    std::fs::write(&filler, vec![1; (free - least) as usize + 4_000_000]).unwrap();
    watched.wait_for("dantok_store_refuses_writes", |refuses| refuses == 1.0);
    assert!(watched.figure("dantok_disk_free_bytes") < least);
    let ready = get(watched.address, "/readyz");
    let why = "the disk is nearly full: writes are refused until there is room\n";
    assert_eq!((ready.status, &*ready.body), (503, why));
    assert_eq!(watched.figure("dantok_ready"), 0.0);
    // It lives, and serves whoever reads.
    assert_eq!(get(watched.address, "/healthz").status, 200);
    assert!(alice.ask("SEND lobby one")[0].starts_with("ERR storage "));
    assert_eq!(watched.figure("dantok_errors_total{code=\"storage\"}"), 1.0);
    std::fs::remove_file(&filler).unwrap();
    watched.wait_for("dantok_ready", |ready| ready == 1.0);
    assert_eq!(get(watched.address, "/readyz").status, 200);
    alice.expect("SEND lobby one", "OK 1");
}
