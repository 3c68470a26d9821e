//! The daemon as a process: its log, its listeners, its signals, and what the service manager is told.

pub mod log;
mod notify;
mod reload;
pub mod sockets;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Resolved};
use crate::connection::Speaks;
use crate::error::Error;
use crate::limits::{Limits, RETENTION_FLOOR};
use crate::liveness::Liveness;
#[cfg(feature = "metrics")]
use crate::metrics;
use crate::server::{self, Listener, Server};
use crate::settings::Settings;
use crate::tokens::Tokens;
pub use reload::Again;
use reload::Reload;
use sockets::Passed;

/// What goes wrong is said to an operator, and ends the daemon.
type Failed = Box<dyn std::error::Error>;

/// Runs until SIGTERM or SIGINT, or until the store fails. `again` brings the configuration together anew at SIGHUP.
///
/// # Errors
/// What can't be listened on, read, or opened; or why the store failed.
pub fn run(resolved: Resolved, passed: Passed, again: Again) -> Result<(), Failed> {
    let filter = log::begin(&resolved.config.log, resolved.config.log_format)?;
    // Who hands in sockets has said where to listen.
    let is_passed = !passed.plain.is_empty() || !passed.tls.is_empty();
    let listens = !is_passed || resolved.is_said("listen");
    let ran = tokens(&resolved).and_then(|tokens| run_logged(resolved.config, listens, passed, tokens, filter, again));
    if let Err(error) = &ran {
        tracing::error!("{error}");
    }
    ran
}

/// Who may be whom.
fn tokens(resolved: &Resolved) -> Result<Arc<Tokens>, Failed> {
    let (path, is_named) = (resolved.config.tokens_path(), resolved.is_said("tokens"));
    Ok(Arc::new(Tokens::of_store(&path, is_named, &resolved.config.data_dir, resolved.config.open)?))
}

