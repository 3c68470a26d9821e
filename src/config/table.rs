//! The table of all settings: their names, what they accept, and how they are shown.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "tls")]
use super::tls;
#[cfg(feature = "web")]
use super::web;
use super::{Config, LogFormat, address, filter, per_client};
use dantok_protocol::limits::BODY_MAX_BYTES;
use dantok_protocol::units;

/// A setting: its flag is `--name`, its environment variable `DANTOK_NAME`, its key in the file `name`.
#[derive(Debug)]
pub struct Setting {
    /// Its name, with hyphens.
    pub name: &'static str,
    /// The name of its value in the help.
    pub value: &'static str,
    /// The heading of the help that it is under.
    pub heading: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it can be given more than once.
    pub many: bool,
    /// Whether the flag without a value means `true`.
    pub switch: bool,
    /// Sets it to some values; an error says what is accepted.
    pub parse: fn(&mut Config, &[String]) -> Result<(), String>,
    /// The value in effect, as TOML.
    pub show: fn(&Config) -> String,
}

impl Setting {
    /// Its environment variable.
    pub fn env(&self) -> String {
        format!("DANTOK_{}", self.name.replace('-', "_").to_uppercase())
    }
}

/// More than anything is ever needed, and small enough to add to.
const COUNT_MAX: usize = 1_000_000_000;

pub(super) fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] => Ok(value),
        _ => Err("takes one value".to_owned()),
    }
}

fn duration(values: &[String]) -> Result<Duration, String> {
    units::duration(one(values)?).map_err(|wrong| wrong.to_string())
}

fn some_duration(values: &[String]) -> Result<Duration, String> {
    duration(values)
        .and_then(|value| if value.is_zero() { Err("takes a duration above 0".to_owned()) } else { Ok(value) })
}

fn count(values: &[String]) -> Result<usize, String> {
    match one(values)?.parse() {
        Ok(count @ 1..=COUNT_MAX) => Ok(count),
        _ => Err("takes a whole number above 0, up to 1000000000".to_owned()),
    }
}

fn switch(values: &[String]) -> Result<bool, String> {
    match one(values)? {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("takes true or false".to_owned()),
    }
}

