//! Where the web is served: addresses, TLS, sockets that are passed in, and who may be let in.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::common::http::get;
use crate::common::web::{Web, listening};
use crate::common::{Daemon, Lines, connect, has_tool, wait_until};

#[test]
fn without_tokens_it_is_for_this_machine_only() {
    let mut daemon = Daemon::start();
    daemon.kill();
    let (status, printed) = daemon.try_start_with(&["--web", "0.0.0.0:0"]);
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("no tokens"), "{printed}");
    daemon.token(&["issue", "alice"]);
    let printed = daemon.start_other(&["--web", "0.0.0.0:0"]);
    assert!(printed.contains("listening for the web address=0.0.0.0:"), "{printed}");
}

#[test]
fn the_web_alone_is_enough_to_listen_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let child = Command::new(env!("CARGO_BIN_EXE_dantok"))
        .args(["--listen", "none", "--web", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn();
    let mut daemon = Killed(child.unwrap());
    let mut address = None;
    wait_until("it listens", || {
        address = listening(&std::fs::read_to_string(&log).unwrap(), "the web");
        address.is_some()
    });
    // It waits until the store is open.
    assert_eq!(get(address.unwrap(), "/readyz").body, "ready\n");
    assert!(daemon.0.try_wait().unwrap().is_none());
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_socket_may_be_passed_in() {
    if !has_tool("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "import os, socket, sys
for fd in (3, 4):
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    os.dup2(listener.detach(), fd + 10)
for fd in (3, 4):
    os.dup2(fd + 10, fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='dantok-web.socket:plain')
os.execv(sys.argv[1], sys.argv[1:])";
    let child = Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_dantok"), "--data-dir"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut daemon = Killed(child.unwrap());
    let mut ports = BufReader::new(daemon.0.stdout.take().unwrap()).lines();
    let mut address = || SocketAddr::from(([127, 0, 0, 1], ports.next().unwrap().unwrap().parse().unwrap()));
    let (web, plain) = (address(), address());
    assert_eq!(Lines::connect(plain).ask("PING"), ["OK pong"]);
    assert_eq!(get(web, "/readyz").body, "ready\n");
}

#[test]
fn a_request_that_was_received_before_a_stop_is_answered() {
    let mut web = Web::start();
    let mut idle = connect(web.address);
    let mut kept = connect(web.address);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut begun = [0; 12];
    std::io::Read::read_exact(&mut kept, &mut begun).unwrap();
    web.daemon.signal("TERM");
    // Neither a silent connection nor one that is kept alive delays it.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut idle, &mut rest).unwrap();
    assert!(rest.is_empty());
    std::io::Read::read_to_end(&mut kept, &mut rest).unwrap();
    assert_eq!(web.daemon.wait().code(), Some(0));
    assert!(!web.daemon.log().contains("did not read their answers"));
}

/// What HTTPS answers.
#[cfg(feature = "tls")]
#[test]
fn the_same_is_served_over_tls() {
    use std::io::Read;
    use std::sync::Arc;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    let dir = tempfile::tempdir().unwrap();
    let flags = crate::common::serve_tls(dir.path());
    let flags: Vec<&str> = flags.iter().map(|flag| if flag == "--listen-tls" { "--web-tls" } else { flag }).collect();
    let web = Web::start_with(&flags);
    let address = listening(&web.daemon.log(), "the web over TLS").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    let ask = |origin: &str, more: &str| {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(config.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, connect(address));
        let request = format!("{more} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        crate::common::http::answer(&text).status
    };
    assert_eq!(ask("https://localhost", "GET /healthz"), 200);
    // A page that came without TLS is another's.
    assert_eq!(ask("https://localhost", "POST /healthz"), 405);
    assert_eq!(ask("http://localhost", "POST /healthz"), 403);
    // Who speaks plain HTTP there is told so.
    let mut plain = connect(address);
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.ends_with("this port speaks HTTPS only\n"), "{text}");
    // A certificate that is only for the web is wanted as any other.
    let (status, printed) = web.daemon.try_start_with(&["--web-tls", "127.0.0.1:0", "--tls-key", ""]);
    assert_eq!(status.code(), Some(2), "{printed}");
}
