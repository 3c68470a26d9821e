//! A disk that hangs.

use std::process::{Child, Command, Stdio};

/// Holds up each fdatasync of a process, by strace, until it is dropped.
pub struct Stall(Child);

impl Stall {
    /// Of this process, soon.
    pub fn of(pid: u32) -> Stall {
        let minutes = "inject=fdatasync:delay_enter=600000000";
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", minutes, "-p", &pid.to_string()]);
        Stall(strace.stderr(Stdio::null()).spawn().unwrap())
    }

    /// Fails if strace is not permitted, or there is no such process.
    pub fn check(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "strace can't attach, or the process has ended");
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
