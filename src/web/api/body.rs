//! Reading a request's body: bounded in length and in time.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{CONNECTION, CONTENT_TYPE};
use tokio::time::timeout;

use super::bad;
use super::input::header;
use crate::web::answer::value;
use crate::web::call::Call;
use crate::web::problem::Problem;
use dantok_protocol::ErrorCode;

fn too_long(max: usize) -> Problem {
    let text = format!("a body has at most {max} bytes here");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLong, text)
}

/// Reads the whole body of at most `max` bytes.
///
/// # Errors
/// It is longer, incomplete, or takes too long to arrive.
pub(super) async fn read(call: &mut Call, max: usize) -> Result<Bytes, Problem> {
    let body = call.request.body_mut();
    if body.size_hint().lower() > max as u64 {
        return Err(too_long(max));
    }
    let within = call.hub.settings.get().limits.hello_timeout;
    let collected = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| bad("the body is incomplete"))?;
            // Trailers say nothing here.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > max {
                return Err(too_long(max));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    timeout(within, collected).await.unwrap_or_else(|_| {
        let text = format!("the body has not arrived within {} s", within.as_secs_f64());
        let mut problem = Problem::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::Limit, text);
        problem.headers.push((CONNECTION, value("close")));
        Err(problem)
    })
}

/// The media type of the body, in small letters, and its `charset`.
///
/// # Errors
/// It is given twice, or not text.
pub(super) fn media_type(call: &Call) -> Result<Option<(String, Option<String>)>, Problem> {
    let Some(given) = header(call.headers(), &CONTENT_TYPE)? else { return Ok(None) };
    let mut parts = given.split(';').map(|part| part.trim().to_ascii_lowercase());
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| Some(part.strip_prefix("charset=")?.trim_matches('"').to_owned()));
    Ok(Some((essence, charset)))
}
