//! Runs the commands of a document in directories of their own, beside a daemon that runs.
//!
//! What stands in the documents is put in its place here: `/var/lib` and `/srv` are in a temporary directory, port 7420 is the
//! daemon's, port 7480 that of its web, what cargo would build first is built already, and systemd and ssh are scripts. In
//! `/var/lib/dantok` is a data directory that no daemon uses; in `./dantok-data` the one that the daemon has.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{self, Daemon, copy_dir, has_tool};

/// The address of the web in the documents.
const WEB: &str = "127.0.0.1:7480";

/// Programs that a block may need and a machine may lack.
const TOOLS: &[&str] = &["curl", "openssl", "python3"];

/// What follows this many words of a line.
pub fn behind_words(line: &str, count: usize) -> &str {
    (0..count)
        .fold(line, |rest, _| rest.trim_start().split_once(char::is_whitespace).unwrap_or_default().1)
        .trim_start()
}

/// A shell for the blocks of one document, in their order.
pub struct Shell {
    daemon: Daemon,
    dir: tempfile::TempDir,
}

impl Shell {
    /// With a room `general` in both data directories.
    pub fn start() -> Shell {
        let flags: &[&str] = if cfg!(feature = "web") { &["--web", "127.0.0.1:0"] } else { &[] };
        let mut daemon = Daemon::start_with(flags);
        let mut alice = daemon.lines("alice");
        alice.ask("JOIN general");
        alice.ask("SEND general Hello, all!");
        drop(alice);
        assert!(daemon.terminate().success());
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["bin", "srv", "var/lib/private", "work"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        copy_dir(&daemon.data_dir(), &root.join("var/lib/private/dantok"));
        daemon.start_again();
        // As DynamicUser= has it.
        symlink("private/dantok", root.join("var/lib/dantok")).unwrap();
        symlink(daemon.data_dir(), root.join("work/dantok-data")).unwrap();
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), root.join("work/examples")).unwrap();
        symlink(common::binary(), root.join("bin/dantok")).unwrap();
        // An answer that is an error is a failure.
        std::fs::write(root.join(".curlrc"), "fail\n").unwrap();
        program(&root.join("bin/systemctl"), "exit 0");
        program(&root.join("bin/ssh"), "exec sh -c \"$2\"");
        Shell { daemon, dir }
    }

    /// Runs a block, which must succeed; not where the machine lacks a tool.
    pub fn run(&mut self, document: &str, script: &str) -> bool {
        let needs_web = script.contains(WEB);
        if TOOLS.iter().any(|tool| script.contains(tool) && !has_tool(tool)) || needs_web && cfg!(not(feature = "web"))
        {
            return false;
        }
        let root = self.dir.path();
        let script = self.in_place(script);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(root.join("bin")).chain(std::env::split_paths(&path))).unwrap();
        // What a document starts and does not end is a failure, and no hang.
        let mut bash = Command::new("timeout");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DANTOK_") || name == "STATE_DIRECTORY") {
            bash.env_remove(name);
        }
        bash.args(["300", "bash", "-euo", "pipefail", "-c", &script]).current_dir(root.join("work")).env("PATH", path);
        let output =
            bash.env("HOME", root).env("XDG_STATE_HOME", root.join("state")).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{document}: {}\n{script}\n{printed}", output.status);
        true
    }

    fn in_place(&self, script: &str) -> String {
        let address = self.daemon.address().to_string();
        let root = self.dir.path().to_str().unwrap();
        let mut script = script.replace("127.0.0.1:7420", &address);
        #[cfg(feature = "web")]
        if let Some(web) = common::web::listening(&self.daemon.log(), "the web") {
            script = script.replace(WEB, &web.to_string());
        }
        for dir in ["/var/lib/", "/srv/"] {
            script = script.replace(dir, &format!("{root}{dir}"));
        }
        script = script.replace("/usr/bin/dantok", "dantok");
        let chat = "dantok-chat ";
        script = script.replace("cargo run --release -p dantok-chat -- ", chat);
        if script.contains(chat) {
            self.own("dantok-chat", common::chat_binary());
        }
        for name in ["client", "replay"] {
            let run = format!("cargo run --release --example {name} --");
            if script.contains(&run) {
                self.own(name, &common::example(name));
                script = script.replace(&run, name);
            }
        }
        script
    }

    /// Puts a client in the path that goes to this daemon.
    fn own(&self, name: &str, built: &Path) {
        let run = format!("exec '{}' --server {} \"$@\"", built.display(), self.daemon.address());
        program(&self.dir.path().join("bin").join(name), &run);
    }
}

fn program(path: &Path, script: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
