//! The HTTP listener: a limited number of connections, one request each, with a timeout.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::page::{self, CONTENT};
use crate::http::{self, Watched};

/// Open connections; more wait in the kernel. Many, so that silent ones don't keep out a real request, but file descriptors are scarce.
const CONNECTIONS_MAX: usize = 64;
/// Pages that are made at the same time: each takes a thread and reads files.
const PAGES_MAX: usize = 8;
/// How long a connection has to send its request …
const REQUEST: Duration = Duration::from_secs(2);
/// … and, in total, to receive the response.
const CONNECTION: Duration = Duration::from_secs(20);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves requests for as long as the daemon runs, also while the store is still opening.
pub async fn serve(listener: Arc<TcpListener>, watched: Arc<Watched>) {
    let (places, pages) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(PAGES_MAX)));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (watched, pages) = (watched.clone(), pages.clone());
                dantok_supervise::brief("a request for metrics", async move {
                    if timeout(CONNECTION, connect(stream, watched, pages)).await.is_err() {
                        tracing::debug!("a request for metrics timed out");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connect(stream: TcpStream, watched: Arc<Watched>, pages: Arc<Semaphore>) {
    let served = http::builder(REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, watched.clone(), pages.clone())));
    if let Err(error) = served.await {
        tracing::debug!(%error, "a request for metrics failed");
    }
}

async fn answer(
    request: Request<Incoming>,
    watched: Arc<Watched>,
    pages: Arc<Semaphore>,
) -> Result<Response<String>, Infallible> {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, body, content) = match request.uri().path() {
        "/metrics" | "/healthz" | "/readyz" if !is_get => {
            (StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD".to_owned(), PLAIN)
        }
        "/metrics" => {
            // The semaphore is never closed.
            let _turn = pages.acquire().await;
            match page::page(watched).await {
                Ok(page) => (StatusCode::OK, page, CONTENT),
                Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why, PLAIN),
            }
        }
        path => match http::health(path, &watched).await {
            Some((status, text)) => (status, text, PLAIN),
            None => (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz".to_owned(), PLAIN),
        },
    };
    let body = if content == PLAIN { body + "\n" } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}
