//! TLS: both framings inside it, certificates, and everything that a plain connection can do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::common::{DEADLINE, Daemon, Frames, Lines, chat_binary, connect, has_tool, wait_until};
use dantok_client::{Client, Error, Options, Tls};
use dantok_protocol::{Command as Request, ErrorCode, Item, Reply, commands};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Who signs certificates.
struct Ca(Issuer<'static, KeyPair>);

impl Ca {
    /// Writes its certificate to a file.
    fn new(path: &Path) -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, path.display().to_string());
        std::fs::write(path, params.self_signed(&key).unwrap().pem()).unwrap();
        Ca(Issuer::new(params, key))
    }

    /// A new certificate for this machine and its key, written to two files.
    fn sign(&self, cert: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(cert, params.signed_by(&pair, &self.0).unwrap().pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }
}

/// A directory with `ca.pem`, and `cert.pem` and `key.pem` of the daemon, signed by it.
struct Files {
    dir: tempfile::TempDir,
    ca: Ca,
}

impl Files {
    fn new() -> Files {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::new(&dir.path().join("ca.pem"));
        ca.sign(&dir.path().join("cert.pem"), &dir.path().join("key.pem"));
        Files { dir, ca }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn daemon(&self, more: &[&str]) -> Daemon {
        let (cert, key) = (self.text("cert.pem"), self.text("key.pem"));
        let flags = ["--listen-tls", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key, "--log", "debug"];
        Daemon::start_with(&[&flags, more].concat())
    }

    /// A connection; `identity` is what the files of the client's certificate are called.
    fn open(&self, daemon: &Daemon, identity: Option<&str>, version: &'static SupportedProtocolVersion) -> Stream {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(name) => {
                let cert = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}-key.pem"))).unwrap();
                config.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(address(daemon)))
    }

    fn connect(&self, daemon: &Daemon) -> Lines<Stream> {
        Lines::over(self.open(daemon, None, &TLS13))
    }

    /// One that has said HELLO.
    fn lines(&self, daemon: &Daemon, client: &str) -> Lines<Stream> {
        let mut lines = self.connect(daemon);
        assert!(lines.ask(&format!("HELLO {client}"))[0].starts_with("OK "));
        lines
    }

    fn options(&self, daemon: &Daemon, client: &str) -> Options {
        let tls = Some(Tls::new(self.path("ca.pem")));
        // Retries for ever, so an immediate error is not the one at the end of the retries.
        Options { tls, ..Options::new(address(daemon).to_string(), client) }
    }
}

/// Where a daemon listens for TLS.
fn address(daemon: &Daemon) -> SocketAddr {
    let log = daemon.log();
    let line = log.lines().rev().find(|line| line.contains("listening for TLS address=")).unwrap();
    line.rsplit_once("address=").unwrap().1.parse().unwrap()
}

/// The certificate that a daemon showed.
fn shown(lines: &mut Lines<Stream>) -> CertificateDer<'static> {
    lines.expect("PING", "OK pong");
    lines.stream().conn.peer_certificates().unwrap()[0].clone()
}

async fn refused(options: Options) -> Error {
    tokio::time::timeout(DEADLINE, Client::connect(options)).await.unwrap().unwrap_err()
}

