//! Writes the other files of dantok's packages. From the program's own command line and settings come manual pages,
//! shell completions, and a file with every setting commented out; the licences are those of its dependencies.

mod licences;

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dantok::cli::{completions, manual};
use dantok::config;

const USAGE: &str = "\
Usage: dantok-packaging [DIR]

Writes man/, completions/, dantok.toml and third-party-licences into DIR, by default
target/packaging of dantok's sources. What is in man/ and completions/ is replaced.";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let target = match (args.next(), args.next()) {
        (None, _) => Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("packaging"),
        (Some(dir), None) if !dir.as_encoded_bytes().starts_with(b"-") => PathBuf::from(dir),
        (first, _) => {
            let asked = first == Some(OsString::from("--help"));
            eprintln!("{USAGE}");
            return ExitCode::from(if asked { 0 } else { 2 });
        }
    };
    match write(&target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dantok-packaging: {}: {error}", target.display());
            ExitCode::FAILURE
        }
    }
}

fn write(target: &Path) -> Result<(), Box<dyn Error>> {
    let man = emptied(target.join("man"))?;
    for (name, page) in manual::pages(&manual::date()?) {
        std::fs::write(man.join(name), page)?;
    }
    let (name, page) = manual::page_of_program(dantok_chat::command(), &manual::date()?);
    std::fs::write(man.join(name), page)?;
    let dir = emptied(target.join("completions"))?;
    for (shell, name) in completions::SHELLS {
        std::fs::write(dir.join(name), completions::script(shell).ok_or(shell)?)?;
        let chat = completions::script_of(dantok_chat::command(), "dantok-chat", shell).ok_or(shell)?;
        std::fs::write(dir.join(name.replace("dantok", "dantok-chat")), chat)?;
    }
    std::fs::write(target.join("dantok.toml"), config::example(&manual::installed()))?;
    std::fs::write(target.join("third-party-licences"), licences::file()?)?;
    Ok(())
}

/// Removes the pages of commands that no longer exist.
fn emptied(dir: PathBuf) -> std::io::Result<PathBuf> {
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(&dir)?,
    }
    Ok(dir)
}
