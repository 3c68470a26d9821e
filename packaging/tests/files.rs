//! The packaged files cover all commands and settings, and the tools that read them accept them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/it/common/tool.rs"]
mod tool;

use std::path::{Path, PathBuf};
use std::process::Command;

use dantok::config::{Config, Environment, SETTINGS, resolve};
use tool::has_tool;

struct Written(tempfile::TempDir);

impl Written {
    fn new() -> Written {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Command::new(env!("CARGO_BIN_EXE_dantok-packaging"));
        let status = run.arg(dir.path()).env("SOURCE_DATE_EPOCH", "1700000000").status().unwrap();
        assert!(status.success());
        Written(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn pages(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.path("man")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// A page as a reader sees it, on one line.
fn read(page: &Path) -> String {
    let mut man = Command::new("man");
    man.env("MANWIDTH", "1000").env("LC_ALL", "C.UTF-8").args(["--warnings", "--no-hyphenation", "-l"]).arg(page);
    let output = man.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every command as its words, the program itself first.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for inner in command.get_subcommands() {
            below(inner, &[words, &[inner.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    below(&dantok::cli::shown(), &["dantok".to_owned()], &mut all);
    all
}

/// As roff writes it, with hyphens that can be copied and straight quotes.
fn roff(text: &str) -> String {
    text.replace('-', "\\-").replace('\'', "\\*(Aq")
}

#[test]
fn every_command_has_a_page_that_names_its_options() {
    let written = Written::new();
    for words in commands() {
        let page = written.text(&format!("man/{}.1", words.join("-")));
        assert!(page.contains(&roff(&words.join(" "))), "{words:?}");
        let mut command = &dantok::cli::shown();
        for word in &words[1..] {
            command = command.find_subcommand(word).unwrap();
        }
        for arg in command.get_arguments() {
            let shown = match (arg.get_long(), arg.get_short()) {
                (Some(long), _) => format!("--{long}"),
                (None, Some(short)) => format!("-{short}"),
                (None, None) => arg.get_value_names().unwrap()[0].to_string(),
            };
            assert!(page.contains(&roff(&shown)), "{words:?}: {shown}");
        }
        for inner in command.get_subcommands() {
            assert!(page.contains(&roff(&format!("{}-{}", words.join("-"), inner.get_name()))), "{words:?}");
        }
    }
    let chat = written.text("man/dantok-chat.1");
    for arg in dantok_chat::command().get_arguments().filter_map(clap::Arg::get_long) {
        assert!(chat.contains(&roff(&format!("--{arg}"))), "dantok-chat: {arg}");
    }
    // There are no other pages.
    assert_eq!(written.pages().len(), commands().len() + 2);
}

#[test]
fn every_setting_is_in_the_pages_and_in_the_settings_file() {
    let written = Written::new();
    let (page, of_file, file) =
        (written.text("man/dantok.1"), written.text("man/dantok.toml.5"), written.text("dantok.toml"));
    for setting in SETTINGS {
        assert!(page.contains(&roff(&format!("--{}", setting.name))), "{}", setting.name);
        assert!(of_file.contains(&roff(setting.name)), "{}", setting.name);
        assert!(of_file.contains(&roff(setting.help)), "{}", setting.name);
        assert_eq!(file.lines().filter(|line| line.starts_with(&format!("#{} = ", setting.name))).count(), 1);
    }
}

#[test]
fn the_settings_file_holds_the_defaults_and_each_line_can_be_uncommented() {
    let written = Written::new();
    let text = written.text("dantok.toml");
    assert_eq!(text.parse::<toml::Table>().unwrap(), toml::Table::new());
    let matches = dantok::cli::command().get_matches_from(["dantok"]);
    let with = |text: &str| {
        let path = written.path("changed.toml");
        std::fs::write(&path, text).unwrap();
        let state_directory = Some("/var/lib/dantok".to_owned());
        resolve(&matches, Some(&path), &Environment { state_directory, ..Environment::default() })
            .unwrap_or_else(|error| panic!("{error}"))
            .config
    };
    let all: String = text.lines().filter_map(|line| line.strip_prefix('#')).fold(String::new(), |all, line| {
        if line.starts_with([' ', '#']) || line.is_empty() { all } else { all + line + "\n" }
    });
    assert_eq!(all.parse::<toml::Table>().unwrap().len(), SETTINGS.len());
    // The values in the file are the defaults.
    let defaults = with(&text);
    assert_eq!(defaults, Config { data_dir: "/var/lib/dantok".into(), ..Config::default() });
    assert_eq!(with(&all), Config { tokens: Some("/var/lib/dantok/tokens.toml".into()), ..defaults });
}

#[test]
fn every_linked_dependency_comes_with_its_licence() {
    let text = Written::new().text("third-party-licences");
    let (names, texts) = text.split_once("----").unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--package", "dantok", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = tree.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut linked = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines().skip(1).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let name = format!("{} {}", words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        let printed = names.lines().find(|line| line.starts_with(&format!("{name}: ")));
        let printed = printed.unwrap_or_else(|| panic!("{name} is not named"));
        assert!(printed.contains("no text of its own") || texts.contains(&name), "{name} has no text");
        linked += 1;
    }
    assert!(linked > 50, "{linked}");
    assert!(texts.contains("Permission is hereby granted") && texts.contains("Apache License"));
}

#[test]
fn man_and_mandoc_accept_the_pages() {
    let written = Written::new();
    if has_tool("man") {
        for page in written.pages() {
            let text = read(&page);
            assert!(text.contains("NAME dantok") && text.contains("SEE ALSO"), "{}: {text}", page.display());
            assert!(text.contains("dantok 0.1.0 2023-11-14"), "{}: {text}", page.display());
        }
    }
    if has_tool("mandoc") {
        let output =
            Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(written.pages()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn binaries_have_no_debug_information_and_packages_ship_it_separately() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let manifest: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
    let profile = &manifest["profile"];
    assert_eq!(profile["release"]["strip"].as_str(), Some("debuginfo"));
    assert_eq!(profile["release"]["debug"].as_str(), Some("line-tables-only"));
    assert_eq!(
        (profile["dist"]["inherits"].as_str(), profile["dist"]["strip"].as_str()),
        (Some("release"), Some("none"))
    );
    // cargo-deb reads only the profile itself, not what it inherits.
    assert_eq!(profile["dist"]["debug"].as_str(), Some("line-tables-only"));
    let build = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deb/build")).unwrap();
    assert!(build.contains("--profile dist --dbgsym"), "{build}");
}

#[test]
fn the_page_of_a_removed_command_is_deleted() {
    let written = Written::new();
    std::fs::write(written.path("man/dantok-gone.1"), "").unwrap();
    std::fs::write(written.path("keep"), "").unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_dantok-packaging")).arg(written.0.path()).status().unwrap();
    assert!(again.success());
    assert!(!written.path("man/dantok-gone.1").exists());
    assert!(written.path("keep").exists());
}

#[test]
fn an_extra_argument_is_answered_with_the_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_dantok-packaging")).args(["a", "b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage:"));
}

#[test]
fn bash_completes_commands_subcommands_and_options() {
    if !has_tool("bash") {
        return;
    }
    let written = Written::new();
    let complete = |words: &str| {
        let script = format!(
            "set -eu; source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _dantok dantok \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\"",
            written.path("completions/dantok.bash").display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete("dantok do").trim(), "doctor");
    assert_eq!(complete("dantok --max-j").trim(), "--max-joined-rooms");
    assert_eq!(complete("dantok token is").trim(), "issue");
    assert_eq!(complete("dantok token issue --ad").trim(), "--admin");
    assert_eq!(complete("dantok completions fi").trim(), "fish");
    // A command has its own options and the settings that apply to it.
    let of_check = complete("dantok check --");
    assert!(of_check.contains("--scratch") && of_check.contains("--data-dir"), "{of_check}");
    assert!(!of_check.contains("--listen") && !of_check.contains("--max-rooms"), "{of_check}");
    let all = complete("dantok --");
    for setting in SETTINGS {
        assert!(all.contains(&format!("--{}", setting.name)), "{}", setting.name);
    }
}

#[test]
fn zsh_and_fish_accept_their_completions() {
    let written = Written::new();
    for (shell, file) in [("zsh", "completions/_dantok"), ("fish", "completions/dantok.fish")] {
        let text = written.text(file);
        for words in commands() {
            assert!(text.contains(words.last().unwrap()), "{file}: {words:?}");
        }
        for setting in SETTINGS {
            assert!(text.contains(setting.name), "{file}: {}", setting.name);
        }
        if has_tool(shell) {
            let output = Command::new(shell).arg("-n").arg(written.path(file)).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{file}: {output:?}");
        }
    }
    if has_tool("fish") {
        let script =
            format!("source {}; complete --do-complete 'dantok do'", written.path("completions/dantok.fish").display());
        let output = Command::new("fish").args(["--no-config", "-c", &script]).output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().starts_with("doctor\t"));
    }
}
