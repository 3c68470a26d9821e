//! Durations and sizes as people write them, with one parser each for the protocol, the command line, the environment, the settings
//! file and the client. Both are total: every text gives a value within bounds, or an error.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(86_400);
/// The longest duration. Adding it to any time, or to another duration, does not overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// A text that can't be parsed. The message continues the name of the setting, as in "--retention takes …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Not a duration.
    #[error("takes a duration, like 90s, 24h or 7days")]
    Duration,
    /// A duration past [`DURATION_MAX`].
    #[error("takes a duration up to 36500days")]
    TooLong,
    /// Not a size.
    #[error("takes a size in bytes, like 65536, 64KiB or 1GiB")]
    Size,
    /// A size that is too large.
    #[error("takes a size up to 15EiB")]
    TooLarge,
}

/// A decimal number; its fraction is `fraction / scale`.
struct Number {
    whole: u128,
    fraction: u128,
    scale: u128,
}

/// The most digits of a fraction; nobody needs more.
const FRACTION_DIGITS_MAX: usize = 18;

impl Number {
    /// Multiplies, rounding down; `None` on overflow, or if something greater than 0 would become 0.
    fn times(&self, factor: u128) -> Option<u128> {
        let part = self.fraction.checked_mul(factor)? / self.scale;
        let all = self.whole.checked_mul(factor)?.checked_add(part)?;
        (all > 0 || self.whole + self.fraction == 0).then_some(all)
    }
}

/// Splits a number from what follows it. A whole part that is too large is replaced by the largest one.
fn number(text: &str) -> Option<(Number, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => rest.split_at_checked(digits(rest)).filter(|(fraction, _)| !fraction.is_empty())?,
    };
    if whole.is_empty() || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    // Half of the range, so that a fraction can be added.
    let whole = whole.parse().unwrap_or(u128::MAX).min(u128::MAX / 2);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some((Number { whole, fraction, scale }, rest))
}

/// A duration like `90s`, `1h 30m`, `1.5h`, `30d` or `0`. A month is 30 days, and a year 365.
///
/// # Errors
/// Not a duration, or one past [`DURATION_MAX`].
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut all_ns = 0_u128;
    loop {
        let (number, behind) = number(rest).ok_or(Wrong::Duration)?;
        let behind = behind.trim_start();
        let letters = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters).ok_or(Wrong::Duration)?;
        let unit_ns = unit_ns(unit).ok_or(Wrong::Duration)?;
        // Less than a nanosecond is an error; an overflow means that it is too long.
        let part_ns = number.times(unit_ns).ok_or(if number.whole > 0 { Wrong::TooLong } else { Wrong::Duration })?;
        all_ns = all_ns.checked_add(part_ns).filter(|ns| *ns <= DURATION_MAX.as_nanos()).ok_or(Wrong::TooLong)?;
        rest = behind.trim_start();
        if rest.is_empty() {
            break;
        }
    }
    let seconds = u64::try_from(all_ns / 1_000_000_000).map_err(|_| Wrong::TooLong)?;
    let nanos = u32::try_from(all_ns % 1_000_000_000).map_err(|_| Wrong::TooLong)?;
    Ok(Duration::new(seconds, nanos))
}

fn unit_ns(unit: &str) -> Option<u128> {
    const SECOND: u128 = 1_000_000_000;
    Some(match unit {
        "ns" | "nsec" | "nanos" => 1,
        "us" | "µs" | "μs" | "usec" | "micros" => 1_000,
        "ms" | "msec" | "millis" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "wk" | "wks" | "week" | "weeks" => 7 * 86_400 * SECOND,
        // No M for months: it is too easily confused with minutes.
        "month" | "months" => 30 * 86_400 * SECOND,
        "y" | "yr" | "yrs" | "year" | "years" => 365 * 86_400 * SECOND,
        _ => return None,
    })
}

/// A size like `65536`, `64KiB`, `1.5 GiB` or `10MB`, in bytes. Case does not matter; `K` is 1000, and `Ki` 1024.
///
/// # Errors
/// Not a size, or one that is too large.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let (number, unit) = number(text.trim()).ok_or(Wrong::Size)?;
    let factor = factor(unit.trim_start()).ok_or(Wrong::Size)?;
    let bytes = number.times(factor).ok_or(if number.whole > 0 { Wrong::TooLarge } else { Wrong::Size })?;
    u64::try_from(bytes).map_err(|_| Wrong::TooLarge)
}

fn factor(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let unit = match unit.as_str() {
        "" | "b" | "byte" | "bytes" => return Some(1),
        unit => unit.strip_suffix('b').unwrap_or(unit),
    };
    let (prefix, base) = unit.strip_suffix('i').map_or((unit, 1000_u128), |prefix| (prefix, 1024));
    let power = ["k", "m", "g", "t", "p", "e"].iter().position(|of| *of == prefix)?;
    base.checked_pow(u32::try_from(power).ok()? + 1)
}

/// A duration as text that [`duration`] accepts: days, and what remains.
pub fn in_words(duration: Duration) -> impl fmt::Display {
    struct Words(Duration);
    impl fmt::Display for Words {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let (seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
            let days = seconds / DAY.as_secs();
            let parts = [
                (days, if days == 1 { "day" } else { "days" }),
                (seconds / 3600 % 24, "h"),
                (seconds / 60 % 60, "m"),
                (seconds % 60, "s"),
                (nanos / 1_000_000, "ms"),
                (nanos / 1_000 % 1_000, "us"),
                (nanos % 1_000, "ns"),
            ];
            let mut between = "";
            for (count, unit) in parts.iter().filter(|(count, _)| *count > 0) {
                write!(f, "{between}{count}{unit}")?;
                between = " ";
            }
            if between.is_empty() { f.write_str("0s") } else { Ok(()) }
        }
    }
    Words(duration)
}

