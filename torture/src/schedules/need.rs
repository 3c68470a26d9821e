//! What schedules need from the machine, found out by trying it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{clock, races};
use crate::disk::{Disk, Mount};

/// What a schedule needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Mounting a FUSE file system.
    Fuse,
    /// Mounting a tmpfs, and creating an ext4 file system.
    Mount,
    /// Stopping single threads of a child process.
    Ptrace,
    /// libfaketime.
    Faketime,
    /// A time namespace with a mount in it.
    Namespaces,
    /// One descriptor per cycle.
    Descriptors,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A program that can be installed.
    Program(&'static str),
    /// A permission that the machine does not grant.
    Permission(String),
}

impl Need {
    /// What is missing for this many cycles.
    pub fn missing(self, cycles: u64) -> Option<Missing> {
        match self {
            Need::Fuse => in_directory(|dir| {
                let mounted = Mount::new(Disk::new(0, 1 << 20), dir, 0);
                let mount = mounted.map_err(|error| format!("/dev/fuse, and root or fusermount3: {error}"))?;
                std::fs::write(mount.path().join("file"), "works")
                    .map_err(|error| format!("a FUSE that works: {error}"))
            }),
            Need::Ptrace => {
                let child = Command::new("sleep").arg("10").stdin(Stdio::null()).spawn();
                let mut child =
                    child.map_err(|error| Missing::Permission(format!("the program sleep: {error}"))).ok()?;
                let stopped = races::Stopped::stop(child.id().cast_signed());
                let missing = stopped.is_none().then(|| Missing::Permission("ptrace of its own children".to_owned()));
                drop(stopped);
                // It is our child and has nothing to lose.
                let _ = child.kill().and_then(|()| child.wait());
                missing
            }
            Need::Mount if !has_program("mkfs.ext4") => Some(Missing::Program("mkfs.ext4 (Debian: e2fsprogs)")),
            Need::Mount => in_directory(|dir| {
                run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "dantok-torture"]).arg(dir))?;
                run(Command::new("umount").arg(dir))
            }),
            Need::Faketime if clock::library().is_none() => Some(Missing::Program("libfaketime (Debian: faketime)")),
            Need::Faketime => None,
            Need::Namespaces => {
                in_directory(|_| run(Command::new("unshare").args(["--time", "--boottime", "1", "--mount", "true"])))
            }
            Need::Descriptors => {
                let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
                let few = most.filter(|most| *most < cycles + 500)?;
                Some(Missing::Permission(format!("{} descriptors (ulimit -Hn says {few})", cycles + 500)))
            }
        }
    }
}

/// Tries an action in a new directory.
fn in_directory(tried: impl FnOnce(&Path) -> Result<(), String>) -> Option<Missing> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string());
    dir.and_then(|dir| tried(dir.path())).err().map(Missing::Permission)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}
