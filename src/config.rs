//! The configuration, and where each value comes from: a flag, an environment variable, the file, or the default, in that order.
//!
//! [`SETTINGS`] is the one table behind the command line, the environment, the file and `dantok config`.

mod address;
mod environment;
mod example;
mod file;
pub(crate) mod filter;
mod nearest;
mod per_client;
mod resolve;
mod table;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "web")]
mod web;

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{Limits, RETENTION_FLOOR};
pub use environment::Environment;
pub use example::example;
pub use resolve::{ConfigError, Resolved, Source, resolve};
pub use table::{AT_START, SETTINGS, Setting};
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(feature = "web")]
pub use web::{Network, Web};

/// The configuration of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<String>,
    /// The settings of TLS.
    #[cfg(feature = "tls")]
    pub tls: Tls,
    /// The settings of the web.
    #[cfg(feature = "web")]
    pub web: Web,
    /// Addresses to serve metrics on.
    #[cfg(feature = "metrics")]
    pub metrics: Vec<String>,
    /// Whether clients from other machines are let in even if there are no tokens.
    pub open: bool,
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// The tokens file; none: the one in the data directory.
    pub tokens: Option<PathBuf>,
    /// How long a message is kept.
    pub retention: Duration,
    /// Whether that may be less than promised.
    pub allow_short_retention: bool,
    /// The limits.
    pub limits: Limits,
    /// What is logged, as an `EnvFilter`.
    pub log: String,
    /// The form of the log.
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: vec!["127.0.0.1:7420".to_owned()],
            #[cfg(feature = "tls")]
            tls: Tls::default(),
            #[cfg(feature = "web")]
            web: Web::default(),
            #[cfg(feature = "metrics")]
            metrics: Vec::new(),
            open: false,
            data_dir: PathBuf::from("./dantok-data"),
            tokens: None,
            retention: RETENTION_FLOOR,
            allow_short_retention: false,
            limits: Limits::default(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Whether anything is to be served over TLS.
    pub(crate) fn wants_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        {
            #[cfg(feature = "web")]
            let by_web = !self.web.listen_tls.is_empty();
            #[cfg(not(feature = "web"))]
            let by_web = false;
            by_web || !self.tls.listen.is_empty() || self.tls.is_passed
        }
        #[cfg(not(feature = "tls"))]
        false
    }

    /// The tokens file in use.
    pub fn tokens_path(&self) -> PathBuf {
        self.tokens.clone().unwrap_or_else(|| self.data_dir.join("tokens.toml"))
    }
}
