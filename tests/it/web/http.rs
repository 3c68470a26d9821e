//! HTTP as bytes: what is answered, what is refused, and that nothing is taken for a request that is none.

use std::io::{Read, Write};
use std::net::Shutdown;

use serde_json::Value;

use crate::common::connect;
use crate::common::http::Answer;
use crate::common::web::{PROTOCOL, Socket, Web};

/// Sends bytes as they are and no more, and returns everything up to the end of the connection.
fn raw(web: &Web, bytes: &[u8]) -> String {
    let mut stream = connect(web.address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// The statuses of all responses in what was read.
fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ").skip(1).map(|rest| rest[..3].parse().unwrap()).collect()
}

/// An error's code, as problem details have it.
fn code(answer: &Answer) -> String {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["status"], answer.status);
    for member in ["type", "title", "detail"] {
        assert!(!body[member].as_str().unwrap().is_empty(), "{body}");
    }
    body["code"].as_str().unwrap().to_owned()
}

#[test]
fn the_page_is_served_and_kept_only_as_long_as_it_is_the_same() {
    let web = Web::start();
    let page = web.get("/");
    assert_eq!((page.status, &*page.headers["content-type"]), (200, "text/html; charset=utf-8"));
    assert_eq!(page.headers["cache-control"], "no-cache");
    assert_eq!(page.headers["content-length"], page.body.len().to_string());
    assert_eq!(web.get("/index.html").body, page.body);
    let host = format!("Host: {}", web.address);
    let tag = &page.headers["etag"];
    for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let answer = web.ask("GET /", &[&host, &format!("If-None-Match: {known}")]);
        assert_eq!((answer.status, &*answer.body, &answer.headers["etag"]), (304, "", tag), "{known}");
    }
    assert_eq!(web.ask("GET /", &[&host, "If-None-Match: \"other\""]).status, 200);
    let head = web.ask("HEAD /", &[&host]);
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.headers["content-length"], page.headers["content-length"]);
}

#[test]
fn what_is_not_there_is_told_in_json() {
    let web = Web::start();
    let host = format!("Host: {}", web.address);
    for path in ["/nothing", "/assets", "/assets/../index.html", "/%2e%2e/etc/passwd", "//", "/healthz/", "/ws/x"] {
        let answer = web.get(path);
        assert_eq!((answer.status, &*code(&answer)), (404, "bad-command"), "{path}");
    }
    for (method, path) in [("POST", "/"), ("DELETE", "/healthz"), ("PUT", "/ws"), ("OPTIONS", "/"), ("BREW", "/readyz")]
    {
        let answer = web.ask(&format!("{method} {path}"), &[&host]);
        assert_eq!((answer.status, &*code(&answer)), (405, "bad-command"), "{method} {path}");
        assert_eq!(answer.headers["allow"], "GET, HEAD");
    }
    assert_eq!(web.ask("POST /nothing", &[&host]).status, 404);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(web.get(path).status, 200);
    }
}

#[test]
fn every_response_has_the_security_headers() {
    let web = Web::start();
    let host = format!("Host: {}", web.address);
    for answer in [
        web.get("/"),
        web.get("/healthz"),
        web.get("/nothing"),
        web.get("/ws"),
        web.ask("POST /", &[&host]),
        web.ask("GET /", &["Host: elsewhere.example"]),
        web.ask("GET /", &[]),
    ] {
        let policy = &answer.headers["content-security-policy"];
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|one| one == directive), "{answer:?}");
        }
        assert!(!policy.contains("unsafe"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.headers[name], value);
        }
        assert!(answer.headers.contains_key("cache-control"));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let policy = &web.get("/").headers["content-security-policy"];
    assert!(policy.contains(&format!("connect-src 'self' ws://{0} wss://{0};", web.address)), "{policy}");
}

