//! What telnet clients send between and within lines: negotiation and keys (RFC 854, 855 and 860). Every option is refused.
//!
//! A script may send text that others wrote. So a command that is answered with a line, or that changes which bytes make up a line,
//! counts as telnet only if the client has used telnet at the start of a line before. Otherwise its bytes belong to the line,
//! which then is not UTF-8.

use std::collections::BTreeSet;

/// Begins every telnet command.
pub(super) const IAC: u8 = 0xff;
/// The lowest command, EOF.
const LEAST: u8 = 236;
const SUSP: u8 = 237;
const ABORT: u8 = 238;
const SE: u8 = 240;
const BRK: u8 = 243;
const IP: u8 = 244;
const AO: u8 = 245;
const AYT: u8 = 246;
const EC: u8 = 247;
const EL: u8 = 248;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const TIMING_MARK: u8 = 6;

/// What an IAC begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Not known until more bytes arrive.
    More,
    /// This many bytes encode one byte of text.
    Text(usize),
    /// This many bytes are a command.
    Command(usize, Act),
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Sends these bytes as they are.
    Answer([u8; 3]),
    /// Sends a line that shows that the daemon is there.
    Show,
    /// Erases the last character of the line so far.
    EraseCharacter,
    /// Erases the line so far.
    EraseLine,
}

/// The state of a subnegotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    More,
    Done,
    TooLong,
}

/// A connection's telnet state.
#[derive(Clone, Debug, Default)]
pub(super) struct Telnet {
    /// The client has used telnet at the start of a line.
    is_spoken: bool,
    /// The answers already given, so that no option is refused twice.
    refused: BTreeSet<[u8; 3]>,
    /// In a subnegotiation, of which this many bytes have arrived.
    within: Option<usize>,
    /// Interrupt keys.
    pub(super) interrupts: u64,
}

impl Telnet {
    pub(super) fn is_within(&self) -> bool {
        self.within.is_some()
    }

    pub(super) fn is_spoken(&self) -> bool {
        self.is_spoken
    }

    /// What the IAC at the start of `bytes` begins.
    pub(super) fn read(&mut self, bytes: &[u8], is_line_start: bool) -> Found {
        let Some(&command) = bytes.get(1) else { return Found::More };
        let is_trusted = is_line_start || self.is_spoken;
        let found = match command {
            IAC => return Found::Text(2),
            WILL..=DONT => match bytes.get(2) {
                None => return Found::More,
                // More likely the end of a line in another encoding than an option from 1973.
                Some(b'\n') if !is_trusted => return Found::Text(1),
                Some(&option) => Found::Command(3, self.negotiate(command, option)),
            },
            ABORT | SUSP | BRK | IP | AYT | EC | EL | SB if !is_trusted => return Found::Text(1),
            ABORT | SUSP | BRK | IP => {
                self.interrupts += 1;
                Found::Command(2, Act::EraseLine)
            }
            AO => {
                self.interrupts += 1;
                Found::Command(2, Act::Nothing)
            }
            AYT => Found::Command(2, Act::Show),
            EC => Found::Command(2, Act::EraseCharacter),
            EL => Found::Command(2, Act::EraseLine),
            SB => {
                self.within = Some(0);
                Found::Command(2, Act::Nothing)
            }
            LEAST.. => Found::Command(2, Act::Nothing),
            _ => return Found::Text(1),
        };
        self.is_spoken |= is_line_start;
        found
    }

    fn negotiate(&mut self, command: u8, option: u8) -> Act {
        let answer = match (command, option) {
            // Not an option but a question, answered each time: has everything before it been processed?
            (DO, TIMING_MARK) => return Act::Answer([IAC, WILL, TIMING_MARK]),
            (DO, _) => [IAC, WONT, option],
            (WILL, _) => [IAC, DONT, option],
            _ => return Act::Nothing,
        };
        if self.refused.insert(answer) { Act::Answer(answer) } else { Act::Nothing }
    }

    /// Continues in a subnegotiation of at most `max` bytes. Returns how many of these bytes belong to it, and whether it continues
    /// after them.
    pub(super) fn skip(&mut self, bytes: &[u8], max: usize) -> (usize, Skipped) {
        let before = self.within.unwrap_or_default();
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            at += rest.iter().position(|&byte| byte == IAC).unwrap_or(rest.len());
            self.within = Some(before + at);
            if before + at > max {
                return (at, Skipped::TooLong);
            }
            match bytes.get(at + 1) {
                None => return (at, Skipped::More),
                // Any other command also ends it for the bytes that follow.
                Some(&command) if command >= LEAST && command != IAC => {
                    self.within = None;
                    return (at + if command == SE { 2 } else { 0 }, Skipped::Done);
                }
                Some(_) => at += 2,
            }
        }
    }
}
