//! SIGHUP: reads the configuration again, and the files that it names.

use std::sync::Weak;

use tokio::signal::unix::Signal;

use super::log::Filter;
use super::notify;
use crate::config::{AT_START, Config, ConfigError, Resolved, SETTINGS};
use crate::hub::Hub;
use crate::limits::Limits;
use crate::settings::Settings;

/// Resolves the configuration again.
pub type Resolve = Box<dyn Fn() -> Result<Resolved, ConfigError> + Send + Sync>;

/// What a reload reads, and what it changes.
pub(super) struct Reload {
    pub(super) resolve: Resolve,
    /// The configuration in effect.
    pub(super) config: Config,
    pub(super) hub: Weak<Hub>,
    pub(super) filter: Filter,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<std::sync::Arc<crate::tls::Server>>,
    /// Whether only `--tls-client-ca` kept strangers out at the start.
    #[cfg(feature = "tls")]
    pub(super) wants_client_ca: bool,
}

impl Reload {
    /// Reloads at each signal, for as long as the daemon runs.
    pub(super) async fn run(mut self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            notify::reloading();
            // Reading files may take a while.
            let reload = || {
                dantok_supervise::fail_point(crate::duties::RELOAD.name);
                tokio::task::block_in_place(|| self.reload());
            };
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(reload)) {
                let (name, message) = (crate::duties::RELOAD.name, dantok_supervise::panic_message(&*panic));
                tracing::error!(
                    "SIGHUP: {name} panicked: {message}; this is a bug; what it had not reached stays as it was"
                );
            }
            notify::ready();
        }
    }

    fn reload(&mut self) {
        let (config, Some(hub)) = ((self.resolve)(), self.hub.upgrade()) else { return };
        let config = match config {
            #[cfg(feature = "tls")]
            Ok(Resolved { config, .. }) if self.lets_strangers_in(&config, &hub) => {
                return tracing::error!(
                    "SIGHUP: without tls-client-ca and without tokens, anybody could connect as any client; everything stays as it was"
                );
            }
            Ok(Resolved { config, .. }) => self.keep_what_needs_a_start(config),
            Err(error) => return tracing::error!("SIGHUP: {error}; everything stays as it was"),
        };
        let changed = differences(&self.config, &config).collect::<Vec<_>>();
        for (name, from, to) in &changed {
            tracing::info!("SIGHUP: {name} is now {to}; it was {from}");
        }
        if changed.is_empty() {
            tracing::info!("SIGHUP: the configuration has not changed");
        }
        if self.config.log != config.log
            && let Err(error) = self.filter.set(&config.log)
        {
            tracing::error!("SIGHUP: log can't be changed: {error}");
        }
        super::expect_connections(&config.limits);
        let of_people = |limits: &Limits| (limits.requests_per_second, limits.bytes_per_second, limits.body_max_bytes);
        let before = of_people(&hub.settings.get().limits);
        hub.settings.set(Settings { retention: config.retention, limits: config.limits.clone() });
        // Afterwards, so that the new limits apply to whoever connects meanwhile. Only if they changed, because new rate limits
        // start with their full burst.
        if before != of_people(&config.limits) {
            hub.people.pace(&config.limits);
        }
        hub.tokens.refresh_aloud();
        #[cfg(feature = "tls")]
        self.reload_tls(&config);
        self.config = config;
        tracing::info!("SIGHUP: done");
    }

    /// Warns of changes that need a restart, and leaves those settings as they were.
    fn keep_what_needs_a_start(
        &self,
        #[cfg_attr(
            not(any(feature = "metrics", feature = "tls", feature = "web")),
            expect(unused_mut, reason = "no feature's is kept")
        )]
        mut config: Config,
    ) -> Config {
        for (name, from, to) in differences(&self.config, &config).filter(|(name, ..)| AT_START.contains(name)) {
            tracing::warn!("SIGHUP: {name} stays {from} until the daemon is restarted; then it will be {to}");
        }
        #[cfg(feature = "tls")]
        {
            config.tls.listen = self.config.tls.listen.clone();
        }
        #[cfg(feature = "web")]
        {
            config.web = self.config.web.clone();
        }
        #[cfg(feature = "metrics")]
        {
            config.metrics = self.config.metrics.clone();
        }
        let Config { listen, open, data_dir, tokens, log_format, .. } = self.config.clone();
        Config { listen, open, data_dir, tokens, log_format, ..config }
    }

    /// Whether the new configuration would let strangers in, which a start refuses.
    #[cfg(feature = "tls")]
    fn lets_strangers_in(&self, config: &Config, hub: &Hub) -> bool {
        // There may be tokens by now.
        hub.tokens.refresh();
        self.wants_client_ca && config.tls.client_ca.is_none() && !hub.tokens.are_wanted()
    }

    #[cfg(feature = "tls")]
    fn reload_tls(&self, config: &Config) {
        let (Some(tls), Ok(Some(files))) = (&self.tls, config.tls_files()) else { return };
        match tls.reload(&files) {
            Ok(()) => {
                let crate::tls::Files { cert, key, client_ca } = files;
                let client_ca = client_ca.as_ref().map(|path| path.display().to_string());
                tracing::info!(cert = %cert.display(), key = %key.display(), client_ca, "TLS files reloaded");
                tls.warn();
            }
            Err(error) => tracing::error!("{error}; TLS keeps what it had before SIGHUP"),
        }
    }
}

/// The settings that differ: their names and both values.
fn differences(from: &Config, to: &Config) -> impl Iterator<Item = (&'static str, String, String)> {
    let shown = SETTINGS.iter().map(|setting| (setting.name, (setting.show)(from), (setting.show)(to)));
    shown.filter(|(_, from, to)| from != to)
}
