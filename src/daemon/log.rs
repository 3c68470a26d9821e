//! The log: one line per event, on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, filter};

type Set = dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync;

/// What is logged; can be changed while the daemon runs.
pub struct Filter(Box<Set>);

impl Filter {
    /// Replaces the filter.
    ///
    /// # Errors
    /// The filter is invalid.
    pub fn set(&self, filter: &str) -> Result<(), Box<dyn std::error::Error>> {
        Ok((self.0)(filter::parse(filter)?)?)
    }
}

/// Starts logging.
///
/// # Errors
/// The filter is invalid, or a logger is already set.
pub fn init(filter: &str, format: LogFormat) -> Result<Filter, Box<dyn std::error::Error>> {
    let filter = filter::parse(filter)?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    Ok(match format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(|error| error.to_string())?;
            Filter(Box::new(move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(|error| error.to_string())?;
            Filter(Box::new(move |filter| handle.reload(filter)))
        }
    })
}
