//! The daemon as a process: its log, its listeners, its signals, and its notifications to the service manager.

mod check;
mod listen;
pub mod log;
mod notify;
mod reload;
pub mod sockets;

use std::future::Future;
use std::sync::{Arc, Weak};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Resolved};
use crate::connection::Speaks;
use crate::error::Error;
#[cfg(any(feature = "metrics", feature = "web"))]
use crate::http::Watched;
use crate::hub::Hub;
use crate::limits::{Limits, RETENTION_FLOOR};
use crate::liveness::Liveness;
#[cfg(feature = "metrics")]
use crate::metrics;
use crate::server::{self, Listener, Server, Serves};
use crate::settings::{Live, Settings};
use crate::tokens::Tokens;
pub use check::check;
use dantok_supervise::Caught;
use listen::Wanted;
use reload::Reload;
pub use reload::Resolve;
use sockets::Passed;

/// Runs until SIGTERM or SIGINT, or until the store fails. `resolve` reads the configuration again at SIGHUP.
///
/// # Errors
/// What can't be listened on, read, or opened; or why the store failed.
pub fn run(resolved: Resolved, passed: Passed, resolve: Resolve) -> Result<(), Error> {
    let filter = log::init(&resolved.config.log, resolved.config.log_format);
    let filter = filter.map_err(|error| Error::Setup(error.to_string()))?;
    dantok_supervise::log_panics();
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    // Sockets that are passed in replace the default of --listen.
    let is_passed = !passed.plain.is_empty() || !passed.tls.is_empty();
    let listens = !is_passed || resolved.is_given("listen");
    let ran =
        tokens(&resolved).and_then(|tokens| run_logged(resolved.config, listens, passed, tokens, filter, resolve));
    if let Err(error) = &ran {
        tracing::error!("{error}");
    }
    ran
}

/// Loads the tokens: who may connect as which client.
fn tokens(resolved: &Resolved) -> Result<Arc<Tokens>, Error> {
    let (path, is_named) = (resolved.config.tokens_path(), resolved.is_given("tokens"));
    Ok(Arc::new(Tokens::of_store(&path, is_named, &resolved.config.data_dir, resolved.config.open)?))
}

