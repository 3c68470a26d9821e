//! `dantok hook`, and what nobody may call themselves because of hooks.

use std::os::unix::fs::PermissionsExt;

use super::{hook, refused, try_hook};
use crate::common::{Daemon, Lines};

#[test]
fn hooks_are_added_listed_and_removed_with_and_without_a_daemon() {
    let mut daemon = Daemon::start();
    daemon.lines("alice").expect("CREATE general", "OK");
    let file = daemon.data_dir().join("hooks.toml");
    assert_eq!(hook(&daemon, &["list"]), "");
    assert!(!file.exists());
    let path = hook(&daemon, &["add", "general", "--name", "ci"]);
    let secret = path.strip_prefix("/hook/").unwrap();
    assert!(secret.len() == 40 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(secret) && text.contains("name = \"ci\""), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.kill();
    let output = try_hook(&daemon.data_dir(), &["add", "cafe\u{301}", "--name", "빌드", "--web-path", "/chat"]);
    let (path, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(path.starts_with("/chat/hook/") && told.contains("no room café yet"), "{path}{told}");
    let list = hook(&daemon, &["list"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split("  ").collect()).collect();
    assert_eq!([&rows[0][..3], &rows[1][..3]], [["ci", "general", "number 1"], ["빌드", "café", "number none"]]);
    assert_eq!(hook(&daemon, &["remove", "ci"]), "ci for general is removed");
    assert!(refused(&daemon, &["remove", "ci"]).contains("there is no hook ci"));
    assert_eq!(hook(&daemon, &["list"]).lines().count(), 1);
}

#[test]
fn a_hook_has_a_name_of_its_own_that_is_one() {
    let daemon = Daemon::start();
    hook(&daemon, &["add", "general", "--name", "ci"]);
    for (arguments, why) in [
        (&["add", "general", "--name", "ci"][..], "there is a hook ci already, for the room general"),
        (&["add", "general", "--name", ""], "is missing"),
        (&["add", "general", "--name", "a/b"], "may not contain '/'"),
        (&["add", "general", "--name", "a b"], "white space"),
        (&["add", "general", "--name", "\u{430}dmin"], "letters of scripts that look alike"),
        (&["add", "a b", "--name", "other"], "white space"),
        (&["add", "\u{430}dmin", "--name", "other"], "letters of scripts that look alike"),
        (&["add", "general", "--name", "gh", "--github-secret-file", "/nonexistent"], "No such file"),
        (&["add", "general", "--name", "gh", "--github-secret-file", "/dev/null"], "a secret has 1 to"),
        (&["remove", "other"], "there is no hook other"),
    ] {
        let told = refused(&daemon, arguments);
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
    assert_eq!(hook(&daemon, &["list"]).lines().count(), 1);
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["add", "general", "--name", "ci"][..], &["list"], &["remove", "ci"]] {
        let output = try_hook(dir.path(), arguments);
        assert!(!output.status.success(), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn nobody_takes_the_name_of_hooks() {
    let daemon = Daemon::start();
    let mut lines = Lines::connect(daemon.address());
    for name in ["hook", "hook/ci", "Hook", "HOOK/ci"] {
        let refusal = "ERR bad-argument messages of incoming hooks are signed with this name; choose another";
        lines.expect(&format!("HELLO {name}"), refusal);
        let output = daemon.try_token(&["issue", name]);
        assert!(String::from_utf8(output.stderr).unwrap().contains("incoming hooks"), "{name}");
    }
    assert!(lines.ask("HELLO captain-hook")[0].starts_with("OK "));
}

#[test]
fn a_malformed_file_keeps_the_daemon_from_starting_and_says_where() {
    let mut daemon = Daemon::start();
    daemon.kill();
    std::fs::write(daemon.data_dir().join("hooks.toml"), "[[hook]]\nname = 5\n").unwrap();
    let (status, printed) = daemon.try_start();
    assert!(status.code() == Some(2) && printed.contains("hooks.toml, line 2: "), "{printed}");
    let (status, printed) = daemon.try_start_with(&["-t"]);
    assert!(status.code() == Some(2) && printed.contains("hooks.toml, line 2: "), "{printed}");
    assert!(refused(&daemon, &["list"]).contains("hooks.toml, line 2: "));
}
