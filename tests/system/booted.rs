//! The units in `systemd/` under a systemd that `systemd/boot` boots in separate namespaces, on this machine's files
//! without changing them. Needs root.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::restarts::under_restarts;
use crate::common::stall::Stall;
use crate::common::{Lines, connect, has_tool, wait_until};

/// How often the daemon is restarted under load, where it is not 50 times: tests/it/restarts.rs does it 200 times each time.
const RESTARTS: &str = "DANTOK_TEST_RESTARTS";
/// Set where systemd was booted for these tests.
const BOOTED: &str = "DANTOK_TEST_BOOTED";
/// What `systemd/boot` exits with where it can't.
const CANNOT: i32 = 77;

/// Runs all that follows in there, one test after the other.
#[test]
fn under_a_booted_systemd() {
    if !["systemd-analyze", "setpriv", "nc", "openssl", "strace"].iter().all(|tool| has_tool(tool)) {
        return;
    }
    let myself = std::env::current_exe().unwrap();
    let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/boot"))
        .arg("--bind")
        .arg(myself.parent().unwrap())
        .arg("--bind")
        .arg(Path::new(env!("CARGO_BIN_EXE_dantok")).parent().unwrap())
        .args(["env", &format!("{BOOTED}=1"), &format!("{RESTARTS}={}", restarts())])
        .arg(&myself)
        .args(["booted::", "--ignored", "--test-threads=1", "--nocapture"])
        .status()
        .unwrap();
    if status.code() == Some(CANNOT) {
        eprintln!("SKIPPED: systemd can't be booted here");
        return;
    }
    assert!(status.success(), "{status}");
}

fn restarts() -> usize {
    std::env::var(RESTARTS).map_or(50, |restarts| restarts.parse().expect(RESTARTS))
}

/// dantok as its units have it, newly installed.
struct Service;

impl Service {
    /// Where its sockets listen.
    const PLAIN: ([u8; 4], u16) = ([127, 0, 0, 1], 7420);

    /// With more lines for the service's unit. `None` if this machine can't run it.
    fn install(more: &str) -> Option<Service> {
        if std::env::var_os(BOOTED).is_none() {
            eprintln!("SKIPPED: this is for under_a_booted_systemd to run");
            return None;
        }
        Service::remove();
        let _ = std::fs::remove_file("/usr/bin/dantok");
        std::fs::copy(env!("CARGO_BIN_EXE_dantok"), "/usr/bin/dantok").unwrap();
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        for unit in
            ["dantok.service", "dantok.socket", "dantok-tls.socket", "dantok-web.socket", "dantok-metrics.socket"]
        {
            std::fs::copy(units.join(unit), Path::new("/etc/systemd/system").join(unit)).unwrap();
        }
        write("/etc/systemd/system/dantok.service.d/more.conf", more);
        systemctl("daemon-reload");
        systemctl("enable --now dantok.socket");
        Some(Service)
    }

    fn remove() {
        let _ = run(
            "systemctl stop dantok.socket dantok-tls.socket dantok-web.socket dantok-metrics.socket dantok.service",
        );
        let _ = run("systemctl disable dantok-tls.socket dantok-web.socket dantok-metrics.socket");
        let _ = run("systemctl reset-failed");
        for left in [
            "/etc/systemd/system/dantok.service.d",
            "/etc/systemd/system/dantok.socket.d",
            "/etc/credstore",
            "/etc/dantok",
            "/etc/default/dantok",
            "/var/lib/private/dantok",
        ] {
            let _ = std::fs::remove_dir_all(left).or_else(|_| std::fs::remove_file(left));
        }
    }

    fn lines(&self, client: &str) -> Lines {
        let mut lines = Lines::connect(Service::PLAIN.into());
        let reply = lines.ask(&format!("HELLO {client}"));
        assert!(reply[0].starts_with("OK "), "{reply:?}");
        lines
    }

    fn pid(&self) -> u32 {
        show("MainPID").parse().unwrap()
    }

