//! What a request says in its path, its query and its headers.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::bad;
use crate::web::call::Call;
use crate::web::problem::Problem;
use dantok_protocol::{Since, units};

/// The most parameters that a query may have.
const PARAMETERS_MAX: usize = 16;

/// Undoes percent-encoding.
///
/// # Errors
/// It is malformed, or not UTF-8 beneath.
pub(super) fn decoded(text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(bad("a % in the address is not followed by two hexadecimal digits"));
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| bad("a name in the address is not UTF-8"))
}

/// Encodes a name for a path.
pub(super) fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Call {
    /// What stands for the braces of the route's path in this place.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub(super) fn segment(&self, at: usize) -> Result<String, Problem> {
        decoded(self.segments.get(at).map(String::as_str).unwrap_or_default())
    }
}

/// The parameters of a request's query. Whoever reads them takes them out, and what is left at the end is refused.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(call: &Call) -> Result<Query, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        let query = call.request.uri().query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?);
            if parameters.iter().any(|(given, _)| *given == name) {
                return Err(bad(format!("{name} is given twice")));
            }
            parameters.push((name, value));
            if parameters.len() > PARAMETERS_MAX {
                return Err(bad(format!("a query has at most {PARAMETERS_MAX} parameters")));
            }
        }
        Ok(Query(parameters))
    }

    /// The value of a parameter.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The same, for a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = Some(&text).filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
        match number.and_then(|digits| digits.parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(format!("{name} takes a number, not {}", shortened(&text)))),
        }
    }

    /// The same, for a time.
    pub(super) fn since(&mut self, name: &str) -> Result<Option<Since>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let since = Since::parse(&text);
        since.map(Some).ok_or_else(|| {
            bad(format!(
                "{name} takes a time like 2026-11-21T09:30:00Z, or how long ago, like 90m; not {}",
                shortened(&text)
            ))
        })
    }

    /// The same, for a duration of at most so much.
    pub(super) fn duration(&mut self, name: &str, max: Duration) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let duration = units::duration(&text).map_err(|wrong| bad(format!("{name} {wrong}")))?;
        if duration > max {
            return Err(bad(format!("{name} takes at most {} s", max.as_secs())));
        }
        Ok(Some(duration))
    }

    /// Everything has been read.
    ///
    /// # Errors
    /// There is a parameter that nobody reads.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(format!("there is no parameter {} here", shortened(name)))),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The text of a header that may be given once.
///
/// # Errors
/// It is repeated, or not UTF-8.
pub(super) fn header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(bad(format!("{name} is given twice"))),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(_) => Err(bad(format!("{name} is not UTF-8"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_through_a_path() {
        for name in ["general", "단톡", "a/b", "50%", "a b?c#d&e=f", "\u{1f44b}"] {
            let path = encoded(name);
            assert!(path.is_ascii() && !path.contains('/'), "{path}");
            assert_eq!(decoded(&path).unwrap(), name);
        }
        for path in ["%", "%4", "%zz", "%+1", "a%", "%ff", "%c0%af", "%ed%a0%80"] {
            assert!(decoded(path).is_err(), "{path}");
        }
    }
}
