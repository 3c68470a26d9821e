//! The fuzz targets: arbitrary bytes for the decoders and for a whole session. A panic or a failed assertion is a finding.
//!
//! `cargo fuzz run line` (or `frame`, `json_request`, `session`, `http`, `websocket`) searches for inputs; the project's `cargo test` runs those in `corpus/`.

#[cfg(feature = "web")]
mod web;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::BytesMut;
use dantok::limits::Limits;
use dantok::settings::Settings;
use dantok_protocol::frame::{self, ClientCodec, RequestDecoder, RequestFrame};
use dantok_protocol::json_request;
use dantok_protocol::limits::{ENVELOPE_BYTES, JSON_FACTOR};
use dantok_protocol::line::{self, LineDecoder};
use dantok_protocol::{Incoming, Tag};
use tokio_util::codec::Decoder;
#[cfg(feature = "web")]
pub use web::{http, websocket};

const BODY_MAX: usize = 200;
/// The most that a decoder may hold while it waits for more: a whole request and the rest of one read.
const HELD_MAX: usize = BODY_MAX + ENVELOPE_BYTES + 4;
/// The same where there may be requests in JSON.
const HELD_JSON_MAX: usize = (BODY_MAX + ENVELOPE_BYTES) * JSON_FACTOR + 4;

/// Feeds the bytes in two pieces; returns what was decoded.
fn decode<D>(mut decoder: D, bytes: &[u8], cut: usize) -> Vec<D::Item>
where
    D: Decoder<Error = std::io::Error>,
{
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in [first, second] {
        buffer.extend_from_slice(piece);
        while let Some(item) = decoder.decode(&mut buffer).unwrap() {
            found.push(item);
        }
        let max = if buffer.contains(&b'{') { HELD_JSON_MAX } else { HELD_MAX };
        assert!(buffer.len() <= max, "{} bytes are held", buffer.len());
    }
    while let Some(item) = decoder.decode_eof(&mut buffer).unwrap() {
        found.push(item);
    }
    found
}

/// The line decoder: splitting the input makes no difference, and a decoded request survives encoding and decoding again.
pub fn line(bytes: &[u8]) {
    let found = decode(LineDecoder::new(BODY_MAX), bytes, 0);
    let cut = bytes.len() / 3;
    assert_eq!(found, decode(LineDecoder::new(BODY_MAX), bytes, cut), "cut at {cut}");
    for request in found {
        let Incoming::Request { tag, command } = &request else { continue };
        survives_as_json(&request);
        if bytes.contains(&b'{') {
            continue; // In JSON, a name may have spaces, which no line can express and the session refuses.
        }
        // Not every command may come first.
        let mut written = b"PING\n".to_vec();
        line::encode_request(tag, command, &mut written);
        if written.ends_with(b"\r\n") {
            continue; // A name that ends with CR, which the session refuses, would lose it as a line ending.
        }
        let again = decode(LineDecoder::new(BODY_MAX), &written, 0);
        assert_eq!(again.get(1..), Some(std::slice::from_ref(&request)));
    }
}

/// A request survives encoding as JSON and decoding again.
fn survives_as_json(request: &Incoming) {
    let Incoming::Request { tag, command } = request else { return };
    let mut written = Vec::new();
    json_request::encode_request(tag, command, &mut written);
    let written = std::str::from_utf8(&written).unwrap();
    assert_eq!(json_request::parse(written, BODY_MAX), *request, "{written}");
}

/// Requests in JSON: one is the same request by itself and as a line, and survives encoding and decoding again. A refusal is short.
pub fn json_request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let found = json_request::parse(text, BODY_MAX);
    match &found {
        Incoming::Request { command, .. } => assert!(command.body_bytes() <= BODY_MAX),
        Incoming::Refused { refusal, .. } => assert!(refusal.text.len() < 1000, "{refusal}"),
        other => panic!("{other:?}"),
    }
    survives_as_json(&found);
    let is_line = text.starts_with('{') && !text.contains('\n') && !text.ends_with('\r');
    if is_line && text.len() <= (BODY_MAX + ENVELOPE_BYTES) * JSON_FACTOR {
        // Not every command may come first.
        let line = [b"PING\n", bytes, b"\n"].concat();
        let decoded = decode(LineDecoder::new(BODY_MAX), &line, line.len() / 2);
        assert_eq!(decoded.get(1..), Some(&[found][..]));
    }
}

