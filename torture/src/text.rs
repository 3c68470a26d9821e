//! Realistic message texts: chat lines, and what programs send.

use std::sync::OnceLock;

use crate::load::Bodies;

/// The variable that names a directory of real chat logs to take lines from.
const LOGS: &str = "DANTOK_TEST_LOGS";

/// Lines to use if there are no logs.
const PHRASES: [&str; 6] = [
    "has anybody tried the new kernel on a thinkpad?",
    "it works here, but the wireless card needs its firmware",
    "네, 저도 확인했습니다 👍",
    "paste the last lines of the log please",
    "deploy 4711 finished in 312 s; 0 errors",
    "brb",
];

fn lines() -> &'static [String] {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES.get_or_init(|| {
        let mut lines = Vec::new();
        let Some(dir) = std::env::var_os(LOGS) else { return PHRASES.map(str::to_owned).to_vec() };
        let mut files: Vec<_> =
            std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "log")) {
            let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
            lines.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        }
        if lines.is_empty() { PHRASES.map(str::to_owned).to_vec() } else { lines }
    })
}

/// A random line.
pub fn line(random: &mut fastrand::Rng) -> &'static [u8] {
    let lines = lines();
    lines[random.usize(..lines.len())].as_bytes()
}

/// Random content for a message.
pub fn content(bodies: Bodies, random: &mut fastrand::Rng) -> Vec<u8> {
    let line = line(random);
    match bodies {
        Bodies::Lines => line.to_vec(),
        Bodies::Large => repeated(line, random.usize(16 * 1024..60 * 1024)),
        Bodies::Mixed => match random.u8(..20) {
            0 => repeated(line, random.usize(1024..60 * 1024)),
            1 => (0..random.usize(..300)).map(|_| random.u8(..)).collect(),
            2 => Vec::new(),
            _ => line.to_vec(),
        },
    }
}

/// A line repeated to fill this many bytes.
pub fn repeated(line: &[u8], bytes: usize) -> Vec<u8> {
    let mut text = [line, b" "].concat().repeat(bytes / (line.len() + 1) + 1);
    text.truncate(bytes);
    text
}
