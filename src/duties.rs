//! Tasks and threads that run beside the connections for as long as the daemon, and what follows if one panics.

use dantok_supervise::Duty;

/// Drops messages that are past retention.
pub const RETENTION: Duty = Duty::restarted("retention");
/// Does the store's upkeep between commits.
pub const TEND: Duty = Duty::restarted("tending");
/// Reads the tokens file again when it has changed.
pub const TOKENS: Duty = Duty::restarted("tokens");
/// Serves dantok's own commands on the control socket.
pub const CONTROL: Duty = Duty::restarted("control");
/// Serves metrics and health checks over HTTP.
pub const METRICS: Duty = Duty::restarted("metrics");
/// Reads the configuration again at each SIGHUP.
pub const RELOAD: Duty = Duty::restarted("reload");
/// Warns of certificates that are about to expire.
pub const CERTIFICATES: Duty = Duty::restarted("certificates");
/// Tells the service manager's watchdog that the daemon is alive.
pub const WATCHDOG: Duty = Duty::restarted("watchdog");
/// Tells the service manager that the daemon is stopping.
pub const END: Duty = Duty::restarted("end");
/// Accepts connections, and waits for the signal to stop.
pub const LISTENERS: Duty = Duty::vital("listeners");
/// Makes all commits.
pub const COMMITTER: Duty = Duty::vital("committer");

/// All of them.
pub const DUTIES: [&Duty; 13] = [
    &RETENTION,
    &TEND,
    &TOKENS,
    &CONTROL,
    &METRICS,
    &RELOAD,
    &CERTIFICATES,
    &WATCHDOG,
    &END,
    &LISTENERS,
    &COMMITTER,
    &dantok_store::MOVER,
    &dantok_store::JOURNAL,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duty_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = DUTIES.iter().map(|duty| duty.name).collect();
        assert_eq!(names.len(), DUTIES.len());
    }
}
