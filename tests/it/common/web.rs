//! The web of a daemon: what its HTTP needs, and a client of its WebSocket made by somebody else.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_websockets::{ClientBuilder, CloseCode, Message, WebSocketStream};

use super::http::{self, Answer};
use super::{DEADLINE, Daemon};

/// The subprotocol.
pub const PROTOCOL: &str = "dantok.json.v1";

/// A daemon with a web, and where that is.
pub struct Web {
    pub daemon: Daemon,
    pub address: SocketAddr,
}

impl Web {
    pub fn start() -> Web {
        Web::start_with(&[])
    }

    pub fn start_with(flags: &[&str]) -> Web {
        let daemon = Daemon::start_with(&[&["--web", "127.0.0.1:0"], flags].concat());
        let address = listening(&daemon.log(), "the web").expect("an address of the web in the log");
        Web { daemon, address }
    }

    /// What a GET of this path is answered.
    pub fn get(&self, path: &str) -> Answer {
        http::get(self.address, path)
    }

    /// What a request is answered that has these lines behind its first.
    pub fn ask(&self, first: &str, lines: &[&str]) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        http::ask(self.address, &format!("{first} HTTP/1.1\r\nConnection: close\r\n{lines}\r\n"))
    }

    /// A WebSocket that has said nothing.
    pub fn socket(&self) -> Socket {
        Socket::connect(self.address)
    }

    /// A WebSocket that has said HELLO.
    pub fn hello(&self, client: &str) -> Socket {
        let mut socket = self.socket();
        let welcome = socket.ask(json!({"do": "hello", "client": client}));
        assert_eq!(welcome["type"], "ok", "{welcome}");
        socket
    }
}

/// Where the daemon that wrote this log listens for this.
pub fn listening(log: &str, what: &str) -> Option<SocketAddr> {
    let line = log.lines().rev().find(|line| line.contains(&format!("listening for {what} address=")))?;
    line.rsplit_once("address=")?.1.trim().parse().ok()
}

/// How a WebSocket has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    pub code: u16,
    pub reason: String,
}

/// A blocking client of the WebSocket.
pub struct Socket {
    runtime: Runtime,
    stream: WebSocketStream<TcpStream>,
    lines: VecDeque<String>,
    next_tag: u64,
    /// Pushes that came while an answer was waited for.
    pub pushes: VecDeque<Value>,
    /// The close frame, once there was one.
    pub closed: Option<Closed>,
}

impl Socket {
    pub fn connect(address: SocketAddr) -> Socket {
        Socket::connect_with(address, &[]).unwrap()
    }

    /// The same with more headers; an error if the daemon does not open a WebSocket.
    pub fn connect_with(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Socket, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let uri = format!("ws://{address}/ws");
        let mut builder = ClientBuilder::new().uri(&uri).unwrap();
        for (name, value) in headers.iter().copied().chain([("sec-websocket-protocol", PROTOCOL)]) {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            builder = builder.add_header(name, value).unwrap();
        }
        let connected = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::time::timeout(DEADLINE, builder.connect_on(stream)).await.unwrap()
        });
        let (stream, response) = connected.map_err(|error| error.to_string())?;
        assert_eq!(response.headers()["sec-websocket-protocol"], PROTOCOL);
        let (lines, pushes) = (VecDeque::new(), VecDeque::new());
        Ok(Socket { runtime, stream, lines, next_tag: 1, pushes, closed: None })
    }

    /// Sends a message as it is.
    pub fn send(&mut self, message: Message) {
        self.try_send(message).unwrap();
    }

    pub fn try_send(&mut self, message: Message) -> Result<(), String> {
        self.runtime.block_on(self.stream.send(message)).map_err(|error| error.to_string())
    }

    /// Sends a request with a tag, which it returns.
    pub fn request(&mut self, mut request: Value) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        request["tag"] = tag.into();
        self.send(Message::text(request.to_string()));
        tag
    }

    /// The next object; none once the WebSocket is closed or broken.
    pub fn next(&mut self) -> Option<Value> {
        self.next_line().map(|line| serde_json::from_str(&line).expect(&line))
    }

    /// The same as it was sent.
    pub fn next_line(&mut self) -> Option<String> {
        while self.lines.is_empty() {
            let message = self.runtime.block_on(async {
                tokio::time::timeout(DEADLINE, self.stream.next()).await.expect("a message in time")
            });
            let message = message?.ok()?;
            if let Some((code, reason)) = message.as_close() {
                self.closed.get_or_insert(Closed { code: code.into(), reason: reason.to_owned() });
            }
            if let Some(text) = message.as_text() {
                self.lines.extend(text.split('\n').map(str::to_owned));
            }
        }
        self.lines.pop_front()
    }

    /// The objects of the answer with this tag; its last is the end of it.
    pub fn answer(&mut self, tag: u64) -> Vec<Value> {
        let mut answer = Vec::new();
        loop {
            let object = self.next().unwrap_or_else(|| panic!("closed: {:?}, after {answer:?}", self.closed));
            if object.get("tag") != Some(&tag.into()) {
                self.pushes.push_back(object);
                continue;
            }
            let kind = object["type"].as_str().unwrap().to_owned();
            answer.push(object);
            if ["ok", "error", "end"].contains(&&*kind) {
                return answer;
            }
        }
    }

    /// Sends a request and returns the end of its answer.
    pub fn ask(&mut self, request: Value) -> Value {
        let tag = self.request(request);
        self.answer(tag).pop().unwrap()
    }

    /// The next push.
    pub fn push(&mut self) -> Value {
        self.pushes.pop_front().or_else(|| self.next()).unwrap_or_else(|| panic!("closed: {:?}", self.closed))
    }

    /// Reads up to the end; returns the last object, and how the WebSocket was closed.
    pub fn rest(&mut self) -> (Option<Value>, Option<Closed>) {
        let mut last = None;
        while let Some(object) = self.next() {
            last = Some(object);
        }
        (last, self.closed.take())
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), ""));
    }

    /// Whether nothing arrives for a while, during which pings are answered.
    pub fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.runtime.block_on(async { tokio::time::timeout(time, self.stream.next()).await.is_err() })
    }
}
