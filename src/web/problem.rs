//! Errors of the web: problem details (RFC 9457) with dantok's code.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use super::answer::{Response, full, value};
use dantok_protocol::{ErrorCode, Refusal};

/// An error response.
#[derive(Debug)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// The code, and the sentence for people.
    pub refusal: Refusal,
    /// Headers of the response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// An error with this status, for a reason that HTTP has and the protocol has not.
    pub fn new(status: StatusCode, code: ErrorCode, text: impl Into<String>) -> Problem {
        Problem { status, refusal: Refusal::new(code, text), headers: Vec::new() }
    }

    /// The response.
    pub fn response(self) -> Response {
        let Problem { status, refusal, headers } = self;
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": refusal.text,
            "code": refusal.code.as_str(),
        });
        if let (Some(wait_ms), Some(members)) = (refusal.wait_ms, body.as_object_mut()) {
            members.insert("wait_ms".to_owned(), wait_ms.into());
        }
        let mut response = full(body.to_string() + "\n");
        *response.status_mut() = status;
        let set = response.headers_mut();
        set.insert(CONTENT_TYPE, value("application/problem+json"));
        if let Some(wait_ms) = refusal.wait_ms.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(1000)) {
            set.insert(RETRY_AFTER, wait_ms.div_ceil(1000).max(1).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            set.insert(WWW_AUTHENTICATE, value("Bearer realm=\"dantok\""));
        }
        set.extend(headers);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let status = match refusal.code {
            ErrorCode::BadCommand | ErrorCode::BadArgument | ErrorCode::NotUtf8 | ErrorCode::BadFrame => {
                StatusCode::BAD_REQUEST
            }
            ErrorCode::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::HelloFirst => StatusCode::UNAUTHORIZED,
            ErrorCode::Denied | ErrorCode::NotJoined => StatusCode::FORBIDDEN,
            ErrorCode::NoRoom | ErrorCode::NoGroup => StatusCode::NOT_FOUND,
            ErrorCode::RoomExists | ErrorCode::IdReused | ErrorCode::Epoch | ErrorCode::SetBack => StatusCode::CONFLICT,
            ErrorCode::Limit => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::Storage | ErrorCode::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem { status, refusal, headers: Vec::new() }
    }
}
