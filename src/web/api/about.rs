//! The daemon, who the client is, and the API's own description.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::caller::{Caller, Who};
use super::input::Query;
use super::respond::object;
use crate::web::answer::{full, value};
use crate::web::call::{Answered, Call};
use crate::web::problem::Problem;
use dantok_protocol::ErrorCode;

/// The description, as it is served without `--web-path`.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.json");

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(OPENAPI).unwrap_or_default());

/// `GET …/openapi.json`.
pub(in crate::web) fn openapi(call: Call) -> Answered {
    Box::pin(async move {
        Query::of(&call)?.end()?;
        let mut response = match call.site.settings.path.as_str() {
            "" => full(OPENAPI),
            path => {
                let mut description = DESCRIPTION.clone();
                if let Some(url) = description.pointer_mut("/servers/0/url") {
                    *url = format!("{path}/api/v1").into();
                }
                full(description.to_string())
            }
        };
        response.headers_mut().insert(CONTENT_TYPE, value("application/json"));
        Ok(response)
    })
}

/// `GET …/health`: whether clients are served, and what they write reaches the disk. For anybody.
pub(in crate::web) fn health(call: Call) -> Answered {
    Box::pin(async move {
        Query::of(&call)?.end()?;
        let watched = &call.site.watched;
        let checked = match watched.ready() {
            Ok(()) => watched.alive().await,
            Err(why) => Err(why),
        };
        checked.map(|()| object(&json!({"status": "ok"}))).map_err(|why| {
            let code = if call.hub.stopping.is_cancelled() { ErrorCode::Stopping } else { ErrorCode::Storage };
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, why)
        })
    })
}

/// `GET …/me`: who the client is, and what the daemon allows.
pub(in crate::web) fn me(call: Call) -> Answered {
    Box::pin(async move {
        let mut query = Query::of(&call)?;
        let who = Who::of(&call, &mut query)?;
        query.end()?;
        let caller = Caller::of(&call, who).await?;
        let welcome = caller.welcome();
        let response = object(&json!({
            "client": welcome.client,
            "admin": welcome.admin,
            "server": welcome.server,
            "epoch": welcome.epoch,
            "max_body": welcome.max_body,
            "max_joined": welcome.max_joined,
            "retention_secs": welcome.retention_secs,
        }));
        caller.leave_to(&call.kept);
        Ok(response)
    })
}
