//! The table of routes.

use hyper::Method;

use super::call::Handler;
use super::{api, assets, health, hooks, ws};

/// What answers which requests.
#[derive(Debug)]
pub struct Route {
    /// The method. A route for GET also answers HEAD.
    pub method: Method,
    /// The path below `--web-path`. A segment in braces stands for any segment, and `{*}` at the end for any number of them.
    pub path: &'static str,
    /// What answers.
    pub handler: Handler,
}

/// A route.
pub const fn route(method: Method, path: &'static str, handler: Handler) -> Route {
    Route { method, path, handler }
}

static OWN: &[Route] = &[
    route(Method::GET, "/healthz", health::check),
    route(Method::GET, "/readyz", health::check),
    route(Method::GET, "/ws", ws::open),
    route(Method::POST, "/hook/{secret}", hooks::post),
];

/// All routes. The first whose path fits and whose method is that of the request answers it.
pub fn all() -> impl Iterator<Item = &'static Route> {
    OWN.iter().chain(api::ROUTES)
}

/// What answers at a path that none of [these](all) has, and a file of the page has.
pub static FILE: Route = route(Method::GET, "/{*}", assets::serve);

/// What the braces of a route's path stand for in a request's path; `None` if it does not fit. The path is still percent-encoded, so
/// that an encoded slash separates nothing.
pub fn fit<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let (mut wanted, mut rest) = (pattern.strip_prefix('/')?, path.strip_prefix('/')?);
    loop {
        if wanted == "{*}" {
            found.push(rest);
            return Some(found);
        }
        let (segment, given) = (wanted.split('/').next()?, rest.split('/').next()?);
        if segment.starts_with('{') && !given.is_empty() {
            found.push(given);
        } else if segment != given {
            return None;
        }
        match (wanted.split_once('/'), rest.split_once('/')) {
            (None, None) => return Some(found),
            (Some((_, more)), Some((_, behind))) => (wanted, rest) = (more, behind),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_segment_by_segment() {
        assert_eq!(fit("/r/{room}/json", "/r/a%2Fb/json"), Some(vec!["a%2Fb"]));
        assert_eq!(fit("/r/{room}", "/r/general"), Some(vec!["general"]));
        assert_eq!(fit("/{*}", "/assets/a.js"), Some(vec!["assets/a.js"]));
        assert_eq!(fit("/{*}", "/"), Some(vec![""]));
        for (pattern, path) in [
            ("/r/{room}", "/r/"),
            ("/r/{room}", "/r"),
            ("/r/{room}", "/r/a/b"),
            ("/r/{room}/json", "/r/a"),
            ("/healthz", "/healthz/"),
            ("/healthz", "healthz"),
            ("/{*}", "*"),
        ] {
            assert_eq!(fit(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn no_route_hides_one_behind_it() {
        let routes: Vec<&Route> = all().collect();
        for (at, route) in routes.iter().enumerate() {
            for later in &routes[at + 1..] {
                let is_hidden = later.method == route.method && fit(route.path, later.path).is_some();
                assert!(!is_hidden, "{} {} hides {}", route.method, route.path, later.path);
            }
        }
    }
}