/// `listens`: on the addresses of `--listen`.
fn run_logged(
    config: Config,
    listens: bool,
    passed: Passed,
    tokens: Arc<Tokens>,
    filter: log::Filter,
    again: Again,
) -> Result<(), Failed> {
    expect_connections(&config.limits);
    if config.retention < RETENTION_FLOOR {
        tracing::warn!(
            retention = %crate::units::in_words(config.retention),
            "messages are dropped sooner than 24h after their receipt, as --allow-short-retention asks"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Whether the store was closed.
    let served: Result<bool, Failed> = runtime.block_on(async {
        let (mut shutdown, hangup) = (Box::pin(shutdown()?), signal(SignalKind::hangup())?);
        let mut opened = Opened { by_anybody: tokens.are_wanted() || config.open, ..Opened::default() };
        #[cfg(feature = "tls")]
        opened.listen_tls(&config, passed.tls).await?;
        opened.listen(if listens { &config.listen } else { &[] }, passed.plain).await?;
        if !tokens.are_wanted() {
            let file = config.tokens_path();
            tracing::info!("there are no tokens in {}: whoever connects may be any client", file.display());
        }
        #[cfg(feature = "metrics")]
        let watched = listen_for_metrics(&config.metrics, passed.metrics).await?;
        let settings = Settings { retention: config.retention, limits: config.limits.clone() };
        let options = server::Options { data_dir: config.data_dir.clone(), tokens, settings };
        let server = tokio::select! {
            server = Server::open(options) => server?,
            () = notify::opening() => return Err("the service manager was told for ever that the store opens".into()),
            () = &mut shutdown => {
                tracing::info!("stopped while the store opened, which the next start does anew");
                return Ok(false);
            }
        };
        #[cfg(feature = "metrics")]
        watched.begin(server.hub());
        notify::ready();
        let hub = Arc::downgrade(server.hub());
        tokio::spawn(notify::watch(hub.clone(), Liveness::new(server.hub())));
        tokio::spawn(tell_of_the_end(server.hub()));
        let Opened {
            listeners,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            wants_client_ca,
            ..
        } = opened;
        let reload = Reload {
            again,
            config,
            hub,
            filter,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            wants_client_ca,
        };
        tokio::spawn(reload.run(hangup));
        server.serve(listeners, shutdown).await?;
        Ok(true)
    });
    if !matches!(served, Ok(true)) {
        // What hangs in a store that failed, or that opens yet, does not hold up the end.
        runtime.shutdown_background();
    }
    served.map(drop)
}

/// Answers what watches over the daemon, from now on: the store may take a while to open. What it is shown tells of nobody, so that it may
/// be at any address.
#[cfg(feature = "metrics")]
async fn listen_for_metrics(
    addresses: &[String],
    passed: Vec<std::net::TcpListener>,
) -> Result<Arc<metrics::Watched>, Failed> {
    let mut sockets = passed.into_iter().map(TcpListener::from_std).collect::<Result<Vec<_>, _>>()?;
    for address in addresses {
        sockets.push(bind(address, "--metrics").await?);
    }
    let watched = Arc::<metrics::Watched>::default();
    for socket in sockets {
        tracing::info!(address = %socket.local_addr()?, "metrics");
        tokio::spawn(metrics::serve(socket, watched.clone()));
    }
    Ok(watched)
}

/// When the daemon stops, for whatever reason, the service manager is told how long that may take.
fn tell_of_the_end(hub: &crate::hub::Hub) -> impl Future<Output = ()> + Send + 'static {
    let (stopping, settings) = (hub.stopping.clone(), hub.settings.clone());
    async move {
        stopping.cancelled().await;
        notify::stopping(settings.get().limits.drain_timeout);
    }
}

/// What is listened on.
#[derive(Default)]
struct Opened {
    /// Whether strangers are kept out, or let in on purpose.
    by_anybody: bool,
    listeners: Vec<Listener>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<crate::tls::Server>>,
    /// Whether nothing but the certificate that clients must show keeps strangers out.
    #[cfg(feature = "tls")]
    wants_client_ca: bool,
}

impl Opened {
    async fn listen(&mut self, addresses: &[String], passed: Vec<std::net::TcpListener>) -> Result<(), Failed> {
        for socket in passed {
            self.take(TcpListener::from_std(socket)?, Speaks::Plain, true, self.by_anybody)?;
        }
        for address in addresses {
            self.take(bind(address, "--listen").await?, Speaks::Plain, false, self.by_anybody)?;
        }
        if self.listeners.is_empty() {
            return Err("there is no address to listen on; name one by --listen or --listen-tls".into());
        }
        Ok(())
    }

    /// Listens for TLS where it is asked for.
    #[cfg(feature = "tls")]
    async fn listen_tls(&mut self, config: &Config, passed: Vec<std::net::TcpListener>) -> Result<(), Failed> {
        let Some(files) = config.tls_files()? else { return Ok(()) };
        let tls = Arc::new(crate::tls::Server::load(&files)?);
        // A certificate that is asked for keeps strangers out as well.
        let by_anybody = self.by_anybody || files.client_ca.is_some();
        for socket in passed {
            self.take(TcpListener::from_std(socket)?, Speaks::Tls(tls.clone()), true, by_anybody)?;
        }
        for address in &config.tls.listen {
            self.take(bind(address, "--listen-tls").await?, Speaks::Tls(tls.clone()), false, by_anybody)?;
        }
        self.tls = Some(tls);
        let is_reached =
            |listener: &Listener| listener.socket.local_addr().map_or(true, |address| !address.ip().is_loopback());
        self.wants_client_ca = !self.by_anybody && self.listeners.iter().any(is_reached);
        Ok(())
    }

    fn take(&mut self, socket: TcpListener, speaks: Speaks, is_passed: bool, by_anybody: bool) -> Result<(), Failed> {
        let address = socket.local_addr()?;
        if !address.ip().is_loopback() && !by_anybody {
            return Err(Error::NotOpen { address }.into());
        }
        let how = if is_passed { ", on a socket that was handed in" } else { "" };
        match speaks {
            Speaks::Plain => tracing::info!(%address, "listening{how}"),
            #[cfg(feature = "tls")]
            Speaks::Tls(_) => tracing::info!(%address, "listening for TLS{how}"),
        }
        self.listeners.push(Listener { socket, speaks, is_passed });
        Ok(())
    }
}

async fn bind(address: &str, option: &str) -> Result<TcpListener, Failed> {
    Ok(TcpListener::bind(address).await.map_err(|error| format!("can't listen on {address}: {error}; see {option}"))?)
}

/// Done at the first SIGTERM or SIGINT.
fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Each connection takes a descriptor, and so do the store's files.
fn expect_connections(limits: &Limits) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = limits.connections_max as u64 + 256;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        if setrlimit(Resource::Nofile, limit).is_err() || limit.current < Some(wanted) {
            tracing::warn!(descriptors = limit.current, wanted, "too few file descriptors for --max-connections");
        }
    }
}
