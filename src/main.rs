//! The entry point: runs the command, and maps its result to an exit code.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use dantok::config::{self, Config, Environment, Resolved};
use dantok::control::{Export, ExportFormat};
use dantok::daemon::sockets::{self, Passed};
use dantok::hooks::command as hooks;
use dantok::jobs::carry_out;
use dantok::tokens::Role;
use dantok::tokens::command::{self as tokens, TokensFile};
use dantok::{backup, cli, daemon, doctor, export, import, lookup};
use dantok_store::check::Progress;

/// The exit code for an invalid command line.
const USAGE: u8 = 2;
/// How often `check` reports its progress if stderr is not a terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Only the daemon's user may read what is stored.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let matches = cli::command().get_matches();
    #[cfg(feature = "manual")]
    match matches.subcommand() {
        Some(("completions", matches)) => return completions(matches),
        Some(("man", matches)) => return manual(matches),
        _ => {}
    }
    let (command, matches) = match matches.subcommand() {
        Some((name, of_command)) => (name, of_command),
        None => ("serve", &matches),
    };
    if command == "config" && matches.get_flag("example") {
        return put(config::example(&Config::default()).as_bytes());
    }
    let passed =
        if command == "serve" && !matches.get_flag("test") { sockets::inherited() } else { Ok(Passed::default()) };
    let both = passed.map_err(|error| vec![error]).and_then(|passed| match resolve(matches, !passed.tls.is_empty()) {
        Ok(resolved) => Ok((passed, resolved)),
        Err(error) => Err(error.problems().to_vec()),
    });
    let (passed, resolved) = match both {
        Ok(both) => both,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("dantok: {problem}"));
            return ExitCode::from(USAGE);
        }
    };
    let is_tested = matches!(command, "config" | "serve") && matches.get_flag("test");
    if command == "config" || is_tested {
        return configuration(matches, &resolved);
    }
    if command != "serve" {
        // These print their findings, so only errors are logged.
        let _ = daemon::log::init("error", resolved.config.log_format);
    }
    if command == "check" {
        let scratch = matches.get_one::<PathBuf>("scratch");
        return check(&resolved.config.data_dir, scratch.unwrap_or(&resolved.config.data_dir));
    }
    if command == "doctor" {
        return doctor(&resolved.config, matches.get_flag("json"));
    }
    if command == "epoch" {
        return epoch(matches.get_flag("renew"), &resolved.config.data_dir);
    }
    if let Some(done) = transfer(command, matches, &resolved.config) {
        return exit(done);
    }
    if command == "token" {
        return token(matches, &resolved);
    }
    if command == "hook" {
        return exit(hook(matches, &resolved.config));
    }
    let passes_tls = !passed.tls.is_empty();
    let matches = matches.clone();
    match daemon::run(resolved, passed, Box::new(move || resolve(&matches, passes_tls))) {
        Ok(()) => ExitCode::SUCCESS,
        // The log has it.
        Err(error) => ExitCode::from(if error.is_for_the_operator() { USAGE } else { 1 }),
    }
}

/// Prints a shell's completion script.
#[cfg(feature = "manual")]
fn completions(matches: &ArgMatches) -> ExitCode {
    let shell = matches.get_one::<String>("shell").map(String::as_str).unwrap_or_default();
    put(&cli::completions::script(shell).unwrap_or_default())
}

