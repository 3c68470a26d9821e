//! SIGTERM: how long the daemon waits for clients that have not read their answers.

use std::io::Read;

use crate::common::{Daemon, Lines, wait_until};

/// A daemon of which somebody has asked for more than the sockets hold, and takes none of it.
fn with_somebody_stuck(drain_timeout: &str) -> (Daemon, Lines, usize) {
    let daemon = Daemon::start_with(&["--drain-timeout", drain_timeout]);
    let mut lines = daemon.lines("a");
    lines.ask("JOIN r");
    let body = "x".repeat(60_000);
    for seq in 1..=20 {
        lines.expect(&format!("SEND r {body}"), &format!("OK {seq}"));
    }
    let fetches = 50;
    lines.send_bytes("FETCH r\n".repeat(fetches).as_bytes());
    (daemon, lines, fetches)
}

#[test]
fn a_client_that_reads_its_answers_late_gets_them_all() {
    let (mut daemon, mut lines, fetches) = with_somebody_stuck("1h");
    daemon.signal("TERM");
    wait_until("it stops", || daemon.log().contains("stopping connections=1"));
    assert!(daemon.is_running());
    for _ in 0..fetches {
        assert_eq!(lines.answer().pop().unwrap(), "END r 20 1 20");
    }
    assert_eq!(lines.rest(), "");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.log().contains("did not read their answers"));
}

#[test]
fn a_client_that_reads_nothing_delays_the_stop_by_no_more_than_the_timeout() {
    let (mut daemon, mut lines, fetches) = with_somebody_stuck("300ms");
    // Whoever has nothing to take is done at once.
    let mut idle = daemon.lines("b");
    daemon.signal("TERM");
    assert_eq!(idle.rest(), "");
    drop(idle);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.log().contains("closing connections that did not read their answers in time"));
    let mut rest = Vec::new();
    // The end of it may be a reset.
    let _ = lines.stream().read_to_end(&mut rest);
    let ends = String::from_utf8_lossy(&rest).matches("END r").count();
    assert!(ends < fetches, "the sockets hold {ends} of {fetches} answers: nobody was stuck");
}