fn body(values: &[String]) -> Result<usize, String> {
    let parsed = units::size(one(values)?).ok().and_then(|size| usize::try_from(size).ok());
    let in_range = parsed.filter(|bytes| (1..=BODY_MAX_BYTES).contains(bytes));
    in_range.ok_or_else(|| "takes a size from 1 to 1MiB, like 64KiB or 65536".to_owned())
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn shown(duration: Duration) -> String {
    quoted(&units::in_words(duration).to_string())
}

/// Every setting, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        value: "ADDRESS",
        heading: "Serving",
        help: "Address to listen on, like 127.0.0.1:7420 or [::1]:7420; may be repeated, or none",
        many: true,
        switch: false,
        parse: |config, values| address::list(values).map(|addresses| config.listen = addresses),
        show: |config| toml::Value::from(config.listen.clone()).to_string(),
    },
    Setting {
        name: "open",
        value: "BOOL",
        heading: "Serving",
        help: "Listen beyond this machine even without tokens: anybody who connects may be any client",
        many: false,
        switch: true,
        parse: |config, values| switch(values).map(|value| config.open = value),
        show: |config| config.open.to_string(),
    },
    Setting {
        name: "data-dir",
        value: "DIR",
        heading: "Serving",
        help: "Where everything is stored; defaults to $STATE_DIRECTORY if set, else ./dantok-data",
        many: false,
        switch: false,
        parse: |config, values| {
            config.data_dir = PathBuf::from(one(values)?);
            if config.data_dir.as_os_str().is_empty() { Err("takes a directory".to_owned()) } else { Ok(()) }
        },
        show: |config| quoted(&config.data_dir.to_string_lossy()),
    },
    Setting {
        name: "tokens",
        value: "FILE",
        heading: "Serving",
        help: "Who may connect, and as whom, as `dantok token` writes it; defaults to tokens.toml in the data directory",
        many: false,
        switch: false,
        parse: |config, values| {
            config.tokens = Some(PathBuf::from(one(values)?)).filter(|path| !path.as_os_str().is_empty());
            if config.tokens.is_none() { Err("takes a file".to_owned()) } else { Ok(()) }
        },
        show: |config| quoted(&config.tokens_path().to_string_lossy()),
    },
    Setting {
        name: "retention",
        value: "TIME",
        heading: "Serving",
        help: "How long a message is kept, like 24h or 30days; at least 24h",
        many: false,
        switch: false,
        parse: |config, values| some_duration(values).map(|value| config.retention = value),
        show: |config| shown(config.retention),
    },
    Setting {
        name: "allow-short-retention",
        value: "BOOL",
        heading: "Serving",
        help: "Allow --retention under 24h: for tests, since messages are then dropped sooner than promised",
        many: false,
        switch: true,
        parse: |config, values| switch(values).map(|value| config.allow_short_retention = value),
        show: |config| config.allow_short_retention.to_string(),
    },
    Setting {
        name: "drain-timeout",
        value: "TIME",
        heading: "Serving",
        help: "How long connections have at shutdown to receive their last answers",
        many: false,
        switch: false,
        parse: |config, values| duration(values).map(|value| config.limits.drain_timeout = value),
        show: |config| shown(config.limits.drain_timeout),
    },
    #[cfg(feature = "metrics")]
    Setting {
        name: "metrics",
        value: "ADDRESS",
        heading: "Serving",
        help: "Address to answer Prometheus on over HTTP, like 127.0.0.1:9420: /metrics, /healthz, /readyz; may be repeated, or none",
        many: true,
        switch: false,
        parse: |config, values| address::list(values).map(|addresses| config.metrics = addresses),
        show: |config| toml::Value::from(config.metrics.clone()).to_string(),
    },
    #[cfg(feature = "web")]
    web::LISTEN,
    #[cfg(all(feature = "web", feature = "tls"))]
    web::LISTEN_TLS,
    #[cfg(feature = "web")]
    web::HOST,
    #[cfg(feature = "web")]
    web::PATH,
    #[cfg(feature = "web")]
    web::TRUSTED_PROXY,
    #[cfg(feature = "tls")]
    tls::LISTEN,
    #[cfg(feature = "tls")]
    tls::CERT,
    #[cfg(feature = "tls")]
    tls::KEY,
    #[cfg(feature = "tls")]
    tls::CLIENT_CA,
    Setting {
        name: "max-body",
        value: "SIZE",
        heading: "Limits",
        help: "Longest message, like 64KiB; up to 1MiB",
        many: false,
        switch: false,
        parse: |config, values| body(values).map(|value| config.limits.body_max_bytes = value),
        show: |config| config.limits.body_max_bytes.to_string(),
    },
    Setting {
        name: "max-connections",
        value: "N",
        heading: "Limits",
        help: "Connections at once",
        many: false,
        switch: false,
        parse: |config, values| count(values).map(|value| config.limits.connections_max = value),
        show: |config| config.limits.connections_max.to_string(),
    },
    per_client::CONNECTIONS,
    Setting {
        name: "max-rooms",
        value: "N",
        heading: "Limits",
        help: "Rooms that may exist",
        many: false,
        switch: false,
        parse: |config, values| count(values).map(|value| config.limits.rooms_max = value),
        show: |config| config.limits.rooms_max.to_string(),
    },
    per_client::ROOMS,
    Setting {
        name: "max-joined-rooms",
        value: "N",
        heading: "Limits",
        help: "Rooms that one client may be a member of",
        many: false,
        switch: false,
        parse: |config, values| count(values).map(|value| config.limits.joined_rooms_max = value),
        show: |config| config.limits.joined_rooms_max.to_string(),
    },
    Setting {
        name: "max-room-retention",
        value: "TIME",
        heading: "Limits",
        help: "Longest retention that a room may set for itself",
        many: false,
        switch: false,
        parse: |config, values| some_duration(values).map(|value| config.limits.room_retention_max = value),
        show: |config| shown(config.limits.room_retention_max),
    },
    per_client::REQUESTS,
    per_client::BYTES,
    Setting {
        name: "hello-timeout",
        value: "TIME",
        heading: "Limits",
        help: "How long a connection has to say HELLO",
        many: false,
        switch: false,
        parse: |config, values| some_duration(values).map(|value| config.limits.hello_timeout = value),
        show: |config| shown(config.limits.hello_timeout),
    },
    Setting {
        name: "log",
        value: "FILTER",
        heading: "Logging",
        help: "What is logged: error, warn, info, debug, trace, or a filter like dantok_store=debug",
        many: false,
        switch: false,
        parse: |config, values| {
            let filter = one(values)?;
            filter::parse(filter)?;
            config.log = filter.to_owned();
            Ok(())
        },
        show: |config| quoted(&config.log),
    },
    Setting {
        name: "log-format",
        value: "FORMAT",
        heading: "Logging",
        help: "text, or json: one object per line",
        many: false,
        switch: false,
        parse: |config, values| {
            config.log_format = match one(values)? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("takes text or json".to_owned()),
            };
            Ok(())
        },
        show: |config| quoted(if config.log_format == LogFormat::Json { "json" } else { "text" }),
    },
];

/// Settings that take effect at a start only; SIGHUP applies the others.
pub const AT_START: &[&str] = &[
    "listen",
    "listen-tls",
    "metrics",
    "web",
    "web-tls",
    "web-host",
    "web-path",
    "web-trusted-proxy",
    "open",
    "data-dir",
    "tokens",
    "log-format",
];
