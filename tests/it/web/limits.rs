//! Connections of the web count in the limits of all connections.

use std::net::{SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, Socket as RawSocket, Type};

use crate::common::http::{Answer, get, request_on};
use crate::common::web::{Closed, Socket, Web};
use crate::common::{DEADLINE, Lines, connect, wait_until};

#[test]
fn one_connection_too_many_is_told_so_whatever_it_speaks() {
    let web = Web::start_with(&["--max-connections", "2"]);
    let mut held = Vec::new();
    // The one that asked whether the daemon is ready may still be on its way out.
    wait_until("two connections are there", || {
        let mut socket = web.socket();
        if socket.ask(json!({"do": "ping"}))["type"] == "ok" {
            held.push(socket);
        }
        held.len() == 2
    });
    let refused = web.get("/healthz");
    assert_eq!((refused.status, &*refused.headers["content-type"]), (503, "application/problem+json"));
    assert!(
        refused.body.contains("at most 2 connections") && refused.body.contains("\"code\":\"limit\""),
        "{refused:?}"
    );
    assert!(refused.headers.contains_key("retry-after") && refused.headers.contains_key("content-security-policy"));
    // A browser tells a page nothing of a response that is no WebSocket, so that it gets one.
    let (last, closed) = web.socket().rest();
    assert_eq!(last, Some(json!({"type": "error", "code": "limit", "text": "at most 2 connections"})));
    assert_eq!(closed, Some(Closed { code: 1013, reason: "at most 2 connections".to_owned() }));
    // Those for lines count with them.
    let mut lines = Lines::connect(web.daemon.address());
    lines.send("PING");
    assert_eq!(lines.rest(), "ERR limit at most 2 connections\n");
    held.pop();
    wait_until("the place is free", || web.get("/healthz").status == 200);
    assert_eq!(held[0].ask(json!({"do": "ping"}))["type"], "ok");
}

/// A connection from another of this machine's addresses.
fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn connections_from_one_address_are_bounded_over_all_listeners() {
    let web = Web::start_with(&["--max-connections-per-address", "2"]);
    let from_other = |path: &str| {
        let mut stream = connect_from([127, 0, 0, 2], web.address);
        request_on(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!(from_other("/healthz").status, 200);
    let mut lines = Lines::over(connect_from([127, 0, 0, 2], web.daemon.address()));
    lines.expect("PING", "OK pong");
    let kept = connect_from([127, 0, 0, 2], web.address);
    let mut refused: Option<Answer> = None;
    wait_until("two connections are there", || {
        let answer = from_other("/healthz");
        let is_refused = answer.status != 200;
        refused = Some(answer);
        is_refused
    });
    let refused = refused.unwrap();
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.body.contains("at most 2 connections from one address"));
    assert_eq!(get(web.address, "/healthz").status, 200);
    drop(kept);
    wait_until("the place is free", || from_other("/healthz").status == 200);
}

/// The limit of bodies may be changed while a WebSocket is open, and one person's rate counts there.
#[test]
fn a_persons_rate_counts_over_websockets_too() {
    let web = Web::start_with(&["--max-requests-per-second", "5"]);
    let mut alice = web.hello("alice");
    let mut other: Socket = web.hello("alice/other");
    let answers: Vec<_> = (0..40)
        .map(|number| {
            let socket = if number % 2 == 0 { &mut alice } else { &mut other };
            socket.ask(json!({"do": "ping"}))
        })
        .collect();
    let limited: Vec<_> = answers.iter().filter(|answer| answer["code"] == "limit").collect();
    assert!(!limited.is_empty(), "{answers:?}");
    assert!(limited.iter().all(|answer| answer["wait_ms"].as_u64().is_some()), "{limited:?}");
}

#[test]
fn a_peer_that_does_not_read_its_response_takes_one_place_and_little_else() {
    let web = Web::start();
    let mut stream = connect(web.address);
    let many = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000_000);
    // Once the sockets are full, nothing more is taken.
    stream.set_write_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
    assert!(std::io::Write::write_all(&mut stream, many.as_bytes()).is_err());
    assert_eq!(web.get("/healthz").status, 200);
}