/// `listens` says whether to listen on the addresses of `--listen`.
fn run_logged(
    config: Config,
    listens: bool,
    passed: Passed,
    tokens: Arc<Tokens>,
    filter: log::Filter,
    resolve: Resolve,
) -> Result<(), Error> {
    expect_connections(&config.limits);
    if config.retention < RETENTION_FLOOR {
        tracing::warn!(
            retention = %dantok_protocol::units::in_words(config.retention),
            "messages are dropped sooner than 24h after their receipt, as --allow-short-retention asks"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(process)?;
    let serving = std::pin::pin!(serve(config, listens, passed, tokens, filter, resolve));
    let served: Result<bool, Error> = runtime.block_on(async {
        let caught = Caught(serving).await;
        caught.unwrap_or_else(|panic| {
            let (name, message) = (crate::duties::LISTENERS.name, dantok_supervise::panic_message(&*panic));
            Err(Error::Command(format!("{name} panicked: {message}; this is a bug")))
        })
    });
    if !matches!(served, Ok(true)) {
        // Don't wait for threads that hang in a failed store, or in one that is still opening.
        runtime.shutdown_background();
    }
    served.map(drop)
}

/// Serves until the daemon is told to stop, or its store fails. Returns whether the store was closed.
async fn serve(
    config: Config,
    listens: bool,
    passed: Passed,
    tokens: Arc<Tokens>,
    filter: log::Filter,
    resolve: Resolve,
) -> Result<bool, Error> {
    let mut shutdown = Box::pin(shutdown().map_err(process)?);
    let hangup = signal(SignalKind::hangup()).map_err(process)?;
    let wanted = listen::wanted(&config, listens, &passed).await?;
    #[cfg(any(feature = "metrics", feature = "web"))]
    let watched = Arc::<Watched>::default();
    let mut opened = Opened { by_anybody: tokens.are_wanted() || config.open, ..Opened::default() };
    #[cfg(feature = "tls")]
    opened.listen_tls(&config, &wanted, passed.tls)?;
    opened.listen(&wanted, passed.plain)?;
    #[cfg(feature = "web")]
    opened.listen_for_web(&config, &wanted, passed.web, &watched)?;
    if opened.listeners.is_empty() {
        return Err(check::no_address());
    }
    if !tokens.are_wanted() {
        let file = config.tokens_path();
        tracing::info!("there are no tokens in {}: whoever connects may be any client", file.display());
    }
    #[cfg(feature = "metrics")]
    listen_for_metrics(&wanted, passed.metrics, &watched)?;
    let settings = Settings { retention: config.retention, limits: config.limits.clone() };
    let options = server::Options { data_dir: config.data_dir.clone(), tokens, settings };
    let server = tokio::select! {
        server = Server::open(options) => server?,
        () = notify::opening() => return Err(Error::Command("notifying the service manager ended before the store was open".to_owned())),
        () = &mut shutdown => {
            tracing::info!("stopped while the store opened; the next start opens it again");
            return Ok(false);
        }
    };
    #[cfg(any(feature = "metrics", feature = "web"))]
    watched.set_hub(server.hub());
    #[cfg(all(feature = "metrics", feature = "tls"))]
    watched.show_certificates(opened.tls.as_ref());
    #[cfg(feature = "tls")]
    if let Some(tls) = &opened.tls {
        let tls = Arc::downgrade(tls);
        dantok_supervise::task(&crate::duties::CERTIFICATES, move || warn_daily(tls.clone()));
    }
    notify::ready();
    let hub = Arc::downgrade(server.hub());
    let of_watchdog = hub.clone();
    dantok_supervise::task(&crate::duties::WATCHDOG, move || watch(of_watchdog.clone()));
    let (stopping, settings) = (server.hub().stopping.clone(), server.hub().settings.clone());
    dantok_supervise::task(&crate::duties::END, move || announce_stop(stopping.clone(), settings.clone()));
    let Opened {
        listeners,
        #[cfg(feature = "tls")]
        tls,
        #[cfg(feature = "tls")]
        wants_client_ca,
        ..
    } = opened;
    let reload = Reload {
        resolve,
        config,
        hub,
        filter,
        #[cfg(feature = "tls")]
        tls,
        #[cfg(feature = "tls")]
        wants_client_ca,
    };
    dantok_supervise::brief(crate::duties::RELOAD.name, reload.run(hangup));
    dantok_supervise::fail_point(crate::duties::LISTENERS.name);
    server.serve(listeners, shutdown).await?;
    Ok(true)
}

/// Serves metrics and health checks from now on, because the store may take a while to open. They reveal nothing about anybody, so any
/// address is allowed.
#[cfg(feature = "metrics")]
fn listen_for_metrics(
    wanted: &[Wanted],
    passed: Vec<std::net::TcpListener>,
    watched: &Arc<Watched>,
) -> Result<(), Error> {
    let passed = passed.into_iter().map(TcpListener::from_std);
    let mut sockets = passed.collect::<Result<Vec<_>, _>>().map_err(process)?;
    sockets.extend(listen::bind(wanted, "--metrics")?);
    for socket in sockets {
        tracing::info!(address = %socket.local_addr().map_err(process)?, "metrics");
        let (socket, watched) = (Arc::new(socket), watched.clone());
        dantok_supervise::task(&crate::duties::METRICS, move || metrics::serve(socket.clone(), watched.clone()));
    }
    Ok(())
}

/// When the daemon stops, for whatever reason, tells the service manager how long that may take.
async fn announce_stop(stopping: CancellationToken, settings: Arc<Live>) {
    stopping.cancelled().await;
    notify::stopping(settings.get().limits.drain_timeout);
}

/// Keeps the watchdog fed for as long as the daemon is alive.
async fn watch(hub: Weak<Hub>) {
    let Some(liveness) = hub.upgrade().map(|hub| Liveness::new(&hub)) else { return };
    notify::watch(hub, liveness).await;
}

/// An error for a resource that the system refuses to the process.
fn process(error: std::io::Error) -> Error {
    Error::Command(format!("the system refuses a resource that the daemon needs to start: {error}"))
}

/// What the daemon listens on, and who is let in there.
#[derive(Default)]
struct Opened {
    /// Whether strangers are kept out, or let in on purpose.
    by_anybody: bool,
    listeners: Vec<Listener>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<crate::tls::Server>>,
    /// Whether only the required client certificate keeps strangers out.
    #[cfg(feature = "tls")]
    wants_client_ca: bool,
}

impl Opened {
    fn listen(&mut self, wanted: &[Wanted], passed: Vec<std::net::TcpListener>) -> Result<(), Error> {
        for socket in passed {
            self.add(
                TcpListener::from_std(socket).map_err(process)?,
                Speaks::Plain,
                Serves::Protocol,
                true,
                self.by_anybody,
            )?;
        }
        for socket in listen::bind(wanted, "--listen")? {
            self.add(socket, Speaks::Plain, Serves::Protocol, false, self.by_anybody)?;
        }
        Ok(())
    }

    /// Listens for TLS, if it is configured.
    #[cfg(feature = "tls")]
    fn listen_tls(
        &mut self,
        config: &Config,
        wanted: &[Wanted],
        passed: Vec<std::net::TcpListener>,
    ) -> Result<(), Error> {
        let Some(files) = config.tls_files().map_err(|error| Error::Setup(error.to_string()))? else { return Ok(()) };
        let loaded = crate::tls::Server::load(&files).map_err(|error| Error::Setup(error.to_string()))?;
        let tls = Arc::new(loaded);
        // A required client certificate keeps strangers out as well.
        let by_anybody = self.by_anybody || files.client_ca.is_some();
        for socket in passed {
            let socket = TcpListener::from_std(socket).map_err(process)?;
            self.add(socket, Speaks::Tls(tls.clone()), Serves::Protocol, true, by_anybody)?;
        }
        for socket in listen::bind(wanted, "--listen-tls")? {
            self.add(socket, Speaks::Tls(tls.clone()), Serves::Protocol, false, by_anybody)?;
        }
        self.tls = Some(tls);
        self.note_client_ca();
        Ok(())
    }

    /// Notes whether only the required client certificate keeps strangers out of what is listened on so far.
    #[cfg(feature = "tls")]
    fn note_client_ca(&mut self) {
        let is_reached =
            |listener: &Listener| listener.socket.local_addr().map_or(true, |address| !address.ip().is_loopback());
        self.wants_client_ca = !self.by_anybody && self.listeners.iter().any(is_reached);
    }

    /// Listens for browsers and HTTP clients.
    #[cfg(feature = "web")]
    fn listen_for_web(
        &mut self,
        config: &Config,
        wanted: &[Wanted],
        passed: Vec<std::net::TcpListener>,
        watched: &Arc<Watched>,
    ) -> Result<(), Error> {
        let site = Arc::new(crate::web::Site { settings: config.web.clone(), watched: watched.clone() });
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            let by_anybody = self.by_anybody || config.tls.client_ca.is_some();
            for socket in listen::bind(wanted, "--web-tls")? {
                self.add(socket, Speaks::Tls(tls.clone()), Serves::Web(site.clone()), false, by_anybody)?;
            }
            self.note_client_ca();
        }
        for socket in passed {
            let socket = TcpListener::from_std(socket).map_err(process)?;
            self.add(socket, Speaks::Plain, Serves::Web(site.clone()), true, self.by_anybody)?;
        }
        for socket in listen::bind(wanted, "--web")? {
            self.add(socket, Speaks::Plain, Serves::Web(site.clone()), false, self.by_anybody)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        socket: TcpListener,
        speaks: Speaks,
        serves: Serves,
        is_passed: bool,
        by_anybody: bool,
    ) -> Result<(), Error> {
        let address = socket.local_addr().map_err(process)?;
        check::expect_open(address, by_anybody)?;
        let how = if is_passed { ", on a socket that was passed in" } else { "" };
        match (&speaks, &serves) {
            (Speaks::Plain, Serves::Protocol) => tracing::info!(%address, "listening{how}"),
            #[cfg(feature = "tls")]
            (Speaks::Tls(_), Serves::Protocol) => tracing::info!(%address, "listening for TLS{how}"),
            #[cfg(feature = "web")]
            (Speaks::Plain, Serves::Web(_)) => tracing::info!(%address, "listening for the web{how}"),
            #[cfg(all(feature = "web", feature = "tls"))]
            (Speaks::Tls(_), Serves::Web(_)) => tracing::info!(%address, "listening for the web over TLS{how}"),
        }
        self.listeners.push(Listener { socket, speaks, serves, is_passed });
        Ok(())
    }
}

/// Warns now and once a day of certificates that are about to expire, or have.
#[cfg(feature = "tls")]
async fn warn_daily(tls: Weak<crate::tls::Server>) {
    while let Some(tls) = tls.upgrade() {
        tls.warn();
        drop(tls);
        tokio::time::sleep(std::time::Duration::from_secs(86_400)).await;
    }
}

/// Completes at the first SIGTERM or SIGINT.
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

/// Raises the limit of file descriptors as far as needed and allowed: each connection takes one, and so do the store's files.
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