#[test]
fn only_its_own_names_are_served() {
    let web = Web::start_with(&["--web-host", "chat.example.org", "--web-host", "Other.Example."]);
    let port = web.address.port();
    for host in [
        "localhost",
        &format!("localhost:{port}"),
        "LOCALHOST",
        "127.0.0.1",
        "192.0.2.1:80",
        "[::1]",
        "[2001:db8::1]:7480",
        "chat.example.org",
        "Chat.Example.ORG:443",
        "chat.example.org.",
        "other.example",
    ] {
        assert_eq!(web.ask("GET /healthz", &[&format!("Host: {host}")]).status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.example.localhost",
        "chat.example.org.evil.example",
        "127.0.0.1.nip.io",
    ] {
        let answer = web.ask("GET /healthz", &[&format!("Host: {host}")]);
        assert_eq!((answer.status, &*code(&answer)), (421, "denied"), "{host}");
        assert!(answer.body.contains("--web-host"));
    }
    for hosts in [
        &[][..],
        &["Host: localhost", "Host: localhost"],
        &["Host: localhost", "Host: evil.example"],
        &["Host: "],
        &["Host: a b"],
        &["Host: localhost/x"],
        &["Host: localhost\u{e9}"],
    ] {
        assert_eq!(web.ask("GET /healthz", hosts).status, 400, "{hosts:?}");
    }
    assert_eq!(web.ask("GET /healthz", &["Host: user@localhost"]).status, 421);
    // A target with a host names the same.
    assert_eq!(web.ask("GET http://localhost/healthz", &["Host: localhost"]).status, 200);
    assert_eq!(web.ask("GET http://evil.example/healthz", &["Host: localhost"]).status, 400);
}

#[test]
fn requests_of_other_pages_are_refused() {
    let web = Web::start_with(&["--web-host", "chat.example.org"]);
    let own = format!("http://{}", web.address);
    let opened = |headers: &[(&'static str, &str)]| Socket::connect_with(web.address, headers).is_ok();
    assert!(opened(&[]));
    assert!(opened(&[("origin", &own), ("sec-fetch-site", "same-origin")]));
    let (other_port, https) = (format!("http://{}:1", web.address.ip()), own.replace("http:", "https:"));
    for origin in ["http://evil.example", "null", "", &other_port, &https, "http://127.0.0.1.evil.example"] {
        assert!(!opened(&[("origin", origin)]), "{origin}");
    }
    for site in ["cross-site", "same-site", "unheard-of"] {
        assert!(!opened(&[("sec-fetch-site", site)]), "{site}");
    }
    // Anything that may change something is refused before its route is asked.
    let unsafe_request = |host: &str, origin: &str| {
        web.ask("POST /healthz", &[&format!("Host: {host}"), &format!("Origin: {origin}")]).status
    };
    for (host, origin) in [
        ("localhost:7480", "http://localhost:7480"),
        ("chat.example.org", "http://chat.example.org"),
        ("chat.example.org:80", "http://Chat.Example.org"),
        ("[::1]:7480", "http://[::1]:7480"),
    ] {
        assert_eq!(unsafe_request(host, origin), 405, "{host} {origin}");
        assert_eq!(unsafe_request(host, "http://evil.example"), 403, "{host}");
    }
    assert_eq!(web.ask("POST /nothing", &["Host: localhost", "Sec-Fetch-Site: cross-site"]).status, 403);
    // A page of another origin may read nothing, but a link may lead here.
    assert_eq!(web.ask("GET /", &["Host: localhost", "Sec-Fetch-Site: cross-site"]).status, 200);
}

#[test]
fn a_websocket_is_asked_for_in_the_right_way() {
    let web = Web::start();
    let host = format!("Host: {}", web.address);
    let upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let protocol = &*format!("Sec-WebSocket-Protocol: {PROTOCOL}");
    let ask = |lines: &[&str]| {
        let lines = [&[&*host], lines].concat().join("\r\n");
        raw(&web, format!("GET /ws HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes())
    };
    for lines in [
        &[][..],
        &["Connection: close"],
        &["Connection: close", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key, protocol],
        &["Connection: Upgrade", "Upgrade: h2c", "Sec-WebSocket-Version: 13", key, protocol],
        &["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8", key, protocol],
    ] {
        let answer = ask(lines);
        assert_eq!(statuses(&answer), [426], "{lines:?}: {answer}");
        assert!(answer.contains("sec-websocket-version: 13"));
    }
    for lines in [
        &[key][..],
        &[protocol],
        &[key, "Sec-WebSocket-Protocol: dantok.json.v2"],
        &[key, key, protocol],
        &["Sec-WebSocket-Key: c2hvcnQ=", protocol],
        &["Sec-WebSocket-Key: not base64", protocol],
        &[key, protocol, "Content-Length: 2"],
    ] {
        let answer = crate::common::http::answer(&ask(&[&upgrade[..], lines].concat()));
        assert_eq!((answer.status, &*code(&answer)), (400, "bad-argument"), "{lines:?}");
    }
    // The subprotocol may be one of several, and words may come in any case.
    let several = format!("Sec-WebSocket-Protocol: chat, {PROTOCOL}");
    let mut stream = connect(web.address);
    let lines = ["connection: keep-alive, UPGRADE", "upgrade: WebSocket", "sec-websocket-version: 13", key, &several]
        .join("\r\n");
    stream.write_all(format!("GET /ws HTTP/1.1\r\n{host}\r\n{lines}\r\n\r\n").as_bytes()).unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 101");
}

#[test]
fn requests_on_one_connection_are_answered_in_order_even_to_who_stops_sending() {
    let web = Web::start();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut stream = connect(web.address);
    stream.write_all([request("/healthz"), request("/nothing"), request("/readyz")].concat().as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(statuses(&text), [200, 404, 200]);
}

#[test]
fn nothing_is_smuggled_in_behind_a_request() {
    let web = Web::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}");
    for (what, request, expected) in [
        // Whatever a proxy counts by, nothing behind such a body is a request.
        ("CL.TE", post("Content-Length: 4\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{hidden}")), 405),
        ("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", &format!("0\r\n\r\n{hidden}")), 405),
        ("TE alone", post("Transfer-Encoding: chunked", &format!("0\r\n\r\n{hidden}")), 405),
        ("two lengths", post("Content-Length: 0\r\nContent-Length: 44", hidden), 400),
        ("a list of lengths", post("Content-Length: 0, 44", hidden), 400),
        ("a length with a sign", post("Content-Length: +0", hidden), 400),
        ("a negative length", post("Content-Length: -1", hidden), 400),
        ("a hexadecimal length", post("Content-Length: 0x2c", hidden), 400),
        ("an encoding that is not chunked", post("Transfer-Encoding: identity", hidden), 400),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip", hidden), 400),
        ("a disguised encoding", post("Transfer-Encoding: xchunked", hidden), 400),
        (
            "an encoding in HTTP/1.0",
            post("Transfer-Encoding: chunked", hidden)
                .replace("HTTP/1.1\r\nHost: localhost\r\nT", "HTTP/1.0\r\nHost: localhost\r\nT"),
            400,
        ),
        ("a space before the colon", post("Content-Length : 44", hidden), 400),
        ("a folded line", post("X: a\r\n Content-Length: 44", hidden), 400),
        ("a bare CR", post("X: a\rContent-Length: 44", hidden), 400),
        ("a NUL", post("X: a\0b", hidden), 400),
        ("a name with a space", post("X Y: a", hidden), 400),
        ("no name", post(": a", hidden), 400),
    ] {
        let answer = raw(&web, request.as_bytes());
        assert_eq!(statuses(&answer), [expected], "{what}: {answer}");
    }
    // Chunks that a lenient reader would take.
    for (what, body) in [
        ("a length that ends in LF", format!("0\n\r\n{hidden}")),
        ("a length too large", format!("ffffffffffffffffff\r\n{hidden}")),
        ("a length with a sign", format!("-1\r\n{hidden}")),
        ("a length that is none", format!("xyz\r\n\r\n{hidden}")),
        ("data longer than its length", format!("1\r\nab\r\n0\r\n\r\n{hidden}")),
    ] {
        let answer = raw(&web, post("Transfer-Encoding: chunked", &body).as_bytes());
        assert!(!answer.contains(" 404 ") && statuses(&answer).len() == 1, "{what}: {answer}");
    }
    // A line that ends in LF alone is a line, as RFC 9112 allows, and not part of the one before.
    let answer = raw(&web, b"GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n");
    assert_eq!(statuses(&answer), [200]);
    let two_hosts =
        raw(&web, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&two_hosts), [400]);
}

#[test]
fn what_is_not_http_is_answered_once_and_closed() {
    let web = Web::start();
    for bytes in [
        &b"HELLO alice\r\n\r\n"[..],
        b"{\"do\":\"hello\",\"client\":\"alice\"}\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        b"\r\n\r\n\r\n\0\0\0\0",
    ] {
        let answer = raw(&web, bytes);
        assert_eq!(statuses(&answer), [400], "{bytes:?}: {answer}");
    }
    // A whole line in HTTP/1.0 is HTTP.
    let answer = raw(&web, b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 ") || answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(web.get("/healthz").status, 200);
}

#[test]
fn heads_are_bounded_in_bytes_and_in_fields_and_in_time() {
    let web = Web::start_with(&["--hello-timeout", "500ms"]);
    let many: String = (0..63).map(|number| format!("X-{number}: y\r\n")).collect();
    let request = |fields: &str| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let long = |bytes: usize| format!("X: {}\r\nConnection: close\r\n", "y".repeat(bytes));
    for (request, expected) in [
        (request(&long(15_000)), 200),
        (request(&long(17_000)), 431),
        (request(&long(10_000_000)), 431),
        (request(&many), 200),
        (request(&[&*many, "Y: z\r\n"].concat()), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "y".repeat(20_000)), 431),
    ] {
        let mut stream = connect(web.address);
        // It may be closed before it has taken all.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(statuses(&text), [expected], "{} bytes: {text}", request.len());
    }
    // Slow heads, and connections that say nothing or nothing more, end by themselves.
    for begun in ["", "GET / HTTP/1.1\r\nHost: loc", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = connect(web.address);
        stream.write_all(begun.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(statuses(&answer).len(), usize::from(begun.ends_with("\r\n\r\n")), "{answer}");
    }
    let mut slow = connect(web.address);
    let mut sent = 0;
    crate::common::wait_until("a byte at a time is too slow", || {
        sent += 1;
        slow.write_all(b"X").and_then(|()| slow.flush()).is_err() || crate::common::http::is_over(&slow)
    });
    assert!(sent > 1);
}
