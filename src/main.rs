//! The daemon: arguments, logging, listeners, exit code.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use dantok::config::{self, Config, LogFormat, Resolved};
use dantok::connection::Speaks;
use dantok::limits::RETENTION_FLOOR;
use dantok::protocol::name::check_client;
use dantok::server::Listener;
use dantok::store::check::Progress;
use dantok::tokens::{Ledger, Role, Tokens};
use dantok::{cli, doctor, server, store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    if command == "token" {
        return token(matches, &resolved.config.tokens_path());
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
    let tokens = Arc::new(Tokens::open(&config.tokens_path())?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let (shutdown, hangup) = (shutdown()?, signal(SignalKind::hangup())?);
        let by_anybody = tokens.are_wanted() || config.open;
        let mut listeners = Vec::new();
        // What SIGHUP reads again is added here.
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "nothing is read again"))]
        let mut reloads: Vec<Reload> = Vec::new();
        #[cfg(feature = "tls")]
        listen_tls(&config, by_anybody, &mut listeners, &mut reloads).await?;
        tokio::spawn(reload(hangup, reloads));
        for address in &config.listen {
            let socket = listen(address, "--listen", by_anybody).await?;
            tracing::info!(address = %socket.local_addr()?, "listening");
            listeners.push(Listener { socket, speaks: Speaks::Plain });
        }
        if listeners.is_empty() {
            return Err("there is no address to listen on; name one by --listen or --listen-tls".into());
        }
        if !tokens.are_wanted() {
            tracing::info!("there are no tokens: whoever connects may be any client");
        }
        let Config { data_dir, retention, limits, .. } = config;
        let options = server::Options { data_dir, tokens, retention, limits };
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

/// Issues, lists and revokes.
fn token(matches: &ArgMatches, path: &Path) -> ExitCode {
    let done = match matches.subcommand() {
        Some(("issue", matches)) => issue(matches, path),
        Some(("revoke", matches)) => revoke(matches, path),
        _ => list(path),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

fn issue(matches: &ArgMatches, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let client = matches.get_one::<String>("client").map_or("", String::as_str);
    check_client(client).map_err(|refusal| refusal.text)?;
    let role = if matches.get_flag("admin") { Role::Admin } else { Role::Member };
    let mut ledger = Ledger::open(path)?;
    let token = ledger.issue(client, role, matches.get_one::<Duration>("expires").copied())?;
    // The token alone is for a pipe.
    println!("{token}");
    eprintln!("{client} says: HELLO {client} {token}");
    eprintln!("It is not shown again; {} has its hash.", path.display());
    Ok(())
}

fn revoke(matches: &ArgMatches, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let which = matches.get_one::<String>("which").map_or("", String::as_str);
    let revoked = Ledger::open(path)?.revoke(which)?;
    if revoked.is_empty() {
        return Err(format!("{}: no token has the id {which}, and none is {which}'s", path.display()).into());
    }
    for token in revoked {
        println!("{} of {} is revoked", token.id, token.client);
    }
    Ok(())
}

fn list(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let ledger = Ledger::open(path)?;
    for token in ledger.tokens() {
        let issued = humantime::format_rfc3339_seconds(token.issued);
        let ends = token.expires.map_or("never".to_owned(), |end| humantime::format_rfc3339_seconds(end).to_string());
        let role = if token.role == Role::Admin { "admin" } else { "member" };
        let over = if token.has_expired() { " (over)" } else { "" };
        println!("{}  {role:6}  issued {issued}  ends {ends}{over}  {}", token.id, token.client);
    }
    Ok(())
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

async fn listen(address: &str, option: &str, by_anybody: bool) -> Result<TcpListener, Box<dyn std::error::Error>> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|error| format!("can't listen on {address}: {error}; see {option}"))?;
    let local = listener.local_addr()?;
    if !local.ip().is_loopback() && !by_anybody {
        return Err(dantok::error::Error::NotOpen { address: local }.into());
    }
    Ok(listener)
}

/// Listens for TLS where it is asked for.
#[cfg(feature = "tls")]
async fn listen_tls(
    config: &Config,
    by_anybody: bool,
    listeners: &mut Vec<Listener>,
    reloads: &mut Vec<Reload>,
) -> Result<(), Box<dyn std::error::Error>> {
    let Some(files) = config.tls_files()? else { return Ok(()) };
    let tls = Arc::new(dantok::tls::Server::load(files)?);
    // A certificate that is asked for keeps strangers out as well.
    let by_anybody = by_anybody || tls.files().client_ca.is_some();
    for address in &config.tls.listen {
        let socket = listen(address, "--listen-tls", by_anybody).await?;
        tracing::info!(address = %socket.local_addr()?, "listening for TLS");
        listeners.push(Listener { socket, speaks: Speaks::Tls(tls.clone()) });
    }
    reloads.push(Box::new(move || match tls.reload() {
        Ok(()) => {
            let dantok::tls::Files { cert, key, client_ca } = tls.files();
            let client_ca = client_ca.as_ref().map(|path| path.display().to_string());
            tracing::info!(cert = %cert.display(), key = %key.display(), client_ca, "TLS was read again");
        }
        Err(error) => tracing::error!("{error}; TLS goes on with what it had before SIGHUP"),
    }));
    Ok(())
}

/// Reads something again, and says in the log what came of it.
type Reload = Box<dyn Fn() + Send + Sync>;

/// At each SIGHUP all of them; without any, it is at least not the end.
async fn reload(mut hangup: Signal, reloads: Vec<Reload>) {
    while hangup.recv().await.is_some() {
        if reloads.is_empty() {
            tracing::info!("SIGHUP: there is nothing to be read again");
        }
        // They read files, which may take its time.
        tokio::task::block_in_place(|| reloads.iter().for_each(|reload| reload()));
    }
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