    /// Waits for another daemon than that one, which answers.
    fn wait_for_another(&self, pid: u32) {
        wait_until("another daemon starts", || ![0, pid].contains(&self.pid()));
        assert_eq!(Lines::connect(Service::PLAIN.into()).ask("PING"), ["OK pong"]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", run("journalctl --no-pager --lines=100 --unit=dantok* --unit=init.scope").1);
        }
        Service::remove();
    }
}

/// Whether it succeeds, and what it says.
fn run(command: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn systemctl(what: &str) {
    let (has_worked, printed) = run(&format!("systemctl {what}"));
    assert!(has_worked, "systemctl {what}: {printed}");
}

/// A property of the service.
fn show(property: &str) -> String {
    run(&format!("systemctl show --property={property} --value dantok.service")).1.trim_end().to_owned()
}

/// Makes a file, and the directories that it is in.
fn write(path: &str, text: &str) {
    std::fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn a_connection_activates_a_sandboxed_daemon() {
    let Some(service) = Service::install("") else { return };
    assert_eq!(show("ActiveState"), "inactive");
    let (_, printed) = run(r"printf 'HELLO alice\nJOIN lobby\nSEND lobby hello\nFETCH lobby\n' | nc -N 127.0.0.1 7420");
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed[1..3], ["OK cursor=0 last=0 created number=1", "OK 1"], "{printed:?}");
    assert!(printed[3].starts_with("MSG lobby 1 ") && printed[4] == "END lobby 1 1 1", "{printed:?}");
    // Type=notify: it is not active before READY.
    wait_until("the daemon is ready", || show("ActiveState") == "active");
    let pid = service.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.lines().any(|of| of == line), "{line} is not in:\n{status}");
    }
    assert!(!status.contains("Uid:\t0\t"), "{status}");
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(network(&pid.to_string()), network("1"));
    let (is_below, printed) = run("systemd-analyze security --no-pager --threshold=10 dantok.service");
    assert!(is_below, "{printed}");
    let (_, printed) = run("stat --dereference --format=%a:%u /var/lib/dantok");
    assert!(printed.starts_with("700:") && printed != "700:0\n", "{printed}");
    systemctl("stop dantok.socket dantok.service");
    let (is_intact, printed) = run("dantok check --data-dir /var/lib/dantok --scratch /tmp");
    assert!(is_intact, "{printed}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn restarts_under_load_refuse_nobody_and_lose_nothing() {
    let quick = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=50ms\n";
    let Some(service) = Service::install(quick) else { return };
    let restarts = restarts();
    let figures = under_restarts(SocketAddr::from(Service::PLAIN), restarts, |n| {
        if n % 2 == 0 {
            systemctl("restart dantok.service");
        } else {
            let pid = service.pid();
            systemctl("kill --signal=KILL dantok.service");
            wait_until("another daemon starts", || ![0, pid].contains(&service.pid()));
        }
    });
    eprintln!("{restarts} restarts: {figures}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn the_watchdog_ends_a_daemon_that_hangs() {
    let Some(service) = Service::install("[Service]\nWatchdogSec=2s\nTimeoutStopSec=2s\nRestartSec=50ms\n") else {
        return;
    };
    let mut lines = service.lines("alice");
    lines.ask("JOIN lobby");
    lines.expect("SEND lobby before", "OK 1");
    // All of it.
    let pid = service.pid();
    systemctl("kill --signal=STOP dantok.service");
    service.wait_for_another(pid);
    // Or only what waits for the disk, while the rest goes on. A stall holds up a SIGKILL, too, as a disk does.
    let pid = service.pid();
    let stall = Stall::of(pid);
    let log = || run("journalctl --no-pager --unit=dantok.service --boot").1;
    wait_until("the watchdog ends it", || log().matches("Watchdog timeout").count() == 2);
    // As long as it is there no other one gets the data directory; they try again.
    drop(stall);
    wait_until("another daemon is ready", || service.pid() != pid && show("ActiveState") == "active");
    let log = log();
    assert!(log.contains("no commit has completed"), "{log}");
    let mut lines = service.lines("alice");
    assert!(lines.ask("FETCH lobby after=0")[0].ends_with(" alice before"));
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn a_daemon_with_nothing_to_do_satisfies_the_watchdog() {
    let Some(service) = Service::install("[Service]\nWatchdogSec=1s\n") else { return };
    service.lines("alice");
    let pid = service.pid();
    let told = || show("WatchdogTimestampMonotonic").parse::<u64>().unwrap();
    let first = told();
    wait_until("it is told for three times as long as it may be silent", || told() > first + 3_000_000);
    assert_eq!((service.pid(), show("NRestarts").as_str()), (pid, "0"));
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn a_reload_reads_the_configuration_again_and_keeps_connections() {
    let Some(service) = Service::install("") else { return };
    write("/etc/default/dantok", "DANTOK_CONFIG=/etc/dantok/dantok.toml\n");
    write("/etc/dantok/dantok.toml", "max-body = 1000\n");
    let mut before = service.lines("alice");
    let pid = service.pid();
    write("/etc/dantok/dantok.toml", "max-body = 2000\n");
    systemctl("reload dantok.service");
    assert_eq!(show("ActiveState"), "active");
    let after = Lines::connect(Service::PLAIN.into()).ask("HELLO alice");
    assert!(after[0].contains(" max-body=2000 "), "{after:?}");
    before.expect("PING", "OK pong");
    assert_eq!(service.pid(), pid);
    let (_, log) = run(&format!("journalctl --no-pager --boot _PID={pid}"));
    assert!(log.contains("max-body is now 2000") && !log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn an_invalid_configuration_is_not_retried() {
    let Some(service) = Service::install("[Service]\nRestartSec=50ms\n") else { return };
    service.lines("alice");
    write("/etc/default/dantok", "DANTOK_MAX_BODY=much\n");
    assert!(!run("systemctl restart dantok.service").0);
    assert_eq!((show("ExecMainStatus").as_str(), show("SubState").as_str()), ("2", "failed"));
    assert_eq!(show("NRestarts"), "0");
    // Somebody who connects has it started, and waits: that must not go on for ever either.
    let waiting = connect(Service::PLAIN.into());
    let result = || run("systemctl show --property=Result --value dantok.socket").1;
    wait_until("systemd gives up", || result() == "service-start-limit-hit\n");
    drop(waiting);
    std::fs::remove_file("/etc/default/dantok").unwrap();
    systemctl("reset-failed dantok.socket dantok.service");
    systemctl("start dantok.socket");
    service.lines("alice");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn a_store_that_does_not_open_is_retried() {
    let Some(service) = Service::install("[Service]\nRestartSec=50ms\n[Unit]\nStartLimitIntervalSec=0\n") else {
        return;
    };
    service.lines("alice");
    systemctl("stop dantok.service");
    // Somebody else has it, for a while.
    let lock = std::fs::File::options().write(true).open("/var/lib/private/dantok/dantok.lock").unwrap();
    lock.try_lock().unwrap();
    assert!(!run("systemctl start dantok.service").0);
    wait_until("it is tried again", || show("NRestarts").parse::<u32>().unwrap() >= 3);
    let (_, log) = run("journalctl --no-pager --unit=dantok.service --boot");
    assert!(log.contains("status=1/FAILURE"), "{log}");
    drop(lock);
    service.lines("alice");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn tokens_and_certificates_come_as_credentials() {
    let Some(service) = Service::install("") else { return };
    service.lines("alice");
    write("/etc/credstore/dantok.tokens.toml", "");
    std::fs::remove_file("/etc/credstore/dantok.tokens.toml").unwrap();
    let (_, issued) = run("dantok token --tokens /etc/credstore/dantok.tokens.toml issue alice 2>/dev/null");
    let token = issued.trim_end();
    let made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout /etc/credstore/dantok.tls-key.pem -out /etc/credstore/dantok.tls-cert.pem";
    assert!(run(made).0);
    systemctl("enable dantok-tls.socket");
    // A daemon that runs already gets the socket with its successor.
    systemctl("restart dantok.service");
    let mut lines = Lines::connect(Service::PLAIN.into());
    assert!(lines.ask("HELLO alice")[0].starts_with("ERR denied"));
    let session = format!(
        "printf 'HELLO alice {token}\\nPING\\nQUIT\\n' | openssl s_client -quiet -verify_return_error \
         -CAfile /etc/credstore/dantok.tls-cert.pem -servername localhost -connect 127.0.0.1:7421 2>/dev/null"
    );
    let (_, printed) = run(&session);
    assert!(printed.contains(" client=alice ") && printed.contains("OK pong"), "{printed}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn root_issues_tokens_and_makes_backups_while_it_runs() {
    let Some(service) = Service::install("") else { return };
    let mut lines = service.lines("alice");
    lines.ask("JOIN lobby");
    lines.expect("SEND lobby kept", "OK 1");
    let (has_worked, printed) = run("dantok backup --data-dir /var/lib/dantok /var/tmp/backup");
    assert!(has_worked, "{printed}");
    let (has_worked, token) = run("dantok token --data-dir /var/lib/dantok issue alice 2>/dev/null");
    assert!(has_worked, "{token}");
    let hello = |hello: &str| Lines::connect(Service::PLAIN.into()).ask(hello).remove(0);
    wait_until("the token is asked for", || hello("HELLO alice").starts_with("ERR denied"));
    assert!(hello(format!("HELLO alice {token}").trim_end()).starts_with("OK "));
    systemctl("restart dantok.service");
    assert!(hello("HELLO alice").starts_with("ERR denied"));
    // Back to where there was no token yet: as root, who owns then what the service is to have.
    systemctl("stop dantok.socket dantok.service");
    std::fs::remove_dir_all("/var/lib/private/dantok").unwrap();
    let (has_worked, printed) = run("dantok restore /var/tmp/backup --data-dir /var/lib/private/dantok");
    assert!(has_worked, "{printed}");
    systemctl("start dantok.socket dantok.service");
    let fetched = service.lines("alice").ask("FETCH lobby after=0");
    assert!(fetched[0].ends_with(" alice kept"), "{fetched:?}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn metrics_have_a_separate_socket() {
    let Some(service) = Service::install("") else { return };
    service.lines("alice");
    systemctl("enable dantok-metrics.socket");
    systemctl("restart dantok.service");
    let (_, printed) = run(r"printf 'GET /readyz HTTP/1.0\r\n\r\n' | nc -N 127.0.0.1 9420");
    assert!(printed.contains(" 200 ") && printed.ends_with("ready\n"), "{printed}");
    let (_, printed) = run(r"printf 'GET /metrics HTTP/1.0\r\n\r\n' | nc -N 127.0.0.1 9420");
    assert!(printed.contains("\ndantok_"), "{printed}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn the_web_has_a_separate_socket() {
    let Some(service) = Service::install("") else { return };
    service.lines("alice");
    systemctl("enable dantok-web.socket");
    systemctl("restart dantok.service");
    let (_, said) =
        run(r"printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' | nc -N 127.0.0.1 7480");
    assert!(said.contains(" 200 ") && said.ends_with("ready\n"), "{said}");
}

#[test]
#[ignore = "under_a_booted_systemd runs it"]
fn the_socket_can_be_moved() {
    let Some(_service) = Service::install("") else { return };
    write(
        "/etc/systemd/system/dantok.socket.d/override.conf",
        "[Socket]\nListenStream=\nListenStream=127.0.0.2:7500\n",
    );
    systemctl("daemon-reload");
    systemctl("restart dantok.socket");
    assert_eq!(Lines::connect(([127, 0, 0, 2], 7500).into()).ask("PING"), ["OK pong"]);
    assert!(std::net::TcpStream::connect(SocketAddr::from(Service::PLAIN)).is_err());
}
