//! Damaged, truncated and killed backups, and directories that must not be restored into, with the real daemon and
//! commands.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::backups::{dantok, fail, files, flip, furnished, printed, run, seen, text};
use crate::common::{Daemon, has_tool, wait_until};

#[test]
fn a_damaged_backup_is_refused_by_name() {
    let daemon = furnished();
    let dir = tempfile::tempdir().unwrap();
    run(&daemon.data_dir(), &["backup", text(dir.path())]);
    let file = files(dir.path()).remove(0);
    let length = std::fs::metadata(&file).unwrap().len();
    let data = dir.path().join("data");
    for at in (0..length).step_by(37) {
        flip(&file, at);
        let told = fail(&data, &["restore", text(&file)]);
        assert!(told.contains(&format!("{}: not a valid backup: ", text(&file))), "byte {at}: {told}");
        flip(&file, at);
    }
    let whole = std::fs::read(&file).unwrap();
    for length in [0, 7, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        let told = fail(&data, &["restore", text(&file)]);
        assert!(told.contains(text(&file)) && told.contains("cut short"), "{told}");
        let told = fail(&data, &["restore", "--dry-run", text(dir.path())]);
        assert!(told.contains(text(&file)), "{told}");
    }
    assert!(!data.exists());
    std::fs::write(&file, &whole).unwrap();
    let told = run(&data, &["restore", "--dry-run", text(&file)]);
    assert!(told.contains("is valid") && !data.exists(), "{told}");
}

#[test]
fn a_restore_leaves_a_directory_that_is_not_empty_alone() {
    let daemon = furnished();
    let dir = tempfile::tempdir().unwrap();
    run(&daemon.data_dir(), &["backup", text(dir.path())]);
    let told = fail(&daemon.data_dir(), &["restore", text(dir.path())]);
    assert!(told.contains("not empty"), "{told}");
    daemon.lines("alice").expect("PING", "OK pong");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("notes"), "mine").unwrap();
    let told = fail(&data, &["restore", text(dir.path())]);
    assert!(told.contains("not empty: notes is in it"), "{told}");
    assert_eq!(files(&data), [data.join("notes")]);
    // An empty one will do.
    std::fs::remove_file(data.join("notes")).unwrap();
    run(&data, &["restore", text(dir.path())]);
}

#[test]
fn what_a_killed_restore_leaves_is_not_a_store() {
    let daemon = furnished();
    let (dir, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&daemon.data_dir(), &["backup", text(dir.path())]);
    let data = place.path().join("data");
    // The kill came when it was half put in its place.
    run(&data, &["restore", text(dir.path())]);
    std::fs::create_dir(data.join("restoring")).unwrap();
    std::fs::rename(data.join("sled"), data.join("restoring/sled")).unwrap();
    for args in [&["--listen", "127.0.0.1:0"][..], &["check"], &["backup", text(dir.path())]] {
        let told = fail(&data, args);
        assert!(told.contains("a restore into this directory was interrupted"), "{args:?}: {told}");
    }
    run(&data, &["restore", text(dir.path())]);
    let mut copy = Daemon::start_in(place, &[]);
    assert_eq!(seen(&copy), seen(&daemon));
    // Nothing of a store that a daemon has had is ever cleared away.
    assert!(copy.terminate().success());
    std::fs::create_dir(data.join("restoring")).unwrap();
    assert!(fail(&data, &["restore", text(dir.path())]).contains("not empty"));
    std::fs::remove_dir(data.join("restoring")).unwrap();
    assert!(run(&data, &["check"]).contains("is intact"));
}

