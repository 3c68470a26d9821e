//! Peers that fall silent. Time is the test's, sockets are real.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{advance, pause};

use super::*;
use crate::server::{Options, Server};
use crate::settings::Settings;
use crate::tokens::Tokens;

const PING: &[u8] = &[0x89, 0];
/// Timers may be this late.
const TICK: Duration = Duration::from_millis(10);
/// Masked by nothing.
const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

/// A WebSocket on which alice has said HELLO, and what serves it.
struct Served {
    client: TcpStream,
    serving: JoinHandle<io::Result<()>>,
    hub: Arc<Hub>,
    _stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Served {
    async fn start() -> Served {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Arc::new(Tokens::open(&dir.path().join("tokens.toml")).unwrap());
        let options = Options { data_dir: dir.path().join("data"), tokens, settings: Settings::default() };
        let hub = Server::open(options).await.unwrap().hub().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (read, write) = dantok_net::plain(listener.accept().await.unwrap().0);
        let socket = Socket::new(read, write, hub.figures.clone(), Arc::default());
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(socket, BytesMut::new(), hub.clone(), stopped));
        let mut served = Served { client, serving, hub, _stop: stop, _dir: dir };
        served.ask(r#"{"do":"hello","client":"alice"}"#).await;
        pause();
        // The clock moves by itself only while nothing can run.
        tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        served
    }

    /// Sends a request, and reads its answer.
    async fn ask(&mut self, request: &str) {
        let head = [0x81, 0x80 | u8::try_from(request.len()).unwrap(), 0, 0, 0, 0];
        self.client.write_all(&[&head, request.as_bytes()].concat()).await.unwrap();
        let mut head = [0; 2];
        self.client.read_exact(&mut head).await.unwrap();
        let length = match head {
            [0x81, 126] => usize::from(self.client.read_u16().await.unwrap()),
            [0x81, short] => usize::from(short),
            other => panic!("{other:x?}"),
        };
        self.client.read_exact(&mut vec![0; length]).await.unwrap();
    }

    /// Sends a pong, and lets the daemon read it.
    async fn pong(&mut self) {
        let before = self.hub.figures.received_bytes.get();
        self.client.write_all(PONG).await.unwrap();
        while self.hub.figures.received_bytes.get() == before {
            tokio::task::yield_now().await;
        }
    }

    async fn expect_ping(&mut self) {
        let mut ping = [0; 2];
        self.client.read_exact(&mut ping).await.unwrap();
        assert_eq!(ping, PING);
    }
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays_and_one_that_does_not_is_given_up() {
    let mut served = Served::start().await;
    for _ in 0..10 {
        advance(PING_EVERY + TICK).await;
        served.expect_ping().await;
        served.pong().await;
    }
    served.ask(r#"{"do":"ping"}"#).await;
    advance(PING_EVERY + TICK).await;
    served.expect_ping().await;
    advance(PING_EVERY + TICK).await;
    served.expect_ping().await;
    assert_eq!(served.hub.rooms.connected(), 1);
    advance(SILENCE_MAX - 2 * PING_EVERY).await;
    let ended = (&mut served.serving).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(served.hub.rooms.connected(), 0);
}

#[tokio::test]
async fn a_peer_that_sends_is_not_asked() {
    let mut served = Served::start().await;
    for _ in 0..10 {
        advance(PING_EVERY - Duration::from_secs(1)).await;
        // An answer and no ping comes.
        served.ask(r#"{"do":"ping"}"#).await;
    }
    assert!(!served.serving.is_finished());
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_given_up_however_much_waits_for_it() {
    let served = Served::start().await;
    // More than sockets hold; none of it is read.
    let request = br#"{"do":"help"}"#;
    let head = [0x81, 0x80 | request.len() as u8, 0, 0, 0, 0];
    let many = [&head[..], request].concat().repeat(100_000);
    let Served { mut client, serving, .. } = served;
    let writing = tokio::spawn(async move {
        let _ = client.write_all(&many).await;
        client
    });
    let start = std::time::Instant::now();
    while !serving.is_finished() {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    let error = serving.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "the peer does not read".to_owned()));
    drop(writing);
}
