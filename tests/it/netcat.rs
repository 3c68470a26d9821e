//! Use by hand with `nc` or `telnet`, and by a script with `printf … | nc -N`.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::common::{Daemon, Lines, has_tool};

fn nc(daemon: &Daemon, flags: &[&str]) -> Child {
    let address = daemon.address();
    Command::new("nc")
        .args(flags)
        .args([address.ip().to_string(), address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// `printf … | nc -N`
fn piped(daemon: &Daemon, input: &[u8]) -> String {
    let mut nc = nc(daemon, &["-N"]);
    let mut stdin = nc.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = nc.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Somebody at a terminal.
struct Person {
    nc: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Person {
    fn new(daemon: &Daemon) -> Person {
        let mut nc = nc(daemon, &[]);
        let (stdin, stdout) = (nc.stdin.take(), BufReader::new(nc.stdout.take().unwrap()));
        Person { nc, stdin, stdout }
    }

    fn types(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn sees(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    fn asks(&mut self, line: &str, answer: &str) {
        self.types(line);
        assert_eq!(self.sees(), answer, "{line}");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.nc.kill();
        let _ = self.nc.wait();
    }
}

#[test]
fn a_pipe_gets_every_answer_and_half_a_command_stores_nothing() {
    if !has_tool("nc") {
        return;
    }
    let daemon = Daemon::start();
    let answers = piped(&daemon, b"HELLO me\nJOIN r\nSEND r one\r\n@2 SEND r two\nFETCH r\nSEND r hal");
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines[1..4], ["OK cursor=0 last=0 created number=1", "OK 1", "@2 OK 2"]);
    assert!(lines[4].starts_with("MSG r 1 ") && lines[4].ends_with(" me one"), "{answers}");
    assert!(lines[5].starts_with("MSG r 2 ") && lines[5].ends_with(" me two"), "{answers}");
    assert_eq!(lines[6..], ["END r 2 1 2"]);
    // Nor does half a payload, nor a whole one whose line end is missing.
    for cut in [&b"HELLO me\nSENDB r 9\nhal"[..], b"HELLO me\nSENDB r 4\nhalf"] {
        assert_eq!(piped(&daemon, cut).lines().count(), 1);
    }
    assert!(piped(&daemon, b"HELLO me\nFETCH r after=2\n").ends_with("\nEND r 2 1 2\n"));
    // Far more than one read, and than may wait for answers at once.
    let many: String = (0..5000).map(|n| format!("SEND r number {n}\n")).collect();
    let answers = piped(&daemon, format!("HELLO me\n{many}").as_bytes());
    let expected: Vec<String> = (3..5003).map(|seq| format!("OK {seq}")).collect();
    assert_eq!(answers.lines().skip(1).collect::<Vec<_>>(), expected);
    assert!(piped(&daemon, b"HELLO me\nFETCH r\n").ends_with(" me number 4999\nEND r 5002 1 5002\n"));
}

#[test]
fn a_session_by_hand_survives_the_daemon() {
    if !has_tool("nc") {
        return;
    }
    let mut daemon = Daemon::start();
    let mut person = Person::new(&daemon);
    person.types("HELLO 앨리스");
    assert!(person.sees().starts_with("OK dantok/"));
    person.asks("JOIN 단톡방", "OK cursor=0 last=0 created number=1");
    person.asks("SEND 단톡방 안녕하세요", "OK 1");
    person.asks("SEND id=2 단톡방 또 봐요 👋", "OK 2");
    person.types("FETCH 단톡방");
    assert!(person.sees().ends_with(" 앨리스 안녕하세요"));
    assert!(person.sees().ends_with(" 앨리스 또 봐요 👋"));
    assert_eq!(person.sees(), "END 단톡방 2 1 2");
    person.asks("ACK 단톡방 1", "OK 1");
    person.types("SEND 단톡방 never ended");
    daemon.kill();
    person.stdin = None; // nc ends when both sides have.
    // Either it was stored, and then it is there; or it was not, and then nobody was told that it is.
    let mut rest = String::new();
    person.stdout.read_to_string(&mut rest).unwrap();
    assert!(["", "OK 3\n"].contains(&&*rest), "{rest}");

    daemon.start_again();
    let mut person = Person::new(&daemon);
    person.types("HELLO 앨리스");
    assert!(person.sees().starts_with("OK dantok/"));
    person.types("FETCH 단톡방 1");
    assert!(person.sees().ends_with(" 앨리스 또 봐요 👋"));
    let end = person.sees();
    assert!(["END 단톡방 2 1 2", "END 단톡방 2 1 3"].contains(&&*end), "{end}");
    assert!(rest.is_empty() || end.ends_with('3'), "acknowledged, and gone: {end}");
    person.asks("SEND id=2 단톡방 또 봐요 👋", "OK 2 dup");
    person.asks("QUIT", "OK bye");
}

/// What telnet sends on Ctrl-C, and then shows nothing until the mark comes back.
const INTERRUPT: &[u8] = b"\xff\xf4\xff\xfd\x06";
const MARK: &[u8] = b"\xff\xfb\x06";

/// Takes these bytes, and is told no others.
fn takes(client: &mut Lines, expected: &[&[u8]]) {
    let expected = expected.concat();
    let mut given = vec![0; expected.len()];
    client.read_exact(&mut given);
    assert_eq!(given.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn telnet_still_shows_answers_after_an_interrupt() {
    let daemon = Daemon::start();
    // Before HELLO and after it, in two pieces and in one.
    for at in 0..=INTERRUPT.len() {
        let mut client = Lines::connect(daemon.address());
        for _ in 0..2 {
            client.send_bytes(&INTERRUPT[..at]);
            client.send_bytes(&[&INTERRUPT[at..], b"PING\r\n"].concat());
            takes(&mut client, &[MARK, b"OK pong\n"]);
        }
        assert!(client.ask("HELLO me\r")[0].starts_with("OK dantok/"));
        client.send_bytes(&[b"SEND r never sai", &INTERRUPT[..at]].concat());
        client.send_bytes(&[&INTERRUPT[at..], b"PING\r\n"].concat());
        takes(&mut client, &[MARK, b"OK pong\n"]);
    }
    // The mark comes behind the answers to what was sent before it, be it on its way to the disk.
    let mut client = daemon.lines("me");
    client.expect("JOIN r", "OK cursor=0 last=0 created");
    client.send_bytes(&[b"SEND r one\r\nSEND r two\r\n", INTERRUPT, b"SEND r three\r\n"].concat());
    takes(&mut client, &[b"OK 1\nOK 2\n", MARK, b"OK 3\n"]);
    // Every option is refused, once.
    client.send_bytes(&b"\xff\xfd\x01\xff\xfb\x1f\xff\xfe\x01".repeat(3));
    client.send_bytes(b"\xff\xfa\x1f\x00\x50\n\xff\xff\xff\xf0PING\r\n");
    takes(&mut client, &[b"\xff\xfc\x01\xff\xfe\x1fOK pong\n"]);
    // Is anybody there? Half a line may be typed, and stays.
    client.send_bytes(b"PI\xff\xf6");
    takes(&mut client, &[b"OK pong\n"]);
    client.send_bytes(b"NX\xff\xf7G\r\n");
    takes(&mut client, &[b"OK pong\n"]);
    client.send_bytes(b"FORMAT json\r\n\xff\xf6FORMAT text\r\n");
    takes(&mut client, &[b"{\"type\":\"ok\"}\n{\"type\":\"ok\"}\nOK\n"]);
    // Telnet's SYNCH: the last byte is urgent, and would be taken out of the stream.
    client.send_bytes(b"\xff\xf4\xff");
    socket2::SockRef::from(&*client.stream()).send_out_of_band(b"\xf2").unwrap();
    // A read stops at it, and what comes at that very moment behind it is read with what comes next: here, blank lines.
    let (mut blank, answered) = (client.another(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !answered.load(std::sync::atomic::Ordering::Relaxed) {
                blank.write_all(b"\r\n").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        client.send("PING");
        assert_eq!(client.line().as_deref(), Some("OK pong"));
        answered.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // What is counted is anybody's, whatever was negotiated.
    client.send_bytes(&[b"SENDB r 5\r\n", INTERRUPT, b"\r\n"].concat());
    takes(&mut client, &[b"OK 4\n"]);
    client.send("HISTORY r before=5 max=1");
    let shown = client.answer();
    assert!(shown[0].ends_with(r" me \xff\xf4\xff\xfd\x06"), "{shown:?}");
}

#[test]
fn an_interrupt_ends_what_waits() {
    let daemon = Daemon::start();
    let mut client = daemon.lines("me");
    client.expect("JOIN r", "OK cursor=0 last=0 created");
    client.ask("GROUP r w");
    // Less than what is waited for.
    client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for (ahead, answer) in [(&b""[..], &b""[..]), (b"PING\r\n", b"OK pong\n"), (b"\r\n\xff\xf1", b"")] {
        for key in [b"\xff\xf4", b"\xff\xf3", b"\xff\xf5"] {
            client.send_bytes(b"TAKE r w wait=60s\r\n");
            client.send_bytes(ahead);
            client.send_bytes(&[&key[..], b"\xff\xfd", b"\x06"].concat());
            takes(&mut client, &[b"OK 0\n", answer, MARK]);
        }
    }
}

#[test]
fn text_that_looks_like_a_telnet_command_is_text() {
    let daemon = Daemon::start();
    let mut script = daemon.lines("me");
    script.expect("JOIN r", "OK cursor=0 last=0 created");
    // Of what a stranger wrote nothing is run, and nothing is answered twice.
    for key in 240..=250 {
        for text in ["DELETE r\n", "\n"] {
            if ![241, 242, 245, 249, 240].contains(&key) {
                script.send_bytes(&[b"SEND r hi \xff", &[key][..], text.as_bytes()].concat());
                assert_eq!(script.answer(), ["ERR not-utf8 a line is UTF-8; SENDB takes any bytes"], "{key}");
            }
        }
    }
    script.expect("SEND r hi", "OK 1");
}

#[test]
fn unread_timing_marks_delay_only_their_own_connection() {
    let daemon = Daemon::start();
    let mut client = daemon.lines("me");
    let many = 1 << 20;
    let mut writing = client.another();
    let writer = std::thread::spawn(move || writing.write_all(&b"\xff\xfd\x06".repeat(many)));
    daemon.lines("other").expect("PING", "OK pong");
    takes(&mut client, &[&MARK.repeat(many)]);
    writer.join().unwrap().unwrap();
    client.expect("PING", "OK pong");
}

/// A signal ended `telnet` itself: its handlers touch what they interrupt, so that a key at the wrong moment may crash it.
struct Crashed;

/// Somebody at a terminal in which `telnet` runs.
struct Terminal {
    script: Child,
    stdin: ChildStdin,
    output: mpsc::Receiver<Vec<u8>>,
    screen: String,
}

impl Terminal {
    fn new(daemon: &Daemon) -> Terminal {
        let (ip, port) = (daemon.address().ip(), daemon.address().port());
        let mut script = Command::new("script")
            .args(["-qec", &format!("trap : INT QUIT; telnet {ip} {port}; echo telnet ended with $?"), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, mut stdout) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let (to, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut piece)
                && to.send(piece[..read].to_vec()).is_ok()
            {}
        });
        Terminal { script, stdin, output, screen: String::new() }
    }

    fn types(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown; what was shown before is forgotten.
    fn sees(&mut self, text: &str) -> Result<(), Crashed> {
        loop {
            if let Some(at) = self.screen.find(text) {
                self.screen.drain(..at + text.len());
                return Ok(());
            }
            if self.screen.contains("telnet ended with 13") {
                return Err(Crashed);
            }
            match self.output.recv_timeout(Duration::from_secs(30)) {
                Ok(piece) => self.screen.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("{text:?} is not shown: {:?}", self.screen),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn a_telnet_session_continues_after_ctrl_c() {
    if !(has_tool("telnet") && has_tool("script")) {
        return;
    }
    assert!((0..3).any(|_| types_keys().is_ok()), "telnet crashed each time");
}

fn types_keys() -> Result<(), Crashed> {
    let daemon = Daemon::start();
    let mut person = Terminal::new(&daemon);
    person.sees("Escape character is '^]'.")?;
    // telnet says so before it catches signals; one that sends what is typed does.
    person.types("PING\r");
    person.sees("\nOK pong\r\n")?;
    // Before HELLO as well.
    for key in ["\x03", "\x1c"] {
        person.types(key);
        person.sees("^")?;
        person.types("PING\r");
        person.sees("\nOK pong\r\n")?;
    }
    person.types("HELLO me\r");
    person.sees("\nOK dantok/")?;
    person.types("JOIN r\r");
    person.sees("\nOK cursor=0 ")?;
    person.types("SEND r never sai");
    person.sees("sai")?;
    person.types("\x03");
    person.sees("^C")?;
    person.types("SEND r hello\r");
    person.sees("\nOK 1\r\n")?;
    for sent in ["ayt", "do echo", "will naws", "synch", "brk", "nop"] {
        person.types("\x1d");
        person.sees("telnet> ")?;
        person.types(&format!("send {sent}\r"));
        person.sees(if sent == "ayt" { "OK pong\r\n" } else { "\n" })?;
        person.types("PING\r");
        person.sees("OK pong\r\n")?;
    }
    person.types("QUIT\r");
    person.sees("\nOK bye\r\n")?;
    person.sees("Connection closed")?;
    Ok(())
}
