//! Finds out which commit the program is built from, for `dantok --version`. The same sources give the same answer:
//! nothing here depends on when or where the program is built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of digits of a commit to show.
const DIGITS: usize = 9;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_WEB").is_some() {
        // The page is built into the program; the compiler would not notice a new file of it.
        println!("cargo::rerun-if-changed=web/dist");
    }
    let Some(dir) = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else { return };
    // In a tarball, neither is known.
    let commit = of_git(&dir).or_else(|| of_crate(&dir));
    println!("cargo::rustc-env=DANTOK_COMMIT={}", commit.unwrap_or_default());
}

/// In a checkout: the commit and its date, as in `1a2b3c4d5 2026-11-28`.
fn of_git(dir: &Path) -> Option<String> {
    // A repository that only contains this directory is another project's and is ignored.
    if !dir.join(".git").exists() {
        return None;
    }
    watch(dir);
    let printed =
        git(dir, &["log", "-1", "--no-show-signature", "--date=format-local:%Y-%m-%d", "--format=%H %cd", "HEAD"])?;
    let (commit, day) = printed.split_once(' ')?;
    Some(format!("{} {day}", shortened(commit)?))
}

/// In a crate made by `cargo package`: the commit, as in `1a2b3c4d5`.
fn of_crate(dir: &Path) -> Option<String> {
    let path = dir.join(".cargo_vcs_info.json");
    let info = std::fs::read_to_string(&path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    let (_, behind) = info.split_once("\"sha1\"")?;
    shortened(behind.trim_start_matches([':', ' ', '"']).split('"').next()?)
}

fn shortened(commit: &str) -> Option<String> {
    let is_one = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { commit.get(..DIGITS).map(str::to_owned) } else { None }
}

/// Makes cargo rebuild after a commit or a checkout. Only files that exist are watched: a missing one would cause a
/// rebuild every time.
fn watch(dir: &Path) {
    let path = |name: &str| git(dir, &["rev-parse", "--git-path", name]).map(|path| dir.join(path));
    let branch = git(dir, &["symbolic-ref", "--quiet", "HEAD"]);
    let mut watched = vec![path("HEAD"), path("packed-refs"), path("reftable")];
    if let Some(branch) = branch.and_then(|branch| path(&branch)) {
        // If the ref is packed, the next commit creates the file.
        let made_in = branch.ancestors().skip(1).find(|dir| dir.exists()).map(Path::to_owned);
        watched.push(if branch.exists() { Some(branch) } else { made_in });
    }
    for path in watched.into_iter().flatten().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // A Git hook sets these variables for its own repository. The user who builds need not own the sources.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"] {
        git.env_remove(name);
    }
    git.args(["-c", "safe.directory=*"]).arg("-C").arg(dir).args(arguments).env("TZ", "UTC");
    let output = git.output().ok().filter(|output| output.status.success())?;
    let printed = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if printed.is_empty() { None } else { Some(printed) }
}
