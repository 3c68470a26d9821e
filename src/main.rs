//! The daemon: arguments, logging, listeners, exit code.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use dantok::config::{self, Config, LogFormat, Resolved};
use dantok::limits::RETENTION_FLOOR;
use dantok::store::check::Progress;
use dantok::{cli, doctor, server, store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What is wrong is the command line's.
const USAGE: u8 = 2;
/// How often `check` says where it is, where nobody watches.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let (command, matches) = match matches.subcommand() {
        Some((name, of_command)) => (name, of_command),
        None => ("serve", &matches),
    };
    let resolved = match resolve(matches) {
        Ok(resolved) => resolved,
        Err(error) => {
            eprintln!("dantok: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if command == "config" {
        print!("{}", resolved.show());
        return ExitCode::SUCCESS;
    }
    if command != "serve" {
        // These print what they find; a log would only repeat it, but for what ends them.
        let _ = log("error", resolved.config.log_format);
    }
    if command == "check" {
        let scratch = matches.get_one::<PathBuf>("scratch");
        return check(&resolved.config.data_dir, scratch.unwrap_or(&resolved.config.data_dir));
    }
    if command == "doctor" {
        return doctor(&resolved.config);
    }
    match serve(resolved.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn resolve(matches: &ArgMatches) -> Result<Resolved, config::ConfigError> {
    let file = matches.get_one::<PathBuf>("config");
    config::resolve(matches, file.map(PathBuf::as_path), std::env::var("STATE_DIRECTORY").ok().as_deref())
}

fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    log(&config.log, config.log_format)?;
    raise_descriptor_limit(config.limits.connections_max);
    if config.retention < RETENTION_FLOOR {
        tracing::warn!(
            retention = %humantime::format_duration(config.retention),
            "messages are dropped sooner than 24h after their receipt, as --allow-short-retention asks"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let shutdown = shutdown()?;
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(listen(address).await?);
        }
        let options = server::Options { data_dir: config.data_dir, retention: config.retention, limits: config.limits };
        server::run(listeners, options, shutdown).await?;
        Ok(())
    });
    if served.is_err() {
        // What hangs in a store that failed does not hold up the end.
        runtime.shutdown_background();
    }
    served
}

/// Prints what of a data directory is damaged, and what is not.
fn check(dir: &Path, scratch: &Path) -> ExitCode {
    let shown = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let mut at = Instant::now();
    let mut progress = |progress: Progress| {
        if shown {
            eprint!("\r\x1b[Kchecking {}: {} records", progress.part, progress.records);
        } else if at.elapsed() >= PROGRESS_EVERY {
            at = Instant::now();
            eprintln!("checking {}: {} records", progress.part, progress.records);
        }
    };
    let checked = store::check::check(dir, scratch, &mut progress);
    if shown {
        eprint!("\r\x1b[K");
    }
    match checked {
        Ok(report) => {
            print!("{report}");
            println!("{} {}", dir.display(), if report.is_sound() { "is sound" } else { "is DAMAGED" });
            if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what was found about the machine.
fn doctor(config: &Config) -> ExitCode {
    match doctor::examine(&config.data_dir, config.limits.connections_max) {
        Ok(report) => {
            print!("{report}");
            if report.can_keep_the_promises() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log(filter: &str, format: LogFormat) -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

async fn listen(address: &str) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|error| format!("can't listen on {address}: {error}; see --listen"))?;
    let local = listener.local_addr().map_err(|error| format!("can't tell the address of {address}: {error}"))?;
    tracing::info!(address = %local, "listening");
    if !local.ip().is_loopback() {
        tracing::warn!(address = %local, "whoever reaches this address may read and write every room");
    }
    Ok(listener)
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
fn raise_descriptor_limit(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = connections as u64 + 256;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        if setrlimit(Resource::Nofile, limit).is_err() || limit.current < Some(wanted) {
            tracing::warn!(descriptors = limit.current, wanted, "too few file descriptors for --max-connections");
        }
    }
}
