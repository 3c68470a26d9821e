//! What telnet clients put between lines and into them: negotiation and keys (RFC 854, 855 and 860). Every option is refused.
//!
//! A line's text may be anybody's, where a script sends what others wrote. So what answers with a line, or changes which bytes
//! are one, is telnet only where the client has spoken telnet at a line's start before; else its bytes are the line's, which
//! is then no UTF-8.

use std::collections::BTreeSet;

/// Begins everything that is telnet.
pub(super) const IAC: u8 = 0xff;
/// The least of the commands, EOF.
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

/// What stands at an IAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that could be told yet.
    More,
    /// So many bytes that stand for one byte of text.
    Text(usize),
    /// So many bytes of a command.
    Command(usize, Act),
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// To be written as it is.
    Answer([u8; 3]),
    /// A line that says that somebody is there.
    Show,
    /// The last character of the line so far goes.
    EraseCharacter,
    /// The line so far goes.
    EraseLine,
}

/// Where a subnegotiation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    More,
    Done,
    TooLong,
}

/// What a connection has seen of telnet.
#[derive(Clone, Debug, Default)]
pub(super) struct Telnet {
    /// Something of it stood at a line's start.
    is_spoken: bool,
    /// What was answered once: no option is refused twice.
    refused: BTreeSet<[u8; 3]>,
    /// In a subnegotiation, of which so many bytes have come.
    within: Option<usize>,
    /// Keys that are to end what goes on.
    pub(super) interrupts: u64,
}

impl Telnet {
    pub(super) fn is_within(&self) -> bool {
        self.within.is_some()
    }

    pub(super) fn is_spoken(&self) -> bool {
        self.is_spoken
    }

    /// What begins with the IAC at the start of `bytes`.
    pub(super) fn read(&mut self, bytes: &[u8], is_line_start: bool) -> Found {
        let Some(&command) = bytes.get(1) else { return Found::More };
        let is_trusted = is_line_start || self.is_spoken;
        let found = match command {
            IAC => return Found::Text(2),
            WILL..=DONT => match bytes.get(2) {
                None => return Found::More,
                // Rather the end of a line in another encoding than an option of 1973.
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
            // Not an option but a question, each time: has what was before it been dealt with?
            (DO, TIMING_MARK) => return Act::Answer([IAC, WILL, TIMING_MARK]),
            (DO, _) => [IAC, WONT, option],
            (WILL, _) => [IAC, DONT, option],
            _ => return Act::Nothing,
        };
        if self.refused.insert(answer) { Act::Answer(answer) } else { Act::Nothing }
    }

    /// Goes on in a subnegotiation of at most `max` bytes: how many bytes of these are its, and whether it goes on behind them.
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
                // Another command is an end as well, to whoever reads on.
                Some(&command) if command >= LEAST && command != IAC => {
                    self.within = None;
                    return (at + if command == SE { 2 } else { 0 }, Skipped::Done);
                }
                Some(_) => at += 2,
            }
        }
    }
}