/// Prints a manual page.
#[cfg(feature = "manual")]
fn manual(matches: &ArgMatches) -> ExitCode {
    let words: Vec<String> = matches.get_many::<String>("page").into_iter().flatten().cloned().collect();
    let date = match cli::manual::date() {
        Ok(date) => date,
        Err(error) => {
            eprintln!("dantok: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if let Some(page) = cli::manual::page_of(&words, &date) {
        return put(page.as_bytes());
    }
    eprintln!("dantok: there is no manual page for {}; `dantok --help` lists the commands", words.join(" "));
    ExitCode::from(USAGE)
}

/// Prints a text. It is not an error if the reader closes the pipe early.
fn put(text: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("dantok: can't write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints the settings in effect; or, with `--check`, any problem that a start would find.
fn configuration(matches: &ArgMatches, resolved: &Resolved) -> ExitCode {
    for warning in &resolved.warnings {
        eprintln!("dantok: warning: {warning}");
    }
    if !matches.get_flag("test") {
        print!("{}", resolved.show());
        return ExitCode::SUCCESS;
    }
    let problems = daemon::check(resolved);
    problems.iter().for_each(|problem| eprintln!("dantok: {problem}"));
    if !problems.is_empty() {
        return ExitCode::from(USAGE);
    }
    println!("the configuration is valid");
    ExitCode::SUCCESS
}

fn resolve(matches: &ArgMatches, passes_tls: bool) -> Result<Resolved, config::ConfigError> {
    let file = matches.get_one::<PathBuf>("config");
    config::resolve(matches, file.map(PathBuf::as_path), &Environment::read(passes_tls))
}

/// Prints which parts of a data directory are damaged.
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
    let checked = dantok_store::check::check(dir, scratch, &mut progress);
    if shown {
        eprint!("\r\x1b[K");
    }
    match checked {
        Ok(report) => {
            print!("{report}");
            println!("{} {}", dir.display(), if report.is_intact() { "is intact" } else { "is DAMAGED" });
            if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the doctor's findings.
fn doctor(config: &Config, json: bool) -> ExitCode {
    match doctor::examine(&config.data_dir, config.limits.connections_max) {
        Ok(report) => {
            #[cfg(feature = "tls")]
            let report = report.with_certificates(config);
            if json {
                println!("{}", report.json())
            } else {
                print!("{report}")
            }
            if report.can_keep_the_promises() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a data directory's epoch, or starts a new one and prints that.
fn epoch(renew: bool, dir: &Path) -> ExitCode {
    match if renew { dantok_store::epoch::renew(dir).map(Some) } else { dantok_store::epoch::read(dir) } {
        Ok(Some(epoch)) => {
            println!("{epoch}");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!("dantok: {}: no epoch; the daemon makes one when it opens a data directory", dir.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs backup, restore, export or import; `None` for any other command.
fn transfer(command: &str, matches: &ArgMatches, config: &Config) -> Option<Result<(), dantok::error::Error>> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    Some(match command {
        "backup" => backup::make::run(config, carry_out, &path("to"), matches.get_flag("incremental")),
        "restore" => backup::restore::run(&path("from"), &config.data_dir, matches.get_flag("dry-run")),
        "export" => {
            let number = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(0);
            let is_text = matches.get_one::<String>("format").is_some_and(|format| format == "text");
            let format = if is_text { ExportFormat::Text } else { ExportFormat::Jsonl };
            let asked = Export { room: text("room"), format, after: number("after"), since_ms: number("since") };
            export::run(config, carry_out, asked)
        }
        "import" => import::run(config, carry_out, &text("room"), &path("file")),
        _ => return None,
    })
}

/// Prints an error, if there is one, and returns the exit code.
fn exit<E: std::fmt::Display>(done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dantok: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `dantok token`.
fn token(matches: &ArgMatches, resolved: &Resolved) -> ExitCode {
    let Resolved { config, .. } = resolved;
    let (path, data_dir) = (config.tokens_path(), config.data_dir.clone());
    let file = TokensFile { path, is_named: resolved.is_given("tokens"), data_dir };
    let text = |matches: &ArgMatches, name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    exit(match matches.subcommand() {
        Some(("issue", matches)) => {
            let role = if matches.get_flag("admin") { Role::Admin } else { Role::Member };
            let lasts = matches.get_one::<Duration>("expires").copied();
            tokens::issue(&file, &text(matches, "client"), role, lasts, matches.get_flag("as-is"))
        }
        Some(("revoke", matches)) => tokens::revoke(&file, &text(matches, "which")),
        _ => tokens::list(&file),
    })
}

/// Runs `dantok hook`.
fn hook(matches: &ArgMatches, config: &Config) -> Result<(), dantok::error::Error> {
    let text = |matches: &ArgMatches, name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match matches.subcommand() {
        Some(("add", matches)) => {
            let (name, wanted) = (text(matches, "name"), text(matches, "room"));
            let found = lookup::room(config, carry_out, &wanted)?;
            let (number, room) = (found.as_ref().map(|found| found.number), found.map_or(wanted, |found| found.name));
            let github_secret = matches.get_one::<PathBuf>("github-secret-file").map(PathBuf::as_path);
            #[cfg(feature = "web")]
            let prefix = &config.web.path;
            #[cfg(not(feature = "web"))]
            let prefix = "";
            hooks::add(&config.data_dir, prefix, &hooks::New { name: &name, room: &room, number, github_secret })
        }
        Some(("remove", matches)) => hooks::remove(&config.data_dir, &text(matches, "name")),
        _ => hooks::list(&config.data_dir),
    }
}
