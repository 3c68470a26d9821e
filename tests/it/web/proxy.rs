//! Behind a reverse proxy: whose word is taken, and for what.

use serde_json::json;

use crate::common::wait_until;
use crate::common::web::{Socket, Web};

const TRUSTED: [&str; 2] = ["--web-trusted-proxy", "127.0.0.1"];

fn opened(web: &Web, headers: &[(&'static str, &str)]) -> Result<Socket, String> {
    Socket::connect_with(web.address, headers)
}

#[test]
fn the_limit_of_an_address_counts_who_the_proxy_names() {
    let web = Web::start_with(&[&TRUSTED[..], &["--max-connections-per-address", "2"]].concat());
    let one = ("x-forwarded-for", "198.51.100.7");
    let mut held: Vec<Socket> = (0..2).map(|_| opened(&web, &[one]).unwrap()).collect();
    assert!(opened(&web, &[one]).is_err());
    // What the client has written in front of that is nobody's word.
    assert!(opened(&web, &[("x-forwarded-for", "203.0.113.1, 198.51.100.7")]).is_err());
    assert!(opened(&web, &[("forwarded", "for=203.0.113.1, for=\"198.51.100.7:4711\"")]).is_err());
    let refused = web.ask("GET /healthz", &["Host: localhost", "X-Forwarded-For: 198.51.100.7"]);
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("at most 2 connections from one address"));
    // Others have places of their own, however many the proxy has connected.
    let others: Vec<Socket> =
        (1..=5).map(|host| opened(&web, &[("x-forwarded-for", &format!("192.0.2.{host}"))]).unwrap()).collect();
    assert_eq!(web.ask("GET /healthz", &["Host: localhost", "X-Forwarded-For: 192.0.2.9"]).status, 200);
    drop(others);
    // A place that is given up is taken.
    held.pop();
    wait_until("the place is free", || opened(&web, &[one]).is_ok());
}

#[test]
fn nobody_else_is_believed() {
    for flags in [&[][..], &["--web-trusted-proxy", "192.0.2.1,10.0.0.0/8"]] {
        let web = Web::start_with(&[flags, &["--max-connections-per-address", "3"]].concat());
        let held: Vec<Socket> =
            (1..=2).map(|host| opened(&web, &[("x-forwarded-for", &format!("192.0.2.{host}"))]).unwrap()).collect();
        let mut last = None;
        wait_until("two connections are there, and one more at a time", || {
            last = opened(&web, &[("x-forwarded-for", "192.0.2.3")]).ok();
            last.is_some()
        });
        assert_eq!(last.as_mut().unwrap().ask(json!({"do": "ping"}))["type"], "ok");
        // All of them are this machine's.
        assert_eq!(web.ask("GET /healthz", &["Host: localhost", "X-Forwarded-For: 192.0.2.4"]).status, 429);
        drop(held);
        wait_until("they are gone", || web.ask("GET /healthz", &["Host: localhost"]).status == 200);
        // Nor does anybody else say what the host is.
        assert_eq!(web.ask("GET /healthz", &["Host: evil.example", "X-Forwarded-Host: localhost"]).status, 421);
        assert_eq!(web.ask("GET /healthz", &["Host: localhost", "X-Forwarded-Host: evil.example"]).status, 200);
    }
}

#[test]
fn the_host_and_protocol_are_those_that_the_browser_sees() {
    let web = Web::start_with(&[&TRUSTED[..], &["--web-host", "chat.example.org"]].concat());
    let (host, proto) = (("x-forwarded-host", "chat.example.org"), ("x-forwarded-proto", "https"));
    let origin = ("origin", "https://chat.example.org");
    assert!(opened(&web, &[host, proto, origin]).is_ok());
    assert!(opened(&web, &[("forwarded", "for=192.0.2.1;host=chat.example.org;proto=https"), origin]).is_ok());
    // A proxy that does not say which protocol it speaks may speak either.
    assert!(opened(&web, &[host, origin]).is_ok());
    assert!(opened(&web, &[host, proto, ("origin", "http://chat.example.org")]).is_err());
    assert!(opened(&web, &[host, proto, ("origin", "https://evil.example")]).is_err());
    assert!(opened(&web, &[proto, origin]).is_err(), "without the host, the origin is another");
    for (header, status) in [
        ("X-Forwarded-Host: evil.example", 421),
        ("X-Forwarded-Host: a b", 400),
        ("X-Forwarded-For: somewhere", 400),
        ("X-Forwarded-Proto: gopher", 400),
        ("Forwarded: for=\"1.2.3.4", 400),
    ] {
        assert_eq!(web.ask("GET /healthz", &["Host: localhost", header]).status, status, "{header}");
    }
    let page = web.ask("GET /", &["Host: localhost", "X-Forwarded-Host: chat.example.org"]);
    assert!(page.headers["content-security-policy"].contains("wss://chat.example.org;"));
}

#[test]
fn everything_is_below_the_path() {
    let web = Web::start_with(&["--web-path", "/team/chat/"]);
    for (path, status) in [
        ("/team/chat/", 200),
        ("/team/chat/index.html", 200),
        ("/team/chat/healthz", 200),
        ("/team/chat/ws", 426),
        ("/team/chat/nothing", 404),
        ("/", 404),
        ("/healthz", 404),
        ("/team", 404),
        ("/team/chatter", 404),
        ("/team/chat//", 404),
    ] {
        assert_eq!(web.get(path).status, status, "{path}");
    }
    let redirect = web.get("/team/chat");
    assert_eq!((redirect.status, &*redirect.headers["location"]), (308, "chat/"));
}
