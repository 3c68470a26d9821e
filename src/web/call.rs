//! A request on its way through the checks that all requests pass, to the route that answers it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, HeaderValue, LOCATION, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::watch;

use super::answer::{Response, full, secure, value};
use super::api::Kept;
use super::problem::Problem;
use super::routes::{FILE, Route, all, fit};
use super::serve::Visitor;
use super::{Site, assets, body, guard};
use crate::addresses::AddressSlot;
use crate::hub::Hub;
use dantok_protocol::ErrorCode;

/// What a route answers with.
pub type Answered = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// What answers a route.
pub type Handler = fn(Call) -> Answered;

/// A request that has passed the checks.
pub struct Call {
    /// What all connections of the web share.
    pub site: Arc<Site>,
    /// What all connections of the daemon share.
    pub hub: Arc<Hub>,
    /// True once the daemon stops.
    pub stop: watch::Receiver<bool>,
    /// The request.
    pub request: Request<Incoming>,
    /// The address of whoever sent it: behind a trusted proxy, not the proxy's.
    pub address: IpAddr,
    /// Behind a trusted proxy, what counts the request in the limit of its address: a response that goes on keeps it.
    pub slot: Option<AddressSlot>,
    /// What requests of the API on this connection leave for the next one.
    pub kept: Arc<Kept>,
    /// The segments that stand for the braces of the route's path, in order, still percent-encoded.
    pub segments: Vec<String>,
}

impl Call {
    /// The path below `--web-path`.
    pub fn path(&self) -> &str {
        let path = self.request.uri().path();
        path.strip_prefix(self.site.settings.path.as_str()).unwrap_or(path)
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// There is nothing at this path.
    pub fn not_found(&self) -> Problem {
        not_found()
    }

    /// The request's body, of at most `max` bytes.
    ///
    /// # Errors
    /// As [`body::read`].
    pub async fn body(&mut self, max: usize) -> Result<Bytes, Problem> {
        let pause = self.hub.settings.get().limits.hello_timeout;
        body::read(self.request.body_mut(), max, pause).await
    }

    /// The token in `Authorization: Bearer`, if there is one.
    ///
    /// # Errors
    /// The header asks for another scheme, or is repeated.
    pub fn token(&self) -> Result<Option<String>, Problem> {
        let mut given = self.headers().get_all(AUTHORIZATION).iter();
        let (first, second) = (given.next(), given.next());
        let Some(first) = first else { return Ok(None) };
        let token = first.to_str().ok().and_then(|given| {
            let (scheme, token) = given.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        match token {
            Some(token) if second.is_none() => Ok(Some(token)),
            _ => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Denied,
                "Authorization takes one token, as in `Authorization: Bearer <token>`",
            )),
        }
    }
}

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, ErrorCode::BadCommand, "there is nothing at this path")
}

/// Answers a request.
pub async fn answer(visitor: Arc<Visitor>, request: Request<Incoming>) -> Response {
    // After a chunked body, whose end a proxy might see elsewhere, nothing else on the connection is taken for a request.
    let is_last = request.headers().contains_key(TRANSFER_ENCODING);
    let figures = visitor.hub.figures.clone();
    let (answered, host) = match guard::host(&visitor, &request) {
        Ok(host) => (checked(visitor, request, &host).await, Some(host.authority)),
        Err(problem) => (Err(problem), None),
    };
    let mut response = answered.unwrap_or_else(|problem| {
        figures.refused(problem.refusal.code);
        problem.response()
    });
    secure(&mut response, host.as_deref());
    if is_last {
        response.headers_mut().insert(CONNECTION, value("close"));
    }
    response
}

async fn checked(visitor: Arc<Visitor>, request: Request<Incoming>, host: &guard::Host) -> Result<Response, Problem> {
    guard::origin(&request, host)?;
    let path = request.uri().path();
    let below = path.strip_prefix(visitor.site.settings.path.as_str());
    let (route, segments) = match below {
        // Relative links need the slash.
        Some("") if !path.is_empty() => return Ok(to_the_slash(path)),
        Some(below) => find(request.method(), below)?,
        None => return Err(not_found()),
    };
    let (slot, address) = visitor.admit(request.headers())?;
    let segments = segments.into_iter().map(str::to_owned).collect();
    let call = Call {
        site: visitor.site.clone(),
        hub: visitor.hub.clone(),
        stop: visitor.stop.clone(),
        request,
        address,
        slot,
        kept: visitor.kept.clone(),
        segments,
    };
    (route.handler)(call).await
}

fn to_the_slash(path: &str) -> Response {
    let mut response = full("");
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let name = path.rsplit('/').next().unwrap_or_default();
    if let Ok(location) = HeaderValue::from_str(&format!("{name}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The route that answers, and what the braces of its path stand for.
fn find<'a>(method: &Method, path: &'a str) -> Result<(&'static Route, Vec<&'a str>), Problem> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let file = assets::has(path).then_some(&FILE);
    let fitting = || all().chain(file).filter_map(|route| Some((route, fit(route.path, path)?)));
    if let Some(found) = fitting().find(|(route, _)| route.method == *wanted) {
        return Ok(found);
    }
    let mut methods: Vec<&str> = fitting().map(|(route, _)| route.method.as_str()).collect();
    if methods.is_empty() {
        return Err(not_found());
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    let allowed = methods.join(", ");
    let text = format!("this path takes {allowed}");
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadCommand, text);
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        problem.headers.push((ALLOW, allowed));
    }
    Err(problem)
}
