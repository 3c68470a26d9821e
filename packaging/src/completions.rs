//! What shells know about the command line.

use std::path::Path;

use clap::ValueHint;
use clap_complete::aot::{Shell, generate_to};

/// For the shells that Debian has a place for.
pub fn write(dir: &Path) -> std::io::Result<()> {
    let mut command = dantok::cli::command().mut_args(|arg| match arg.get_value_names().unwrap_or_default() {
        [name] if name == "FILE" => arg.value_hint(ValueHint::FilePath),
        [name] if name == "DIR" => arg.value_hint(ValueHint::DirPath),
        _ => arg,
    });
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "dantok", dir)?;
    }
    Ok(())
}
