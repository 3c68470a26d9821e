//! `/healthz` and `/readyz`, as on the listener for metrics.

use super::answer::{Response, text};
use super::call::{Answered, Call};
use crate::http;

/// Answers either.
pub(super) fn check(call: Call) -> Answered {
    Box::pin(async move {
        let Some((status, said)) = http::health(call.path(), &call.site.watched).await else {
            return Err(call.not_found());
        };
        let mut response: Response = text(said + "\n");
        *response.status_mut() = status;
        Ok(response)
    })
}
