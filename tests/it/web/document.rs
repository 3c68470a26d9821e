//! What protocol.md says about WebSockets.

use std::collections::BTreeSet;

use dantok::limits::{PING_EVERY, SILENCE_MAX, SMALL_FRAMES_MAX, SMALL_FRAMES_WITHIN};
use tokio_websockets::Message;

use crate::common::web::Web;
use crate::protocol_doc::blocks::{blocks, read, same};

/// The codes of the table of close codes.
pub fn close_codes() -> BTreeSet<u16> {
    let doc = read("protocol.md");
    let table = doc.lines().skip_while(|line| !line.starts_with("| close code |")).skip(2);
    let codes = table.map_while(|row| row.strip_prefix("| ")?.split_once(' ')?.0.parse().ok());
    codes.collect()
}

#[test]
fn the_example_is_played() {
    let web = Web::start();
    let mut socket = web.socket();
    let mut played = 0;
    for block in blocks(&read("protocol.md")).filter(|block| block.kind == "websocket") {
        for (number, line) in block.lines() {
            match line.split_once(": ").unwrap() {
                ("C", request) => socket.send(Message::text(request.to_owned())),
                ("S", expected) => {
                    let line = socket.next_line().unwrap();
                    assert!(same(expected, &line), "protocol.md, line {number}: {line}");
                    played += 1;
                }
                _ => panic!("protocol.md, line {number}: {line}"),
            }
        }
    }
    assert!(played > 5);
    assert_eq!(socket.rest().1.unwrap().code, 1000);
}

#[test]
fn the_figures_are_right() {
    let doc = read("protocol.md").replace('\n', " ");
    let (ping, silence, within) = (PING_EVERY.as_secs(), SILENCE_MAX.as_secs(), SMALL_FRAMES_WITHIN.as_secs());
    for sentence in [
        format!("was silent for {ping} s, and gives up one that was silent for {silence} s."),
        format!("More than {SMALL_FRAMES_MAX} control frames and fragments under 128 bytes within {within} s close"),
    ] {
        assert!(doc.contains(&sentence), "{sentence}");
    }
    assert_eq!(close_codes(), [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013].into());
}
