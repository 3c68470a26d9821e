//! Tries to make dantok lose, duplicate or reorder a message, under every fault that one machine can produce.
//!
//! It runs the real daemon, talks to it through real sockets and injects one kind of fault repeatedly. It keeps its own
//! history, by which it judges what the daemon shows after each restart. Schedule and seed determine a run; a run that
//! fails prints the command that repeats it. The same faults then occur at the same places, although threads of the two
//! processes may interleave differently.

// A test program: a panic only ends the run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod amends;
mod daemon;
mod disk;
mod history;
mod link;
mod load;
mod proxy;
mod reborn;
mod schedules;
mod soak;
mod text;
mod web;
mod wire;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;

use history::Figures;
use schedules::{Missing, Run, SCHEDULES, Schedule};

/// Tries to make dantok lose, duplicate or reorder a message.
#[derive(Debug, Parser)]
struct Args {
    /// Schedules to run; without any, lists them
    schedules: Vec<String>,
    /// The first seed (default: random)
    #[arg(long)]
    seed: Option<u64>,
    /// Number of runs of each schedule, each with the next seed
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Number of faults in a run (default: set by the schedule)
    #[arg(long)]
    cycles: Option<u64>,
    /// The daemon to test (default: built with this program)
    #[arg(long)]
    dantok: Option<PathBuf>,
    /// Directory for the files of runs (default: the system's temporary directory)
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Stop at the first run that fails
    #[arg(long)]
    stop: bool,
    /// Keep the files of runs that failed
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    soak: soak::Options,
}

impl Args {
    fn cycles(&self, schedule: &Schedule) -> u64 {
        self.cycles.or_else(|| self.soak.cycles()).unwrap_or(schedule.cycles)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.schedules.is_empty() {
        for schedule in SCHEDULES {
            println!("{:<12} {}", schedule.name, schedule.about);
        }
        return ExitCode::SUCCESS;
    }
    let mut chosen: Vec<&Schedule> = Vec::new();
    for name in &args.schedules {
        let found: Vec<&Schedule> =
            SCHEDULES.iter().filter(|schedule| schedule.name == name || name == "all").collect();
        if found.is_empty() {
            eprintln!("dantok-torture: there is no schedule {name}; run without arguments to list them");
            return ExitCode::from(2);
        }
        chosen.extend(found);
    }
    let program = args.dantok.clone().unwrap_or_else(build);
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let mut passed = true;
    for schedule in chosen {
        let cycles = args.cycles(schedule);
        match schedule.needs.iter().find_map(|need| need.missing(cycles)) {
            None => {}
            Some(Missing::Permission(what)) => {
                println!("{}: SKIPPED: needs {what}", schedule.name);
                continue;
            }
            Some(Missing::Program(what)) => {
                println!("{}: SKIPPED: needs {what}", schedule.name);
                passed &= !ci;
                continue;
            }
        }
        passed &= run_schedule(schedule, &args, &program);
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds the daemon in the same profile as this program, so that it is never out of date.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("an executable has a path");
    let mut dir = own.parent().expect("an executable is in a directory");
    if dir.ends_with("deps") {
        dir = dir.parent().unwrap_or(dir);
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "dantok", "--bin", "dantok"]);
        build.args(dir.ends_with("release").then_some("--release"));
        assert!(build.status().is_ok_and(|status| status.success()), "can't build dantok");
    }
    dir.join("dantok")
}

/// What the runs of a schedule add up to.
#[derive(Debug, Default)]
struct Totals {
    tried: BTreeMap<String, u64>,
    figures: Figures,
}

impl Totals {
    fn add(&mut self, run: &Run) {
        for (what, times) in &run.tried {
            *self.tried.entry(what.clone()).or_default() += times;
        }
        self.figures += run.history.figures();
    }

    fn print(&self) {
        for (what, times) in &self.tried {
            println!("  {times:>9}  {what}");
        }
        let figures = &self.figures;
        for (times, what) in [
            (figures.sent, "messages sent"),
            (figures.acked, "answered OK"),
            (figures.over_socket, "of them over a WebSocket"),
            (figures.over_http, "of them over HTTP"),
            (figures.repeated, "repeats answered with the first OK"),
            (figures.refused, "answered with an error"),
            (figures.read, "messages handed to readers"),
            (figures.cursors, "cursors moved"),
            (figures.audits, "audits of a room"),
        ] {
            println!("  {times:>9}  {what}");
        }
    }
}

/// Runs a schedule with each seed; returns whether all runs passed.
fn run_schedule(schedule: &Schedule, args: &Args, program: &Path) -> bool {
    let first = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let start = Instant::now();
    let mut totals = Totals::default();
    let mut failed = Vec::new();
    for seed in first..first + args.runs {
        if !run_once(schedule, args, program, seed, &mut totals) {
            failed.push(seed);
            if args.stop {
                break;
            }
        }
    }
    println!("{}: {} runs from seed {first} in {}", schedule.name, args.runs, seconds(start.elapsed()));
    totals.print();
    match failed.as_slice() {
        [] => println!("  nothing lost, duplicated or reordered"),
        seeds => println!("  FAILED with seeds {seeds:?}"),
    }
    failed.is_empty()
}

/// Runs a schedule with one seed and reports the run; returns whether it passed.
fn run_once(schedule: &Schedule, args: &Args, program: &Path, seed: u64, totals: &mut Totals) -> bool {
    let cycles = args.cycles(schedule);
    let mut builder = tempfile::Builder::new();
    builder.prefix("dantok-torture-");
    let dir = match &args.dir {
        Some(dir) => builder.tempdir_in(dir),
        None => builder.tempdir(),
    };
    let mut dir = dir.unwrap_or_else(|error| panic!("can't make a directory: {error}"));
    let mut run = Run::new(format!("{} seed {seed}", schedule.name), seed, cycles, program, dir.path());
    run.soak = args.soak.clone();
    let start = Instant::now();
    run.progress();
    // A run that panics has failed; the next one still runs.
    if catch_unwind(AssertUnwindSafe(|| (schedule.run)(&mut run))).is_err() {
        run.history.violation("the run itself panicked: see the message above");
    }
    run.end_progress();
    totals.add(&run);
    let is_intact = report(schedule, args, seed, &run, start.elapsed());
    if !is_intact && args.keep {
        dir.disable_cleanup(true);
        println!("  files: {}", dir.path().display());
    }
    is_intact
}

/// Prints the outcome of a run; returns whether it passed.
fn report(schedule: &Schedule, args: &Args, seed: u64, run: &Run, took: Duration) -> bool {
    let cycles = args.cycles(schedule);
    let figures = run.history.figures();
    let violations = run.history.violations();
    let outcome = if violations.is_empty() { "passed" } else { "FAILED" };
    println!(
        "{} seed {seed}: {outcome}, {cycles} cycles in {}, {} sent, {} answered OK, {} read",
        schedule.name,
        seconds(took),
        figures.sent,
        figures.acked,
        figures.read,
    );
    for what in violations.iter().chain(&run.figures) {
        println!("  {what}");
    }
    if !violations.is_empty() {
        println!(
            "  to repeat: dantok-torture {} --seed {seed} --cycles {cycles}{}",
            schedule.name,
            args.soak.repeated()
        );
    }
    violations.is_empty()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
