//! Shell completions.

use clap::ValueHint;
use clap_complete::aot::{Shell, generate};

/// The shells that Debian installs completions for, and the file name that each expects.
pub const SHELLS: [(&str, &str); 3] = [("bash", "dantok.bash"), ("zsh", "_dantok"), ("fish", "dantok.fish")];

/// The completion script for a shell; `None` if it is not one of [`SHELLS`].
pub fn script(shell: &str) -> Option<Vec<u8>> {
    script_of(super::shown(), "dantok", shell)
}

/// The same for another program.
pub fn script_of(command: clap::Command, name: &str, shell: &str) -> Option<Vec<u8>> {
    let shell = match shell {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => return None,
    };
    let mut command = hinted(command);
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    Some(script)
}

/// Marks the arguments that are files, for the whole command line.
fn hinted(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_value_names().unwrap_or_default() {
        [name] if name == "FILE" => arg.value_hint(ValueHint::FilePath),
        [name] if name == "DIR" => arg.value_hint(ValueHint::DirPath),
        _ => arg,
    });
    command.mut_subcommands(hinted)
}
