//! The page: files that were built into the program.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::answer::{Response, full, value};
use super::call::{Answered, Call};
use super::problem::Problem;

static DIST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/web/dist");

/// Files below this have a hash of their contents in their names, and so never change.
const HASHED: &str = "assets/";

/// A file as it is served.
struct Asset {
    bytes: &'static [u8],
    content: &'static str,
    tag: String,
    cache: &'static str,
}

static ASSETS: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    let mut assets = HashMap::new();
    collect(&DIST, &mut assets);
    assets
});

fn collect(dir: &'static Dir<'static>, assets: &mut HashMap<&'static str, Asset>) {
    for file in dir.files() {
        let Some(path) = file.path().to_str() else { continue };
        let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let (bytes, content) = (file.contents(), content(path));
        assets.insert(path, Asset { bytes, content, tag: tag(bytes), cache });
    }
    dir.dirs().for_each(|inner| collect(inner, assets));
}

/// An entity tag that names the contents.
fn tag(bytes: &[u8]) -> String {
    let mut tag = "\"".to_owned();
    for byte in Sha256::digest(bytes).iter().take(16) {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

fn content(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the page has a file at this path, which begins with a slash.
pub(super) fn has(path: &str) -> bool {
    file(path).is_some()
}

fn file(path: &str) -> Option<&'static Asset> {
    let path = path.strip_prefix('/')?;
    ASSETS.get(if path.is_empty() { "index.html" } else { path })
}

/// Serves a file of the page.
pub(super) fn serve(call: Call) -> Answered {
    let found = find(&call);
    Box::pin(std::future::ready(found))
}

fn find(call: &Call) -> Result<Response, Problem> {
    let asset = file(call.path()).ok_or_else(|| call.not_found())?;
    let given = call.headers().get_all(IF_NONE_MATCH).iter().filter_map(|given| given.to_str().ok());
    let mut given = given.flat_map(|given| given.split(',')).map(str::trim);
    let is_known = given.any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == asset.tag);
    let mut response = full(if is_known { &[][..] } else { asset.bytes });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, value(asset.cache));
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(ETAG, tag);
    }
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, value(asset.content));
    }
    Ok(response)
}