#[test]
fn an_unfinished_backup_leaves_nothing_that_looks_complete() {
    let mut daemon = Daemon::start();
    let mut filler = daemon.lines("filler");
    filler.ask("JOIN lobby");
    // What does not compress well.
    let mut noise = 1u64;
    for _ in 0..300 {
        let body: String = (0..8000)
            .map(|_| {
                noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                char::from(b'!' + (noise >> 33) as u8 % 90)
            })
            .collect();
        assert!(filler.ask(&format!("SEND lobby {body}"))[0].starts_with("OK "));
    }
    let dir = tempfile::tempdir().unwrap();
    // No more than 64 KiB may be written, which is as good as a full disk.
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" backup \"$1\" --data-dir \"$2\"";
    let output = Command::new("bash")
        .args(["-c", limited, env!("CARGO_BIN_EXE_dantok"), text(dir.path()), text(&daemon.data_dir())])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(
        printed(&output).contains("can't write the backup") && printed(&output).contains(text(dir.path())),
        "{}",
        printed(&output)
    );
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    // A kill, at whatever moment.
    let mut killed = 0;
    for _ in 0..50 {
        let mut child =
            dantok(&daemon.data_dir(), &["backup", text(dir.path())]).stdout(Stdio::null()).spawn().unwrap();
        let partial = || files(dir.path()).iter().any(|file| text(file).ends_with(".partial"));
        wait_until("it writes", || partial() || child.try_wait().unwrap().is_some());
        let _ = child.kill();
        let is_done = child.wait().unwrap().success();
        let whole: Vec<PathBuf> =
            files(dir.path()).into_iter().filter(|file| text(file).ends_with(".backup")).collect();
        if partial() {
            killed += 1;
            assert!(whole.is_empty() && !is_done, "{whole:?}");
        }
        whole.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        if killed == 3 {
            break;
        }
    }
    assert_eq!(killed, 3, "no kill came in time");
    // The next one clears away what is left.
    run(&daemon.data_dir(), &["backup", text(dir.path())]);
    let left = files(dir.path());
    assert!(left.len() == 1 && text(&left[0]).ends_with("-full.backup"), "{left:?}");
    // The daemon is killed, at whatever moment.
    for _ in 0..50 {
        clear(dir.path());
        let child = dantok(&daemon.data_dir(), &["backup", text(dir.path())]).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it writes", || !files(dir.path()).is_empty());
        daemon.kill();
        let output = child.wait_with_output().unwrap();
        daemon.start_again();
        if !output.status.success() {
            assert!(printed(&output).contains("control.sock"), "{}", printed(&output));
            assert!(files(dir.path()).is_empty(), "{:?}", files(dir.path()));
            return;
        }
        run(&daemon.data_dir(), &["restore", "--dry-run", text(dir.path())]);
    }
    panic!("no kill came in time");
}

/// Removes what is in a directory.
fn clear(dir: &Path) {
    files(dir).iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[test]
fn the_control_socket_is_private_and_works_with_a_long_path() {
    let place = tempfile::tempdir().unwrap();
    let deep = place.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let dir = tempfile::tempdir_in(&deep).unwrap();
    let mut daemon = Daemon::start_in(dir, &[]);
    let socket = daemon.data_dir().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.lines("alice").ask("JOIN lobby");
    let backups = tempfile::tempdir().unwrap();
    let told = run(&daemon.data_dir(), &["backup", text(backups.path())]);
    assert!(told.contains("rooms: 1"), "{told}");
    // What a kill has left is replaced.
    daemon.start_again();
    assert!(run(&daemon.data_dir(), &["backup", text(backups.path())]).contains("rooms: 1"));
    // A daemon that can't be reached is not taken for one that does not run.
    std::fs::remove_file(&socket).unwrap();
    let told = fail(&daemon.data_dir(), &["backup", text(backups.path())]);
    assert!(told.contains("does not listen on control.sock"), "{told}");
    assert!(daemon.terminate().success());
    assert!(fail(&daemon.data_dir().join("nothing"), &["backup", text(backups.path())]).contains("FORMAT"));
}

#[test]
fn stopping_the_daemon_makes_a_running_backup_fail() {
    let mut daemon = furnished();
    let dir = tempfile::tempdir().unwrap();
    // It is at the control socket, and asks for nothing.
    let idle = UnixStream::connect(daemon.data_dir().join("control.sock")).unwrap();
    assert!(daemon.terminate().success(), "whoever waits there does not hold it up");
    drop(idle);
    assert!(run(&daemon.data_dir(), &["backup", text(dir.path())]).contains("rooms: 2"));
}

#[test]
fn a_backup_is_never_written_to_a_terminal() {
    if !has_tool("script") {
        return;
    }
    let daemon = furnished();
    let backup = format!("{} backup - --data-dir {}", env!("CARGO_BIN_EXE_dantok"), text(&daemon.data_dir()));
    let output = Command::new("script").args(["-qec", &backup, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("written to a terminal"), "{}", printed(&output));
}

#[test]
fn a_daemon_of_another_version_is_reported() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let hello = br#"{"control":999,"dantok":"9.9.9","epoch":"0"}"#;
        stream.write_all(&[&[b'H'][..], &(hello.len() as u32).to_le_bytes(), hello].concat()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let backups = dir.path().join("backups");
    let told = fail(dir.path(), &["backup", text(&backups)]);
    assert!(told.contains("the daemon is dantok 9.9.9 (control protocol 999)"), "{told}");
    other.join().unwrap();
    assert!(fail(dir.path(), &["backup", text(dir.path())]).contains("this is the data directory"));
}

#[test]
fn one_command_beyond_the_limit_of_concurrent_ones_is_refused() {
    let daemon = furnished();
    let data = daemon.data_dir();
    let busy: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(data.join("control.sock")).unwrap();
            // It is served.
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let told = fail(&data, &["export", "lobby"]);
    assert!(told.contains("8 commands"), "{told}");
    drop(busy);
    wait_until("there is room again", || dantok(&data, &["export", "lobby"]).output().unwrap().status.success());
}
