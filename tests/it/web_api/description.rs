//! The description of the API, `docs/openapi.json`: held against the routes, and against every response that a test gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use dantok::web::routes::{all, fit};
use serde_json::Value;

use super::client::Http;
use crate::common::web::Web;

pub static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap());

const BASE: &str = "/api/v1";

/// What a reference leads to, or the value itself.
fn resolved(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => DESCRIPTION
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("there is no {reference}")),
        None => value,
    }
}

/// Every operation: its method, its path below `/api/v1`, and its description.
fn operations() -> impl Iterator<Item = (String, &'static str, &'static Value)> {
    let paths = DESCRIPTION["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
        methods.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    })
}

/// Fails if a response is not what the description says of its request.
pub fn check(request: &str, status: u16, content: Option<&str>, body: &[u8]) {
    let (method, target) = request.split_once(' ').unwrap();
    let path = target.split('?').next().unwrap();
    let Some(path) = path.strip_prefix(BASE) else { return };
    let method = if method == "HEAD" { "GET" } else { method };
    let found = operations().find(|(of, template, _)| of == method && fit(template, path).is_some());
    let Some((.., operation)) = found else {
        return assert!([404, 405].contains(&status), "{request} is not described and gets {status}");
    };
    let response = operation["responses"].get(status.to_string());
    let response = resolved(response.unwrap_or_else(|| panic!("{request}: {status} is not described")));
    let Some(contents) = response.get("content") else {
        return assert!(body.is_empty() && status == 204, "{request}: {status} has a body");
    };
    let content = content.unwrap_or_else(|| panic!("{request}: {status} has no Content-Type"));
    let described = contents.get(content).unwrap_or_else(|| panic!("{request}: {content} is not described"));
    if body.is_empty() || !content.ends_with("json") {
        return;
    }
    let text = std::str::from_utf8(body).unwrap();
    let lines = if content == "application/x-ndjson" { text.lines().collect() } else { vec![text] };
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_str(line).expect(line);
        if let Err(wrong) = fits(&value, &described["schema"]) {
            panic!("{request}: {wrong}: {value}");
        }
    }
}

/// Whether a value fits a schema, as far as the description uses JSON Schema.
fn fits(value: &Value, schema: &'static Value) -> Result<(), String> {
    let schema = resolved(schema);
    for key in schema.as_object().unwrap().keys() {
        let known = [
            "type",
            "const",
            "enum",
            "oneOf",
            "items",
            "properties",
            "required",
            "additionalProperties",
            "minimum",
            "maximum",
            "default",
            "format",
            "contentEncoding",
            "description",
        ];
        assert!(known.contains(&key.as_str()), "{key} is not checked here");
    }
    if let Some(of) = schema.get("oneOf") {
        let count = of.as_array().unwrap().iter().filter(|one| fits(value, one).is_ok()).count();
        return if count == 1 { Ok(()) } else { Err(format!("fits {count} of {of}")) };
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return Err(format!("not {}", schema["const"]));
    }
    if schema.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(value)) {
        return Err(format!("none of {}", schema["enum"]));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) if kinds.iter().any(|of| of == kind) => {}
        of if of == kind => {}
        of => return Err(format!("{value} is {kind} and not {of}")),
    }
    if let (Value::Array(values), Some(items)) = (value, schema.get("items")) {
        values.iter().try_for_each(|value| fits(value, items))?;
    }
    let (Value::Object(members), Some(properties)) = (value, schema.get("properties")) else { return Ok(()) };
    for name in schema["required"].as_array().unwrap() {
        members.get(name.as_str().unwrap()).ok_or_else(|| format!("{name} is missing"))?;
    }
    for (name, value) in members {
        let property = properties.get(name).ok_or_else(|| format!("{name} is not described"))?;
        fits(value, property).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    Ok(())
}

/// The names of the parts of a path in braces.
fn braces(path: &str) -> BTreeSet<&str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect()
}

#[test]
fn the_description_has_the_routes_and_no_others() {
    let described: BTreeSet<(String, String)> =
        operations().map(|(method, path, _)| (method, format!("{BASE}{path}"))).collect();
    let served: BTreeSet<(String, String)> = all()
        .filter(|route| route.path.starts_with(BASE))
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect();
    assert_eq!(described, served, "described / served");
}

#[test]
fn the_description_is_whole() {
    let (mut ids, mut used) = (BTreeMap::new(), BTreeSet::new());
    for (method, path, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert_eq!(ids.insert(id, path), None, "{id} is there twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        let of_path = DESCRIPTION["paths"][path].get("parameters");
        let lists = [of_path, operation.get("parameters")].into_iter().flatten();
        let parameters: Vec<_> = lists.flat_map(|list| list.as_array().unwrap()).map(resolved).collect();
        let in_path: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(in_path, braces(path), "{method} {path}");
        let names: BTreeSet<_> =
            parameters.iter().map(|parameter| (parameter["in"].as_str(), parameter["name"].as_str())).collect();
        assert_eq!(names.len(), parameters.len(), "{method} {path}: a parameter is there twice");
        let statuses = operation["responses"].as_object().unwrap().keys();
        assert!(statuses.into_iter().any(|status| status.starts_with('2')), "{method} {path}");
    }
    // Every reference leads somewhere, and whatever is shared is referred to.
    references(&DESCRIPTION, &mut used);
    for kind in ["parameters", "responses", "schemas"] {
        for name in DESCRIPTION["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "nothing refers to {kind}/{name}");
        }
    }
}

fn references(value: &'static Value, found: &mut BTreeSet<String>) {
    if let Some(reference) = value.get("$ref") {
        resolved(value);
        found.insert(reference.as_str().unwrap().to_owned());
    }
    match value {
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Object(members) => members.values().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_daemon_serves_its_description_below_its_path() {
    let web = Web::start();
    let served = Http::to(web.address).get("/api/v1/openapi.json");
    assert_eq!((served.status, &served.json()), (200, &*DESCRIPTION));
    let web = Web::start_with(&["--web-path", "/chat"]);
    let served = Http::to(web.address).get("/chat/api/v1/openapi.json");
    assert_eq!(served.json()["servers"][0]["url"], "/chat/api/v1");
    let mut http = Http::of(web.address, "alice");
    assert_eq!(http.ask("PUT /chat/api/v1/rooms/a/members/me", &[], None).status, 201);
    let sent = http.post("/chat/api/v1/rooms/a/messages", &[], b"x");
    assert_eq!(sent.headers["location"], "/chat/api/v1/rooms/a/messages/1");
    assert_eq!(web.get("/api/v1/me").status, 404);
}
