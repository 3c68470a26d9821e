//! The licences of the program's dependencies, most of which must be passed on with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// `None` is a normal dependency, as opposed to one of tests or build scripts.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// The output of `cargo metadata` for this platform.
fn metadata() -> Result<Metadata, Box<dyn Error>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform, "--manifest-path"]);
    let output = cargo.arg(&manifest).output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// All dependencies that are linked into the program, except dantok's own crates.
fn linked(metadata: &Metadata) -> Result<Vec<&Package>, Box<dyn Error>> {
    let packages: HashMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: HashMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let program = metadata.packages.iter().find(|package| package.name == "dantok").ok_or("no package dantok")?;
    let mut found = BTreeSet::new();
    let mut open = vec![program.id.as_str()];
    while let Some(id) = open.pop() {
        for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            let counts = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if counts && found.insert(dependency.pkg.as_str()) {
                open.push(&dependency.pkg);
            }
        }
    }
    let mut linked: Vec<&Package> = found.into_iter().filter_map(|id| packages.get(id).copied()).collect();
    linked.sort_by_key(|package| (&package.name, &package.version));
    Ok(linked)
}

/// The licence texts in a package, sorted by file name.
fn texts(package: &Package) -> std::io::Result<Vec<String>> {
    let Some(dir) = package.manifest_path.parent() else { return Ok(Vec::new()) };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        path.is_file() && ["licen", "copying", "notice", "copyright"].iter().any(|start| name.starts_with(start))
    });
    files.sort();
    files.iter().map(|path| Ok(String::from_utf8_lossy(&std::fs::read(path)?).replace("\r\n", "\n"))).collect()
}

/// Lists each dependency with its licence, and the licence texts.
pub fn file() -> Result<String, Box<dyn Error>> {
    let metadata = metadata()?;
    let linked = linked(&metadata)?;
    let mut out = "dantok is built from these, each under its own licence. Their texts stand below.\n\n".to_owned();
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked {
        let name = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or("see its text");
        // Writing to a string does not fail.
        let _ = write!(out, "{name}: {licence}");
        let texts = texts(package)?;
        if texts.is_empty() {
            let by = package.authors.join(", ");
            let at = package.repository.as_deref().unwrap_or_default();
            let _ = write!(out, "; it brings no text of its own; by {by}, {at}");
        }
        out.push('\n');
        for text in texts {
            by_text.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in by_text {
        let _ = write!(out, "\n{}\n{}\n\n{}\n", "-".repeat(78), names.join(", "), text.trim_end());
    }
    Ok(out)
}
