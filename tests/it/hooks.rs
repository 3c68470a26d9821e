//! Incoming hooks, on the real daemon: the command that manages them, what is posted to them, and what becomes of it.

mod command;
#[cfg(feature = "web")]
mod formats;
#[cfg(feature = "web")]
mod hostile;
#[cfg(feature = "web")]
mod posting;

use std::path::Path;
use std::process::{Command, Output};

use crate::common::Daemon;

/// `dantok hook` for a data directory.
fn try_hook(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.arg("hook").args(arguments).arg("--data-dir").arg(data_dir).output().unwrap()
}

/// The same for a daemon, where it works; returns what it printed.
fn hook(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = try_hook(&daemon.data_dir(), arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The same where it fails; returns why.
fn refused(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = try_hook(&daemon.data_dir(), arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
