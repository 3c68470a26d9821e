//! The command line: help, manual pages, completions and version.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::has_tool;
use dantok::config::SETTINGS;

fn dantok(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dantok"));
    command.args(args).env_clear().env("COLUMNS", "80").output().unwrap()
}

/// What it prints, and it has worked.
fn printed(args: &[&str]) -> String {
    let output = dantok(args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every command by its words, the program itself first.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            below(inner, &[words, &[inner.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    below(&dantok::cli::command(), &[], &mut all);
    all
}

/// The long options that a help explains.
fn options(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.filter_map(|line| line.split([' ', ',', '=', '[']).find_map(|word| word.strip_prefix("--")));
    names.collect()
}

#[test]
fn h_is_short_and_help_is_long() {
    for words in commands() {
        let args = |flag| words.iter().map(String::as_str).chain([flag]).collect::<Vec<_>>();
        let (short, long) = (printed(&args("-h")), printed(&args("--help")));
        assert!(short.lines().count() <= 24, "{words:?}:\n{short}");
        assert!(short.lines().all(|line| line.chars().count() <= 80), "{words:?}:\n{short}");
        assert!(long.lines().count() > short.lines().count(), "{words:?}: {long}");
        let (few, all) = (options(&short), options(&long));
        assert!(few.iter().all(|option| all.contains(option)), "{words:?}: {few:?} {all:?}");
        // Of an option each has one line.
        let explained = short.lines().skip_while(|line| *line != "Options:").skip(1).filter(|line| !line.is_empty());
        assert!(explained.clone().all(|line| line.trim_start().starts_with('-')), "{words:?}:\n{short}");
    }
    let long = printed(&["--help"]);
    for setting in SETTINGS {
        assert!(options(&long).contains(&setting.name), "{}", setting.name);
    }
    assert_eq!(printed(&["help"]), long);
}

#[test]
fn a_command_shows_the_settings_it_uses_and_accepts_all() {
    let settings = |words: &[&str]| {
        let help = printed(&[words, &["--help"]].concat());
        let found = SETTINGS.iter().map(|setting| setting.name).filter(|name| options(&help).contains(name));
        found.collect::<Vec<_>>()
    };
    assert_eq!(settings(&["serve"]).len(), SETTINGS.len());
    assert_eq!(settings(&["config"]).len(), SETTINGS.len());
    for words in [&["check"][..], &["epoch"], &["restore"], &["export"]] {
        assert_eq!(settings(words), ["data-dir"], "{words:?}");
    }
    assert_eq!(settings(&["import"]), ["data-dir", "max-rooms"]);
    for words in [&["backup"][..], &["token"], &["token", "issue"], &["token", "list"], &["token", "revoke"]] {
        assert_eq!(settings(words), ["data-dir", "tokens"], "{words:?}");
    }
    let of_hook = settings(&["hook", "add"]);
    assert_eq!(of_hook, if cfg!(feature = "web") { &["data-dir", "web-path"][..] } else { &["data-dir"] });
    let of_doctor = settings(&["doctor"]);
    assert!(of_doctor.contains(&"data-dir") && of_doctor.contains(&"max-connections"), "{of_doctor:?}");
    assert!(!of_doctor.contains(&"listen") && !of_doctor.contains(&"retention"), "{of_doctor:?}");

    // The daemon's options are accepted by any command, before its name and after it.
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    for args in [
        ["--data-dir", dir, "--listen", "none", "epoch"],
        ["epoch", "--listen", "none", "--data-dir", dir],
        ["--listen", "none", "epoch", "--data-dir", dir],
        ["--data-dir", dir, "epoch", "--max-rooms", "3"],
    ] {
        let output = dantok(&args);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && printed.contains(&format!("{dir}: no epoch")),
            "{args:?}: {printed}"
        );
    }
    for args in [&["epoch", "--max-rooms", "0"][..], &["--max-rooms", "0", "token", "list"]] {
        let output = dantok(args);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && printed.contains("--max-rooms takes"), "{args:?}: {printed}");
    }
}

#[test]
#[cfg(feature = "manual")]
fn every_command_has_a_manual_page_to_print() {
    for words in commands() {
        let args = ["man"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>();
        let page = printed(&args);
        let name = ["DANTOK"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
        assert!(page.contains(&format!(".TH {} 1 ", name.to_uppercase())), "{args:?}: {page}");
    }
    assert!(printed(&["man", "dantok.toml"]).contains(".TH DANTOK.TOML 5"));
    assert_eq!(printed(&["man", "dantok-token-issue"]), printed(&["man", "token", "issue"]));
    // The settings of a command are in its page, and no others.
    let page = printed(&["man", "check"]);
    assert!(page.contains("\\-\\-data\\-dir") && !page.contains("\\-\\-listen"), "{page}");
    for words in [&["man", "nonsense"][..], &["man", "token", "nonsense"], &["completions", "tcsh"], &["completions"]] {
        let output = dantok(words);
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{words:?}: {output:?}");
    }
    let mut dated = Command::new(env!("CARGO_BIN_EXE_dantok"));
    let output = dated.arg("man").env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(".TH DANTOK 1 2023-11-14 "), "it has another date");
    for wrong in ["tomorrow", "-1", "18446744073709551615", "253402300800"] {
        let output = dated.env("SOURCE_DATE_EPOCH", wrong).output().unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{wrong}: {output:?}");
    }
}

#[test]
#[cfg(feature = "manual")]
fn shells_accept_the_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for words in commands() {
            assert!(words.iter().all(|word| script.contains(word)), "{shell}: {words:?}");
        }
        for setting in SETTINGS {
            assert!(script.contains(setting.name), "{shell}: {}", setting.name);
        }
        if has_tool(shell) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(shell);
            std::fs::write(&path, script).unwrap();
            let output = Command::new(shell).arg("-n").arg(&path).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
}

/// Who reads the beginning and goes has not broken anything.
#[test]
#[cfg(feature = "manual")]
fn a_closed_output_pipe_is_not_a_failure() {
    for args in [&["man"][..], &["completions", "zsh"], &["config", "--example"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_dantok")).args(args).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

/// The build script, as a program of its own.
fn build_script(dir: &Path) -> PathBuf {
    let program = dir.join("build-script");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let mut build = Command::new(rustc);
    let built = build.args(["--edition", "2024", "-o"]).arg(&program).arg(source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

/// What it finds of sources: the commit, and which files cargo is to watch.
fn found(program: &Path, sources: &Path) -> (String, Vec<PathBuf>) {
    // As in a hook, which tells of a repository that is not meant.
    let mut run = Command::new(program);
    let output = run.env("CARGO_MANIFEST_DIR", sources).env("GIT_DIR", "/nowhere").env("TZ", "Asia/Seoul").output();
    let printed = String::from_utf8(output.unwrap().stdout).unwrap();
    let values = |key: &str| {
        let lines = printed.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let watched = values("cargo::rerun-if-changed=").into_iter().filter(|path| path != "build.rs");
    (values("cargo::rustc-env=DANTOK_COMMIT=").remove(0), watched.map(PathBuf::from).collect())
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]).args(args);
    // The day is another one in Seoul.
    git.env("GIT_COMMITTER_DATE", "2026-11-28T20:00:00Z").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let output = git.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What cargo goes by: each file's time, and those of everything below a directory.
fn times(watched: &[PathBuf]) -> Vec<(PathBuf, std::time::SystemTime)> {
    fn below(path: &Path, all: &mut Vec<(PathBuf, std::time::SystemTime)>) {
        all.push((path.to_owned(), path.metadata().unwrap().modified().unwrap()));
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| below(&entry.unwrap().path(), all));
        }
    }
    let mut all = Vec::new();
    watched.iter().for_each(|path| below(path, &mut all));
    all
}

#[test]
fn the_version_names_the_commit_in_a_checkout_and_a_crate_but_not_in_a_tarball() {
    let printed = printed(&["--version"]);
    assert_eq!(printed, format!("dantok {}\n", dantok::cli::version()));
    assert!(printed.starts_with(concat!("dantok ", env!("CARGO_PKG_VERSION"))), "{printed}");
    if !has_tool("git") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = build_script(dir.path());
    let sources = dir.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    // A tarball, also one that is unpacked inside somebody else's repository.
    assert_eq!(found(&program, &sources), (String::new(), Vec::new()));
    git(dir.path(), &["init", "--quiet"]);
    git(dir.path(), &["commit", "--quiet", "--allow-empty", "-m", "not ours"]);
    assert_eq!(found(&program, &sources), (String::new(), Vec::new()));
    // A crate.
    let info = sources.join(".cargo_vcs_info.json");
    std::fs::write(&info, "{\n  \"git\": {\n    \"sha1\": \"0123456789abcdef0123456789abcdef01234567\"\n  }\n}")
        .unwrap();
    assert_eq!(found(&program, &sources), ("012345678".to_owned(), vec![info.clone()]));
    std::fs::write(&info, "{\"git\": {\"sha1\": \"no commit\"}}").unwrap();
    assert_eq!(found(&program, &sources).0, "");
    std::fs::remove_file(&info).unwrap();
    // A checkout: after each commit cargo sees that there is another one, wherever git keeps it, in a worktree too.
    git(&sources, &["init", "--quiet"]);
    assert_eq!(found(&program, &sources).0, "", "there is no commit");
    let commit = |sources: &Path| {
        git(sources, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        let expected = format!("{} 2026-11-28", &git(sources, &["rev-parse", "HEAD"])[..9]);
        assert_eq!(found(&program, sources).0, expected);
    };
    commit(&sources);
    let worktree = dir.path().join("worktree");
    git(&sources, &["worktree", "add", "--quiet", "-b", "topic/deep", worktree.to_str().unwrap()]);
    for sources in [&sources, &worktree] {
        for prepare in [&["status"][..], &["pack-refs", "--all"], &["checkout", "--quiet", "--detach"]] {
            git(sources, prepare);
            let (_, watched) = found(&program, sources);
            assert!(!watched.is_empty() && watched.iter().all(|path| path.exists()), "{prepare:?}: {watched:?}");
            let before = times(&watched);
            assert_eq!(times(&watched), before);
            // Commits of one moment could have one time.
            std::thread::sleep(std::time::Duration::from_millis(20));
            commit(sources);
            assert_ne!(times(&watched), before, "{prepare:?} in {}: {watched:?}", sources.display());
        }
    }
}
