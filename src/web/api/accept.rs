//! Which form of a response a request asks for: `format` in its query, or `Accept`.

use hyper::StatusCode;
use hyper::header::ACCEPT;

use super::bad;
use super::input::Query;
use super::items::Form;
use crate::web::call::Call;
use crate::web::problem::Problem;
use dantok_protocol::ErrorCode;

/// The forms of messages: their media types, and their names in `format`. What is equally welcome is sent in the first of them.
const OFFERED: [(Form, &[&str], &str); 3] = [
    (Form::Object, &["application/json"], "json"),
    (Form::Lines, &["application/x-ndjson", "application/ndjson"], "ndjson"),
    (Form::Events, &["text/event-stream"], "sse"),
];

/// The form of a response.
///
/// # Errors
/// None of them is acceptable.
pub(super) fn form(call: &Call, query: &mut Query) -> Result<Form, Problem> {
    if let Some(format) = query.take("format") {
        let found = OFFERED.iter().find(|(.., name)| *name == format);
        return found.map(|(form, ..)| *form).ok_or_else(|| bad("format takes json, ndjson or sse"));
    }
    let given = call.headers().get_all(ACCEPT).iter().map(|accept| String::from_utf8_lossy(accept.as_bytes()));
    let given = given.collect::<Vec<_>>().join(",");
    best(&given).ok_or_else(|| {
        let text = "messages come as application/json, application/x-ndjson or text/event-stream";
        Problem::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::BadArgument, text)
    })
}

/// What the header asks for most; the first form if it says nothing. What can't be understood in it does not count.
fn best(accept: &str) -> Option<Form> {
    let ranges: Vec<(String, u16)> = accept.split(',').filter_map(range).collect();
    if ranges.is_empty() {
        return Some(Form::Object);
    }
    let welcome = OFFERED.iter().enumerate().filter_map(|(place, (form, types, _))| {
        let (specific, quality) = types.iter().filter_map(|media| quality(&ranges, media)).max()?;
        (quality > 0).then_some(((quality, specific, std::cmp::Reverse(place)), *form))
    });
    welcome.max_by_key(|(rank, _)| *rank).map(|(_, form)| form)
}

/// How specific the most specific range is that a media type is in, and how welcome that makes it, in thousandths.
fn quality(ranges: &[(String, u16)], media: &str) -> Option<(u8, u16)> {
    let any_of = media.split('/').next().map(|kind| format!("{kind}/*"))?;
    let specific = |range: &str| match range {
        range if range == media => Some(2),
        range if range == any_of => Some(1),
        "*/*" => Some(0),
        _ => None,
    };
    ranges.iter().filter_map(|(range, quality)| Some((specific(range)?, *quality))).max()
}

/// A media range, and how welcome it is in thousandths.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let (kind, subtype) = range.split_once('/')?;
    if kind.is_empty() || subtype.is_empty() || subtype.contains('/') {
        return None;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = match weight {
        None => 1.0,
        Some(weight) => weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
    };
    Some((range, (quality * 1000.0) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_welcome_form_is_chosen() {
        let nested = "(".repeat(10_000);
        for (accept, form) in [
            ("", Some(Form::Object)),
            ("*/*", Some(Form::Object)),
            ("application/json", Some(Form::Object)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Form::Object)),
            ("text/event-stream", Some(Form::Events)),
            ("text/event-stream, */*", Some(Form::Events)),
            ("TEXT/Event-Stream;charset=utf-8;q=0.5, application/json;q=0.4", Some(Form::Events)),
            ("application/x-ndjson", Some(Form::Lines)),
            ("application/ndjson;q=0.2, text/*;q=0.1", Some(Form::Lines)),
            ("application/*;q=0.5, application/json;q=0", Some(Form::Lines)),
            ("application/json;q=0, */*", Some(Form::Lines)),
            ("text/html", None),
            ("*/*;q=0", None),
            // Nothing that can be understood is nothing.
            (",,;q=1,/,///,q=2,text", Some(Form::Object)),
            ("application/json;q=NaN", Some(Form::Object)),
            ("text/event-stream;q=-1, application/json;q=7, text/event-stream;q=1e9", Some(Form::Object)),
            (nested.as_str(), Some(Form::Object)),
        ] {
            assert_eq!(best(accept), form, "{accept:.100}");
        }
    }
}
