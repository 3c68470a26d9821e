//! Measures dantok, Redis Streams with a sync before each answer, NATS, and the disk, side by side on one machine.
//!
//! The contestants take turns in each round, and the result is the median of the rounds' ratios. The load is one thread
//! with the same connections, bodies, rooms and windows for all contestants.

// A measuring program: a panic only ends the run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fairness;
mod field;
mod floor;
mod points;
mod report;
mod server;
mod wire;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;

use points::Run;
use report::Section;
use server::{Contestant, Program};
use wire::Wire;

/// Measures dantok, Redis Streams, NATS and the disk side by side.
#[derive(Debug, Parser)]
struct Args {
    /// Sections to measure; without any, all
    sections: Vec<String>,
    /// A smaller load in fewer sections: under two minutes
    #[arg(long)]
    short: bool,
    /// Number of rounds, in each of which every point is measured once
    #[arg(long)]
    rounds: Option<usize>,
    /// Measure only points whose names begin with this
    #[arg(long, default_value = "")]
    point: String,
    /// The daemon to measure (default: built with this program)
    #[arg(long)]
    dantok: Option<PathBuf>,
    /// Another build of the daemon to compare with
    #[arg(long)]
    against: Option<PathBuf>,
    /// Measure only contestants whose names contain this; may be repeated
    #[arg(long)]
    only: Vec<String>,
    /// Directory for the contestants' files (default: beside the build, which is on a disk rather than in memory)
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the results between the marks in this file, and the charts beside it
    #[arg(long)]
    write: Option<PathBuf>,
}

type Measure = fn(&Run) -> Section;

/// In the order of the report. Sections that take long are not in the short form.
const SECTIONS: &[(&str, Measure, bool)] = &[
    ("send", points::send, true),
    ("catch-up", points::catch_up, true),
    ("fan-out", points::fan_out, true),
    ("idle", points::idle, true),
    ("fairness", fairness::fairness, false),
    ("start", points::start, true),
    ("expiry", points::expiry, false),
    ("disk", points::disk, false),
];

fn main() -> ExitCode {
    let mut given = std::env::args_os().skip(1);
    if given.next().is_some_and(|first| first == "floor") {
        let port = given.next().and_then(|port| port.into_string().ok()?.parse().ok()).unwrap_or(0);
        let served = floor::serve(port, &given.next().map(PathBuf::from).unwrap_or_default());
        eprintln!("floor: {served:?}");
        return ExitCode::FAILURE;
    }
    let args = Args::parse();
    if let Some(unknown) = args.sections.iter().find(|name| SECTIONS.iter().all(|(section, ..)| section != name)) {
        let names: Vec<&str> = SECTIONS.iter().map(|(name, ..)| *name).collect();
        eprintln!("dantok-bench: there is no section {unknown}; the sections are {}", names.join(", "));
        return ExitCode::from(2);
    }
    raise_descriptor_limit();
    let build_dir = std::env::current_exe().expect("an executable has a path").with_file_name("");
    let dir = tempfile::Builder::new().prefix("dantok-bench-").tempdir_in(args.dir.as_ref().unwrap_or(&build_dir));
    let dir = dir.expect("a directory for the contestants");
    let run = Run {
        contestants: contestants(&args),
        rounds: args.rounds.unwrap_or(if args.short { 2 } else { 5 }),
        short: args.short,
        point: args.point.clone(),
        dir: dir.path().to_owned(),
    };
    let start = Instant::now();
    let mut sections = Vec::new();
    for (name, measure, in_short) in SECTIONS {
        let asked = args.sections.iter().any(|section| section == name);
        if asked || (args.sections.is_empty() && (*in_short || !args.short)) {
            let section = measure(&run);
            println!("{}", section.table());
            sections.push(section);
        }
    }
    println!("{}", report::goals(&sections));
    println!("{} rounds, {:.0} s", run.rounds, start.elapsed().as_secs_f64());
    if let Some(path) = &args.write
        && let Err(error) = report::write(path, &sections)
    {
        eprintln!("dantok-bench: can't write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    // What could not be measured.
    if sections.iter().any(|section| !section.notes.is_empty()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn contestants(args: &Args) -> Vec<Contestant> {
    let of = |name: &str, program: Program, wire: Wire| Contestant { name: name.to_owned(), program, wire };
    let ours = args.dantok.clone().unwrap_or_else(build);
    let mut found = vec![of("floor", Program::Floor, Wire::Lines)];
    found.push(of("dantok, lines", Program::Dantok(ours.clone()), Wire::Lines));
    found.push(of("dantok, frames", Program::Dantok(ours), Wire::Frames));
    if let Some(other) = &args.against {
        found.push(of("before, lines", Program::Dantok(other.clone()), Wire::Lines));
        found.push(of("before, frames", Program::Dantok(other.clone()), Wire::Frames));
    }
    for (program, installed, wires) in [
        (Program::Redis, "redis-server", &[("redis", Wire::Redis)][..]),
        (Program::Nats, "nats-server", &[("jetstream, not synced", Wire::JetStream), ("nats core", Wire::NatsCore)]),
    ] {
        if Command::new(installed).arg("--version").output().is_err() {
            eprintln!("dantok-bench: {installed} is not installed and is skipped");
            continue;
        }
        found.extend(wires.iter().map(|(name, wire)| of(name, program.clone(), *wire)));
    }
    found.retain(|contestant| args.only.is_empty() || args.only.iter().any(|part| contestant.name.contains(part)));
    found
}

/// The daemon, built with this program.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("an executable has a path");
    let daemon = own.with_file_name("dantok");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let built = Command::new(cargo).args(["build", "--quiet", "--release", "--package", "dantok"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the daemon does not build");
    }
    daemon
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it can't be raised, the section that needs it says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
