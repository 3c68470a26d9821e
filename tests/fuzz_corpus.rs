//! Runs the inputs found by fuzzing and the initial ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

fn each(target: &str, run: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", dir.display());
    for input in inputs {
        println!("{}", input.display());
        run(&std::fs::read(&input).unwrap());
    }
}

#[test]
fn the_line_decoder_handles_the_corpus() {
    each("line", fuzz::line);
}

#[test]
fn the_frame_decoders_handle_the_corpus() {
    each("frame", fuzz::frame);
}

#[test]
fn sessions_handle_the_corpus() {
    each("session", fuzz::session);
}

#[test]
fn requests_in_json() {
    each("json_request", fuzz::json_request);
}

#[cfg(feature = "web")]
#[test]
fn http_handles_the_corpus() {
    each("http", fuzz::http);
}

#[cfg(feature = "web")]
#[test]
fn websockets_handle_the_corpus() {
    each("websocket", fuzz::websocket);
}