/// A time so much later, or the latest possible one.
pub fn after(time: Instant, by: Duration) -> Instant {
    time.checked_add(by).or_else(|| time.checked_add(DURATION_MAX)).unwrap_or(time)
}

/// A duration in milliseconds; `u64::MAX` if it is longer.
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The last millisecond of the year 9999, the latest that RFC 3339 can express.
pub const TIME_LAST_MS: u64 = 253_402_300_799_999;

/// A time in RFC 3339, in UTC, to the second. Times before 1970 or after 9999, from a wrong clock, are shown as those limits.
pub fn time(time: SystemTime) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(within(time.duration_since(UNIX_EPOCH).map_or(0, ms)))
}

/// A time in RFC 3339, in UTC, to the millisecond, from milliseconds since 1970.
pub fn time_ms(since_1970_ms: u64) -> impl fmt::Display {
    humantime::format_rfc3339_millis(within(since_1970_ms))
}

fn within(since_1970_ms: u64) -> SystemTime {
    let since_1970 = Duration::from_millis(since_1970_ms.min(TIME_LAST_MS));
    UNIX_EPOCH.checked_add(since_1970).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1;
    const D: u64 = 86_400;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("90s", 90 * S),
            ("1h 30m", 5400),
            ("1h30min", 5400),
            (" 2 days ", 2 * D),
            ("1.5h", 5400),
            ("0s 1s", 1),
            ("1y", 365 * D),
            ("12months", 360 * D),
            ("2weeks", 14 * D),
            ("36500d", 36_500 * D),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("1s 1ms 1us 1ns"), Ok(Duration::new(1, 1_001_001)));
        assert_eq!(duration("0.5µs"), Ok(Duration::from_nanos(500)));
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            " ",
            "5",
            "s",
            "soon",
            "-1s",
            "+1s",
            "1 0s",
            "1s1",
            "1..5s",
            "1.s",
            ".5s",
            "1M",
            "1e3s",
            "inf",
            "NaN",
            "0.1ns",
            "1s,",
            "１s",
            "1s\0",
            "∞",
            "1.0000000000000000000s",
            "0x10s",
            "1_000s",
            "0 0",
        ] {
            assert_eq!(duration(text), Err(Wrong::Duration), "{text}");
        }
        for text in [
            "18446744073709551615s1000000000ns",
            "18446744073709551615s 1s",
            "18446744073709551615y",
            "18446744073709551616s",
            "340282366920938463463374607431768211455y",
            "99999999999999999999999999999999999999999999999999ns",
            "36500d1ns",
            "36501days",
            "101y",
        ] {
            assert_eq!(duration(text), Err(Wrong::TooLong), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1k", 1000),
            ("1Ki", 1024),
            ("10MB", 10_000_000),
            ("1.5GiB", 1_610_612_736),
            ("1b", 1),
            ("15EiB", 15 << 60),
            ("18446744073709551615", u64::MAX),
            ("9007199254740993B", 9_007_199_254_740_993),
            ("0.0KiB", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "KiB", "-1", "+1", "1x", "1kk", "1ibb", "1i", "1bi", "1e3", "inf", "NaN", ".5k", "1.k", "0.1B", "1 2",
            "１",
        ] {
            assert_eq!(size(text), Err(Wrong::Size), "{text}");
        }
        for text in ["16EiB", "18446744073709551616", "99999999999999999999999999999999999999999999EiB", "18.5EB"] {
            assert_eq!(size(text), Err(Wrong::TooLarge), "{text}");
        }
    }

    #[test]
    fn what_is_shown_of_a_duration() {
        for (text, shown) in [
            ("365days", "365days"),
            ("24h", "1day"),
            ("36h", "1day 12h"),
            ("90s", "1m 30s"),
            ("0", "0s"),
            ("250ms", "250ms"),
        ] {
            assert_eq!(in_words(duration(text).unwrap()).to_string(), shown);
        }
    }

    #[test]
    fn later_than_all_time_is_late() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(1)), now + Duration::from_secs(1));
        assert!(after(now, Duration::MAX) >= now + DURATION_MAX);
    }

    #[test]
    fn a_time_of_a_clock_that_is_wrong_is_shown() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(time(before).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(time_ms(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in ".{0,60}", parts in "([0-9]{1,50}(\\.[0-9]{1,25})?[ ]?(n?s|[um]s|[mhdwy]|[kmgtpe]i?b?|B)?[ ]?){0,4}") {
            for text in [&text, &parts] {
                prop_assert!(duration(text).is_ok_and(|duration| duration <= DURATION_MAX) || duration(text).is_err());
                let _ = size(text);
            }
        }

        #[test]
        fn what_is_shown_is_taken_again(seconds in 0..=DURATION_MAX.as_secs() - 1, nanos in 0..1_000_000_000_u32) {
            let any = Duration::new(seconds, nanos);
            prop_assert_eq!(duration(&in_words(any).to_string()), Ok(any));
        }

        #[test]
        fn bytes_are_taken_as_they_are(bytes: u64) {
            prop_assert_eq!(size(&bytes.to_string()), Ok(bytes));
        }

        #[test]
        fn a_duration_can_be_added_to_any_time(text in "[0-9]{1,12}(ns|us|ms|s|m|h|d|w|y)") {
            if let Ok(duration) = duration(&text) {
                prop_assert!(Instant::now().checked_add(duration + duration).is_some());
                prop_assert!(SystemTime::now().checked_add(duration + duration).is_some());
            }
        }
    }
}