/// The frame decoders, the daemon's and the client's.
pub fn frame(bytes: &[u8]) {
    let found = decode(RequestDecoder::new(BODY_MAX), bytes, 0);
    let cut = bytes.len() / 3;
    assert_eq!(found, decode(RequestDecoder::new(BODY_MAX), bytes, cut), "cut at {cut}");
    for incoming in found {
        let Incoming::Request { tag: Tag::Id(id), command } = incoming else { continue };
        let mut written = Vec::new();
        frame::encode_request(&RequestFrame { id, command: command.clone() }, &mut written).unwrap();
        let again = decode(RequestDecoder::new(BODY_MAX), &written, 0);
        assert_eq!(again, [Incoming::Request { tag: Tag::Id(id), command }]);
    }
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = ClientCodec.decode(&mut buffer) {
        let mut written = Vec::new();
        frame::encode_server(&frame, &mut written).unwrap();
        assert_eq!(ClientCodec.decode(&mut BytesMut::from(&written[..])).unwrap(), Some(frame));
    }
}

/// Where a daemon in this process listens.
#[derive(Clone, Copy)]
struct Daemon {
    protocol: SocketAddr,
    #[cfg(feature = "web")]
    web: SocketAddr,
}

/// A daemon in this process, with a short retention.
fn daemon() -> Daemon {
    static DAEMON: OnceLock<Daemon> = OnceLock::new();
    *DAEMON.get_or_init(|| {
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.unwrap();
        let bind = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let protocol = bind();
        #[cfg(feature = "web")]
        let web = bind();
        let daemon = Daemon {
            protocol: protocol.local_addr().unwrap(),
            #[cfg(feature = "web")]
            web: web.local_addr().unwrap(),
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let options = dantok::server::Options {
                data_dir: dir.path().join("data"),
                tokens: dantok::tokens::Tokens::open(&dir.path().join("tokens.toml")).unwrap().into(),
                settings: Settings {
                    retention: Duration::from_millis(200),
                    limits: Limits { rooms_max: 20, body_max_bytes: BODY_MAX, ..Limits::default() },
                },
            };
            let served = runtime.block_on(async {
                let listeners = vec![
                    tokio::net::TcpListener::from_std(protocol).unwrap().into(),
                    #[cfg(feature = "web")]
                    web::listener(tokio::net::TcpListener::from_std(web).unwrap()),
                ];
                dantok::server::run(listeners, options, std::future::pending()).await
            });
            panic!("the daemon ended: {served:?}");
        });
        daemon
    })
}

/// Sends the bytes and no more; returns what comes back up to the end.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut writing = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        // The daemon may close before it has read everything.
        scope.spawn(move || {
            let _ = writing.write_all(bytes);
            let _ = writing.shutdown(Shutdown::Write);
        });
        let mut answers = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return answers,
                Ok(read) => answers.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answers,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the session does not end: {error}"),
            }
        }
    })
}

/// The text left after a telnet client has removed the telnet commands.
fn without_telnet(answers: &[u8]) -> Vec<u8> {
    let (mut text, mut rest) = (Vec::new(), answers);
    while let Some(at) = rest.iter().position(|byte| *byte == 0xff) {
        assert!(matches!(rest[at + 1..], [0xfb, 0x06, ..] | [0xfc | 0xfe, _, ..]), "no answer to telnet: {answers:?}");
        text.extend_from_slice(&rest[..at]);
        rest = &rest[at + 3..];
    }
    text.extend_from_slice(rest);
    text
}

/// A whole session: it ends, no command gets two answers, and the daemon keeps running.
pub fn session(bytes: &[u8]) {
    let answers = exchange(daemon().protocol, bytes);
    if bytes.first() == Some(&0) {
        let mut buffer = BytesMut::from(&answers[..]);
        while ClientCodec.decode(&mut buffer).unwrap().is_some() {}
        assert!(buffer.is_empty(), "half a frame");
    } else {
        let text = std::str::from_utf8(&without_telnet(&answers)).expect("text").to_owned();
        assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text:?}");
        let ends = text.lines().filter(|line| {
            // FORMAT, or a first line in JSON.
            if line.starts_with('{') {
                return ["ok", "error", "end"].iter().any(|kind| line.starts_with(&format!("{{\"type\":\"{kind}\"")));
            }
            let line = if line.starts_with('@') { line.split_once(' ').map_or("", |(_, rest)| rest) } else { line };
            ["OK", "ERR", "END"].contains(&line.split(' ').next().unwrap_or_default())
        });
        let commands = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        // Telnet's "are you there" is answered as well.
        let commands = commands + bytes.windows(2).filter(|pair| pair == b"\xff\xf6").count();
        assert!(ends.count() <= commands + 1, "more answers than commands: {text:?}");
    }
}
