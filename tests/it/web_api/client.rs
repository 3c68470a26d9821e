//! A blocking HTTP client, as little of one as the tests need: requests one after another on a connection, and responses that go on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::description;
use crate::common::connect;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The seqs of the messages in a page.
    pub fn seqs(&self) -> Vec<u64> {
        assert_eq!(self.status, 200, "{self:?}");
        let page = self.json();
        let messages = page["messages"].as_array().unwrap().iter().filter(|item| item["type"] == "message");
        messages.map(|message| message["seq"].as_u64().unwrap()).collect()
    }
}

/// How long the body of a response is.
#[derive(Debug)]
enum Body {
    None,
    /// So many more bytes.
    Length(usize),
    Chunked,
}

pub struct Http {
    pub stream: TcpStream,
    address: SocketAddr,
    unread: Vec<u8>,
    body: Body,
    /// What was read of the body, and of no line yet.
    text: Vec<u8>,
    /// Headers of every request.
    headers: Vec<String>,
}

impl Http {
    pub fn to(address: SocketAddr) -> Http {
        let (unread, text, headers) = (Vec::new(), Vec::new(), Vec::new());
        Http { stream: connect(address), address, unread, body: Body::None, text, headers }
    }

    /// As a client, where no tokens are used.
    pub fn of(address: SocketAddr, client: &str) -> Http {
        Http { headers: vec![format!("Dantok-Client: {client}")], ..Http::to(address) }
    }

    /// Sends a request; a body has its length.
    pub fn send(&mut self, request: &str, headers: &[&str], body: Option<&[u8]>) {
        let mut head = format!("{request} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for header in self.headers.iter().map(String::as_str).chain(headers.iter().copied()) {
            head += &format!("{header}\r\n");
        }
        if let Some(body) = body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let bytes = [format!("{head}\r\n").as_bytes(), body.unwrap_or_default()].concat();
        self.stream.write_all(&bytes).unwrap();
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], None)
    }

    pub fn post(&mut self, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        self.ask(&format!("POST {path}"), headers, Some(body))
    }

    pub fn ask(&mut self, request: &str, headers: &[&str], body: Option<&[u8]>) -> Answer {
        self.send(request, headers, body);
        let answer = self.answer(request.starts_with("HEAD "));
        let content = answer.headers.get("content-type").map(String::as_str);
        description::check(request, answer.status, content, &answer.body);
        answer
    }

    /// A whole response.
    pub fn answer(&mut self, is_head: bool) -> Answer {
        let (status, headers) = self.head();
        let mut body = Vec::new();
        while let Some(part) = if is_head { None } else { self.part() } {
            body.extend(part);
        }
        Answer { status, headers, body }
    }

    /// The head of the next response.
    pub fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let head = loop {
            let head = String::from_utf8(self.until(b"\r\n\r\n").expect("a response")).unwrap();
            if !head.starts_with("HTTP/1.1 100 ") {
                break head;
            }
        };
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        };
        let headers: BTreeMap<String, String> = lines.filter(|line| !line.is_empty()).map(header).collect();
        self.body = match headers.get("content-length") {
            Some(length) => Body::Length(length.parse().unwrap()),
            None if headers.contains_key("transfer-encoding") => Body::Chunked,
            None => Body::None,
        };
        self.text.clear();
        (status, headers)
    }

    /// The next part of a body; none at its end. A body that is cut off fails.
    pub fn part(&mut self) -> Option<Vec<u8>> {
        self.try_part().expect("a whole body")
    }

    /// The same; an error if the body is cut off.
    pub fn try_part(&mut self) -> Result<Option<Vec<u8>>, String> {
        match self.body {
            Body::None => Ok(None),
            Body::Length(0) => {
                self.body = Body::None;
                Ok(None)
            }
            Body::Length(length) => {
                if self.unread.is_empty() && !self.read() {
                    return Err(format!("{length} bytes are missing"));
                }
                let part: Vec<u8> = self.unread.drain(..length.min(self.unread.len())).collect();
                self.body = Body::Length(length - part.len());
                Ok(Some(part))
            }
            Body::Chunked => {
                let line = String::from_utf8(self.until(b"\r\n").ok_or("no chunk")?).unwrap();
                let length = usize::from_str_radix(line.trim_end(), 16).map_err(|error| error.to_string())?;
                while self.unread.len() < length + 2 {
                    if !self.read() {
                        return Err("a chunk is cut off".to_owned());
                    }
                }
                let chunk: Vec<u8> = self.unread.drain(..length).collect();
                self.unread.drain(..2);
                if length == 0 {
                    self.body = Body::None;
                    return Ok(None);
                }
                Ok(Some(chunk))
            }
        }
    }

    /// The next line of a body; none at its end.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned());
            }
            let part = self.part()?;
            self.text.extend(part);
        }
    }

    /// The next line that is an object.
    pub fn object(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            if !line.is_empty() {
                return Some(serde_json::from_str(&line).expect(&line));
            }
        }
    }

    /// The next event: its name, its id, and its data.
    pub fn event(&mut self) -> Option<(String, String, Value)> {
        let (mut name, mut id, mut data) = (String::new(), String::new(), None);
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("id", text)) => id = text.to_owned(),
                Some(("data", text)) => data = Some(serde_json::from_str(text).expect(text)),
                None if line.is_empty() => {
                    if let Some(data) = data.take() {
                        return Some((name, id, data));
                    }
                }
                _ => assert!(line.starts_with(':'), "{line}"),
            }
        }
    }

    /// Says that nothing more is sent.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            if !self.read() {
                return None;
            }
        }
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let read = self.stream.read(&mut bytes).unwrap_or(0);
        self.unread.extend_from_slice(&bytes[..read]);
        read > 0
    }
}
