//! Responses: their bodies, and the headers that all of them have.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

/// A body: whole, or made while it is sent.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A response.
pub type Response = hyper::Response<Body>;

/// A header's value that is known to be one.
pub const fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// A body of these bytes.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A response with this body and nothing else.
pub fn full(bytes: impl Into<Bytes>) -> Response {
    hyper::Response::new(body(bytes))
}

/// A response of plain text.
pub fn text(text: String) -> Response {
    let mut response = full(text);
    response.headers_mut().insert(CONTENT_TYPE, value("text/plain; charset=utf-8"));
    response
}

/// What a page of this origin may load and do: nothing but its own files. Of the policies for Trusted Types, Vue's runtime makes `vue`,
/// and never uses it here; the page makes `dantok`, which allows its service worker and nothing else. Browsers that don't count a WebSocket as `'self'` find its host by name.
fn content_security_policy(host: Option<&str>) -> String {
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{sockets}; \
         manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types vue dantok"
    )
}

/// Adds what every response has. `host` is that of the request, if it is one of ours.
pub fn secure(response: &mut Response, host: Option<&str>) {
    let headers = response.headers_mut();
    // The host was checked, so that this can't fail.
    if let Ok(policy) = content_security_policy(host).try_into() {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    headers.insert(REFERRER_POLICY, value("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), value("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), value("same-origin"));
    // What a route does not say may be kept is not kept.
    headers.entry(CACHE_CONTROL).or_insert(value("no-store"));
}
