//! HTTP, as metrics and the web serve it: bounded heads, timeouts, and health checks.

mod watched;

use std::time::Duration;

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;

use crate::limits::{HTTP_FIELDS_MAX, HTTP_HEAD_MAX_BYTES};
pub use watched::Watched;

/// How connections are served: a head must arrive within this time. A peer that has stopped sending still gets its answers.
pub(crate) fn builder(head_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HTTP_HEAD_MAX_BYTES)
        .max_header_size(HTTP_HEAD_MAX_BYTES)
        .max_headers(HTTP_FIELDS_MAX)
        .half_close(true);
    builder
}

/// Answers a health check; `None` if the path is not one.
pub(crate) async fn health(path: &str, watched: &Watched) -> Option<(StatusCode, String)> {
    let (checked, good) = match path {
        "/healthz" => (watched.alive().await, "ok"),
        "/readyz" => (watched.ready(), "ready"),
        _ => return None,
    };
    Some(match checked {
        Ok(()) => (StatusCode::OK, good.to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    })
}
