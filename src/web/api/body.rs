//! What a request's body is.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use super::bad;
use super::input::header;
use crate::web::body;
use crate::web::call::Call;
use crate::web::problem::Problem;
use dantok_protocol::ErrorCode;

/// Reads the whole body of at most `max` bytes.
///
/// # Errors
/// It is longer, incomplete, or takes too long to arrive.
pub(super) async fn read(call: &mut Call, max: usize) -> Result<Bytes, Problem> {
    let pause = call.hub.settings.get().limits.hello_timeout;
    body::read(call.request.body_mut(), max, pause).await
}

/// The most bytes of a body that is an object of settings.
const OBJECT_MAX_BYTES: usize = 16 * 1024;

/// Reads a body of JSON; none is as an empty object.
///
/// # Errors
/// It is something else.
pub(super) async fn json<T: DeserializeOwned + Default>(call: &mut Call) -> Result<T, Problem> {
    let media = media_type(call)?;
    let bytes = read(call, OBJECT_MAX_BYTES).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    if media.is_none_or(|(essence, _)| essence != "application/json") {
        let text = "the body is JSON here: Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadArgument, text));
    }
    serde_json::from_slice(&bytes).map_err(|error| bad(format!("the body can't be understood: {error}")))
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