#[test]
fn both_framings_are_spoken_inside_tls() {
    let files = Files::new();
    let daemon = files.daemon(&[]);
    // Longer than what TLS puts into one of its records.
    let long = "안녕 ".repeat(7000) + "끝";
    for (version, first) in [(&TLS12, 0), (&TLS13, 42)] {
        let mut lines = Lines::over(files.open(&daemon, None, version));
        lines.ask("HELLO alice");
        lines.ask("JOIN lobby");
        for n in 1..=40 {
            lines.expect(&format!("SEND lobby {long}"), &format!("OK {}", first + n));
        }
        let fetched = lines.ask(&format!("FETCH lobby after={first}"));
        assert_eq!(fetched.len(), 41);
        assert!(fetched[..40].iter().all(|line| line.ends_with(&long)));

        let mut frames = Frames::over(files.open(&daemon, None, version));
        frames.ask(Request::Hello(commands::Hello { version: 1, client: "bob".to_owned(), token: None, epoch: None }));
        frames.ask(Request::join("lobby"));
        frames.ask(Request::Ack(commands::Ack { room: "lobby".to_owned(), seq: Some(first + 40) }));
        frames.ask(Request::Follow(commands::Follow { room: "lobby".to_owned(), after: None }));
        for n in [41, 42] {
            lines.expect("SEND lobby to bob", &format!("OK {}", first + n));
            let Item::Message(message) = frames.push() else { panic!("no message") };
            assert_eq!((message.seq, &*message.body), (first + n, &b"to bob"[..]));
        }
        assert!(matches!(frames.ask(Request::Quit).1, Reply::Bye));
        assert!(frames.frame().is_none());
        lines.send("QUIT");
        // An end that TLS did not announce would be an error here.
        assert_eq!(lines.rest(), "OK bye\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_pipelines_and_follows() {
    const MESSAGES: usize = 3000;
    let files = Files::new();
    let daemon = files.daemon(&[]);
    let client = Client::connect(files.options(&daemon, "alice")).await.unwrap();
    client.join("lobby").await.unwrap();
    let mut follow = client.follow("lobby");
    let body = "x".repeat(1000);
    let sending = async {
        let mut receipts = Vec::new();
        for n in 0..MESSAGES {
            receipts.push(client.queue("lobby", format!("{n} {body}")).await.unwrap());
        }
        for (n, receipt) in receipts.into_iter().enumerate() {
            assert_eq!(receipt.await.unwrap().seq, n as u64 + 1);
        }
    };
    let following = async {
        for n in 0..MESSAGES {
            let Some(Ok(Item::Message(message))) = follow.next().await else { panic!("no message") };
            assert_eq!(message.body, format!("{n} {body}"));
        }
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(sending, following) }).await.unwrap();
}

/// A port from which bytes are carried to an address and back, a few at a time.
fn narrow(to: SocketAddr) -> SocketAddr {
    let socket = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        // Options set before connecting also apply to the connections that a listener accepts.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket
    };
    let listener = socket(to);
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    std::thread::spawn(move || {
        let (client, daemon) = (listener.accept().unwrap().0, socket(to));
        daemon.connect(&to.into()).unwrap();
        let carry = |mut from: Socket, mut to: Socket| std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        carry(client.try_clone().unwrap(), daemon.try_clone().unwrap());
        carry(daemon, client);
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_buffered_in_front_of_a_full_socket() {
    let files = Files::new();
    let daemon = files.daemon(&["--max-body", "1MiB"]);
    let address = narrow(address(&daemon)).to_string();
    let client = Client::connect(Options { address, ..files.options(&daemon, "alice") }).await.unwrap();
    client.join("lobby").await.unwrap();
    let body = "x".repeat(1 << 20);
    for seq in 1..=10 {
        let sent = tokio::time::timeout(DEADLINE, client.send("lobby", body.clone())).await.unwrap();
        assert_eq!(sent.unwrap().seq, seq);
        let fetched = tokio::time::timeout(DEADLINE, client.fetch("lobby", None, None)).await.unwrap();
        assert_eq!(fetched.unwrap().handed, seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_trusts_only_its_ca() {
    let files = Files::new();
    let daemon = files.daemon(&[]);
    Ca::new(&files.path("other.pem"));
    let options = |tls| Options { tls: Some(tls), ..files.options(&daemon, "alice") };
    let error = refused(options(Tls::new(files.path("other.pem")))).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    let wrong_name = Tls { server_name: Some("example.org".to_owned()), ..Tls::new(files.path("ca.pem")) };
    assert!(matches!(refused(options(wrong_name)).await, Error::Tls { .. }));
    let nowhere = refused(options(Tls::new("/nowhere/ca.pem"))).await.to_string();
    assert!(nowhere.contains("/nowhere/ca.pem"), "{nowhere}");
    // It is told to the daemon's operator as well, if that one asks.
    wait_until("the log says so", || daemon.log().contains("TLS handshake: "));
    let right_name = Tls { server_name: Some("localhost".to_owned()), ..Tls::new(files.path("ca.pem")) };
    Client::connect(options(right_name)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_speaks_either_tls_or_plain() {
    let files = Files::new();
    let daemon = files.daemon(&[]);
    for first in [&b"HELLO alice\n"[..], b"\n", b"\x00\x00\x00\x01\x00", b"\x80\x2e\x01"] {
        let mut plain = Lines::connect(address(&daemon));
        plain.send_bytes(first);
        assert_eq!(plain.rest(), "ERR bad-command this port speaks TLS only\n");
    }
    let mut silent = Lines::connect(address(&daemon));
    silent.done();
    assert_eq!(silent.rest(), "");
    let plain = Options { tls: None, ..files.options(&daemon, "alice") };
    let Error::Refused(refusal) = refused(plain).await else { panic!("no refusal") };
    assert_eq!((refusal.code, &*refusal.text), (ErrorCode::BadCommand, "this port speaks TLS only"));
    let to_plain = Options { address: daemon.address().to_string(), ..files.options(&daemon, "alice") };
    let error = refused(to_plain).await;
    assert!(error.to_string().ends_with("does not speak TLS"), "{error}");
    daemon.lines("alice").expect("PING", "OK pong");
}

#[test]
#[cfg(feature = "metrics")]
fn a_bad_certificate_anywhere_in_the_chain_causes_a_warning() {
    let files = Files::new();
    let ends_on = |name: &str, from: i32, to: i32| {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let pem = params.signed_by(&pair, &files.ca.0).unwrap().pem();
        std::fs::write(files.path(&format!("{name}.key")), pair.serialize_pem()).unwrap();
        pem
    };
    let (expired, early, good) =
        (ends_on("expired", 2001, 2002), ends_on("early", 2998, 2999), ends_on("good", 2001, 2999));
    let metrics = ["--metrics", "127.0.0.1:0"];
    for (name, chain, printed) in [
        ("expired", expired.clone(), "expired at 2002-01-01"),
        ("early", early, "is not valid before 2998-01-01"),
        ("good", good + &expired, "expired at 2002-01-01"),
    ] {
        std::fs::write(files.path("cert.pem"), chain).unwrap();
        std::fs::copy(files.path(&format!("{name}.key")), files.path("key.pem")).unwrap();
        let daemon = files.daemon(&metrics);
        let warned = |count: usize| {
            wait_until("it warns", || {
                let log = daemon.log();
                log.lines().filter(|line| line.contains("WARN") && line.contains(printed)).count() >= count
            });
        };
        warned(1);
        daemon.signal("HUP");
        warned(2);
        let log = daemon.log();
        let address = log.lines().find(|line| line.contains(" metrics address=")).unwrap();
        let mut stream = TcpStream::connect(address.rsplit_once("address=").unwrap().1.trim()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find(|line| line.starts_with("dantok_tls_certificate_expires_seconds{")).unwrap();
        let left: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert_eq!(left < 0.0, name != "early", "{line}");
    }
}

#[test]
fn sighup_reads_the_certificate_again() {
    let files = Files::new();
    let daemon = files.daemon(&[]);
    let mut old = files.lines(&daemon, "alice");
    old.ask("JOIN lobby");
    let first = shown(&mut old);
    assert_eq!(first, CertificateDer::from_pem_file(files.path("cert.pem")).unwrap());

    files.ca.sign(&files.path("cert.pem"), &files.path("key.pem"));
    assert_eq!(shown(&mut files.connect(&daemon)), first, "it was read without SIGHUP");
    daemon.signal("HUP");
    wait_until("it was read", || daemon.log().contains("TLS files reloaded"));
    let second = shown(&mut files.connect(&daemon));
    assert_eq!(second, CertificateDer::from_pem_file(files.path("cert.pem")).unwrap());
    assert_ne!(first, second);
    assert_eq!(shown(&mut old), first);
    old.expect("SEND lobby still here", "OK 1");

    // An unusable file is reported by name, and changes nothing.
    let mut spoilt = |spoil: &dyn Fn(), named: &str| {
        spoil();
        let seen = daemon.log().len();
        daemon.signal("HUP");
        wait_until("it says so", || daemon.log()[seen..].contains("TLS keeps what it had"));
        let printed = daemon.log()[seen..].lines().find(|line| line.contains("TLS keeps")).unwrap().to_owned();
        assert!(printed.contains("ERROR") && printed.contains(&files.text(named)), "{printed}");
        assert_eq!(shown(&mut files.connect(&daemon)), second);
        old.expect("PING", "OK pong");
    };
    spoilt(&|| files.ca.sign(&files.path("cert.pem"), &files.path("unused.pem")), "key.pem");
    spoilt(&|| std::fs::write(files.path("key.pem"), "no key").unwrap(), "key.pem");
    spoilt(&|| std::fs::remove_file(files.path("cert.pem")).unwrap(), "cert.pem");
}

/// What a daemon makes of a client with this certificate.
fn ping(files: &Files, daemon: &Daemon, identity: Option<&str>, version: &'static SupportedProtocolVersion) -> bool {
    let mut stream = files.open(daemon, identity, version);
    // So much that a daemon which closes without reading it takes its alert back.
    let asking = [b"PING\nQUIT\n", &[b'\n'; 300_000][..]].concat();
    let mut answer = Vec::new();
    let asked = stream.write_all(&asking).and_then(|()| stream.read_to_end(&mut answer));
    match asked {
        Ok(_) => {
            assert_eq!(answer, b"OK pong\nOK bye\n");
            true
        }
        Err(error) => {
            // The client gets an alert, and is not just cut off.
            assert!(error.to_string().contains("received fatal alert"), "{error}");
            false
        }
    }
}

#[test]
fn a_client_certificate_is_required() {
    let files = Files::new();
    let client_ca = Ca::new(&files.path("clients.pem"));
    client_ca.sign(&files.path("alice.pem"), &files.path("alice-key.pem"));
    // The same as signs the daemon's, which makes it no client.
    files.ca.sign(&files.path("mallory.pem"), &files.path("mallory-key.pem"));
    let clients = files.text("clients.pem");
    let daemon = files.daemon(&["--tls-client-ca", &clients]);
    for version in [&TLS12, &TLS13] {
        assert!(!ping(&files, &daemon, None, version));
        assert!(!ping(&files, &daemon, Some("mallory"), version));
        assert!(ping(&files, &daemon, Some("alice"), version));
    }
    // Others from now on.
    std::fs::copy(files.path("ca.pem"), files.path("clients.pem")).unwrap();
    daemon.signal("HUP");
    wait_until("it was read", || daemon.log().contains("TLS files reloaded"));
    assert!(!ping(&files, &daemon, Some("alice"), &TLS13));
    assert!(ping(&files, &daemon, Some("mallory"), &TLS13));
}

#[test]
fn a_client_certificate_stays_required_if_nothing_else_keeps_strangers_out() {
    let files = Files::new();
    let config = files.path("dantok.toml");
    std::fs::write(&config, format!("tls-client-ca = {:?}", files.path("ca.pem"))).unwrap();
    let config_flag = ["--config", config.to_str().unwrap()];
    let daemon = files.daemon(&[&config_flag[..], &["--listen-tls", "0.0.0.0:0"]].concat());
    std::fs::write(&config, "").unwrap();
    daemon.signal("HUP");
    wait_until("it was refused", || daemon.log().contains("SIGHUP: without tls-client-ca"));
    assert!(!daemon.log().contains("TLS files reloaded"));
    // Tokens keep them out as well.
    daemon.token(&["issue", "alice"]);
    daemon.signal("HUP");
    wait_until("it was read", || daemon.log().contains("TLS files reloaded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_presents_its_certificate() {
    let files = Files::new();
    files.ca.sign(&files.path("alice.pem"), &files.path("alice-key.pem"));
    let daemon = files.daemon(&["--tls-client-ca", &files.text("ca.pem")]);
    let error = refused(files.options(&daemon, "alice")).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    let cert_and_key = Some((files.path("alice.pem"), files.path("alice-key.pem")));
    let tls = Some(Tls { cert_and_key, ..Tls::new(files.path("ca.pem")) });
    let client = Client::connect(Options { tls, ..files.options(&daemon, "alice") }).await.unwrap();
    client.ping().await.unwrap();
}

#[test]
fn a_half_closed_connection_gets_every_answer() {
    const SENDS: u64 = 2000;
    let files = Files::new();
    let daemon = files.daemon(&[]);
    files.lines(&daemon, "a").ask("JOIN r");
    let sends: String = (1..=SENDS).map(|n| format!("SEND r {n}\n")).collect();
    for (round, announced) in [(0, true), (1, false)] {
        let mut lines = files.lines(&daemon, "a");
        lines.send_bytes(format!("{sends}SEND r half a comma").as_bytes());
        if announced {
            lines.stream().conn.send_close_notify();
            lines.stream().flush().unwrap();
        }
        // As `openssl s_client` ends when it is not announced.
        lines.stream().sock.shutdown(Shutdown::Write).unwrap();
        let oks: String = (1..=SENDS).map(|seq| format!("OK {}\n", round * SENDS + seq)).collect();
        assert_eq!(lines.rest(), oks);
    }
}

#[test]
fn a_worker_that_vanishes_behind_tls_is_handed_nothing() {
    let files = Files::new();
    let daemon = files.daemon(&[]);
    let mut alice = daemon.lines("alice");
    alice.ask("JOIN jobs");
    alice.ask("GROUP jobs w timeout=1h");
    let mut seq = 0;
    for (reset, unread) in [(false, false), (true, false), (true, true)] {
        let mut bob = files.lines(&daemon, "bob");
        bob.ask("JOIN jobs");
        bob.send("TAKE jobs w wait=60s");
        if unread {
            seq += 1;
            alice.expect("SEND jobs job", &format!("OK {seq}"));
            wait_until("it is handed over", || alice.ask("PENDING jobs w").len() == 2);
        }
        if reset {
            socket2::SockRef::from(&bob.stream().sock).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
        drop(bob); // Without a word of TLS's.
        let is_away =
            |lines: &mut Lines| lines.ask("WHO jobs").iter().any(|line| line.starts_with("MEMBER jobs bob 0 "));
        wait_until("the worker is away", || is_away(&mut alice));
        if !unread {
            seq += 1;
            alice.expect("SEND jobs job", &format!("OK {seq}"));
        }
        wait_until("it is for others", || alice.ask("TAKE jobs w")[0].starts_with(&format!("MSG jobs {seq} ")));
        alice.expect(&format!("DONE jobs w {seq}"), &format!("OK {seq}"));
    }
}

#[test]
fn sigterm_answers_everything_that_was_received() {
    const SENDS: u64 = 3000;
    let files = Files::new();
    let mut daemon = files.daemon(&[]);
    let mut lines = files.lines(&daemon, "a");
    let (mut known, mut unknown) = (files.lines(&daemon, "b"), files.connect(&daemon));
    while unknown.stream().conn.is_handshaking() {
        let stream = unknown.stream();
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let mut silent = Lines::connect(address(&daemon));
    lines.ask("JOIN r");
    // A PING waits until the SEND before it is answered; so much of this waits in the socket.
    let commands: String = (1..=SENDS).map(|n| format!("SEND r {n}\n@{n} PING\n")).collect();
    lines.send_bytes(commands.as_bytes());
    daemon.signal("TERM");
    let answers: String = (1..=SENDS).map(|n| format!("OK {n}\n@{n} OK pong\n")).collect();
    assert_eq!(lines.rest(), answers);
    assert_eq!((known.rest(), unknown.rest(), silent.rest()), Default::default());
    drop((lines, known, unknown, silent));
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.log().contains("did not read their answers in time"));
}

#[test]
fn the_handshake_counts_as_time_to_say_hello() {
    let files = Files::new();
    let daemon = files.daemon(&["--hello-timeout", "300ms"]);
    let mut silent = Lines::connect(address(&daemon));
    assert_eq!(silent.rest(), "");
    let mut partial = Lines::connect(address(&daemon));
    partial.send_bytes(b"\x16\x03\x01\x02\x00\x01");
    assert_eq!(partial.rest_bytes(), b"");
    wait_until("the log says so", || daemon.log().matches("no TLS handshake within").count() == 2);
    let mut no_word = files.connect(&daemon);
    assert_eq!(no_word.rest(), "");
    let mut idle = files.connect(&daemon);
    idle.expect("PING", "OK pong");
    assert!(idle.rest().starts_with("ERR hello-first "));
    drop((silent, partial, no_word, idle));
    let mut stats = files.lines(&daemon, "a");
    wait_until("they count no more", || stats.ask("STATS")[0].contains(" connections=1 "));
}

#[test]
fn one_connection_too_many_is_told_so_inside_tls() {
    let files = Files::new();
    let daemon = files.daemon(&["--max-connections", "1"]);
    let mut held = None;
    wait_until("a connection is there", || {
        let mut lines = files.connect(&daemon);
        let is_there = lines.ask("PING")[0] == "OK pong";
        held = is_there.then_some(lines);
        is_there
    });
    let mut lines = files.connect(&daemon);
    lines.send("HELLO late");
    assert_eq!(lines.rest(), "ERR limit at most 1 connections\n");
    let mut frames = Frames::over(files.open(&daemon, None, &TLS13));
    frames.send(Request::Ping);
    assert_eq!(frames.closing().code, ErrorCode::Limit);
    held.unwrap().expect("PING", "OK pong");
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let files = Files::new();
    std::fs::write(files.path("empty.pem"), "nothing\n").unwrap();
    files.ca.sign(&files.path("other.pem"), &files.path("other-key.pem"));
    let data = files.text("data");
    let [cert, key, other_key, empty, nowhere] =
        ["cert.pem", "key.pem", "other-key.pem", "empty.pem", "nowhere.pem"].map(|name| files.text(name));
    let listen = ["--listen-tls", "127.0.0.1:0"];
    for (args, code, named) in [
        (&listen[..], 2, &["--listen-tls", "--tls-cert"][..]),
        (&["--listen-tls", "127.0.0.1:0", "--tls-cert", &cert], 2, &["--listen-tls", "--tls-key"]),
        (&["--tls-cert", &cert, "--tls-key", &key], 2, &["--tls-cert", "--listen-tls"]),
        (&["--tls-client-ca", &cert], 2, &["--tls-client-ca", "--listen-tls"]),
        (&["--tls-cert", &nowhere, "--tls-key", &key], 2, &[&nowhere, "No such file"]),
        (&["--tls-cert", &empty, "--tls-key", &key], 2, &[&empty, "no certificate"]),
        (&["--tls-cert", &cert, "--tls-key", &nowhere], 2, &[&nowhere, "No such file"]),
        (&["--tls-cert", &cert, "--tls-key", &cert], 2, &[&cert, "no private key"]),
        (&["--tls-cert", &cert, "--tls-key", &other_key], 2, &[&other_key, &cert]),
        (&["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &nowhere], 2, &[&nowhere]),
        (&["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &empty], 2, &[&empty]),
    ] {
        let listen = if args.contains(&"--listen-tls") || named.contains(&"--listen-tls") { &[] } else { &listen[..] };
        let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
        command.args(args).args(listen).args(["--data-dir", &data, "--listen", "127.0.0.1:0"]).env_clear();
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {printed}");
        let last = printed.lines().last().unwrap();
        assert!(named.iter().all(|name| last.contains(name)), "{args:?}: {printed}");
    }
    assert!(!files.path("data").exists());
}

#[test]
fn chat_talks_tls() {
    let files = Files::new();
    files.ca.sign(&files.path("alice.pem"), &files.path("alice-key.pem"));
    let daemon = files.daemon(&["--tls-client-ca", &files.text("ca.pem")]);
    let chat = |flags: &[&str], input: &str| {
        let mut command = Command::new(chat_binary());
        command.env_remove("SSL_CERT_FILE").args(["lobby", "--as", "alice"]).args(flags);
        command.args(["--server", &address(&daemon).to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (ca, cert, key) = (files.text("ca.pem"), files.text("alice.pem"), files.text("alice-key.pem"));
    let tls = ["--tls", "--ca", &ca, "--client-cert", &cert, "--client-key", &key];
    let input: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
    let posted = chat(&tls, &input);
    assert_eq!(posted.0, 0, "{}", posted.2);
    let (code, fetched, printed) = chat(&[&tls[..], &["--fetch"]].concat(), "");
    assert_eq!((code, fetched.lines().count()), (0, 1000), "{printed}");
    assert!(fetched.lines().zip(1..).all(|(line, n)| line.ends_with(&format!(" alice: line {n}"))));
    for (flags, code, named) in
        [(&["--tls"][..], 2, "--ca"), (&tls[..3], 1, "CertificateRequired"), (&[], 1, "this port speaks TLS only")]
    {
        let (status, _, printed) = chat(&[flags, &["--fetch"]].concat(), "");
        assert!(status == code && printed.contains(named), "{status}: {printed}");
    }
}

#[test]
fn openssl_s_client_works_as_a_client() {
    if !has_tool("openssl") {
        return;
    }
    let files = Files::new();
    let daemon = files.daemon(&[]);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile", &files.text("ca.pem")]);
    command.args(["-connect", &address(&daemon).to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Kept open: at the end of its input it would not wait for answers.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"HELLO alice\nJOIN lobby\nSEND lobby hi\nQUIT\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.starts_with("OK dantok/") && printed.ends_with("OK cursor=0 last=0 created number=1\nOK 1\nOK bye\n"),
        "{printed}"
    );
}
