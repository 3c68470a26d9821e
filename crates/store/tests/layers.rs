//! The crate's modules form the layers that its documentation lists, and no module imports upwards or in a circle.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Each module and its layer, from the table in lib.rs.
fn layers() -> BTreeMap<String, u32> {
    let mut layers = BTreeMap::new();
    for line in text(&src().join("lib.rs")).lines() {
        let Some((number, rest)) = line.strip_prefix("//! ").and_then(|row| row.split_once(' ')) else { continue };
        let Ok(number) = number.parse() else { continue };
        // What the layer is for comes after the names.
        let names = rest.trim_start().split("  ").next().unwrap_or_default();
        for name in names.split(' ') {
            assert!(layers.insert(name.to_owned(), number).is_none(), "{name} is in two layers");
        }
    }
    layers
}

/// The files of the crate, without lib.rs and those that only tests have.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["lib.rs", "tests.rs"].iter().any(|name| path.ends_with(name)) {
            found.push(path);
        }
    }
    found
}

/// The code of a file, without its tests and comments.
fn code(path: &Path) -> String {
    let text = text(path);
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The names that follow `prefix` anywhere in the code, also those of `prefix{one, two::Three}`.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':')) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let of = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(of(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(of(&std::mem::take(&mut item)));
                    continue;
                }
                _ => {}
            }
            item.push(c);
        }
        names.insert(of(&item));
    }
    names.remove("");
    names
}

/// The crate's module that a file is in, and the name of the file in it.
fn module_of(path: &Path) -> (String, String) {
    let inside = path.strip_prefix(src()).unwrap().with_extension("");
    let parts: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    (parts[0].clone(), parts.last().unwrap().clone())
}

#[test]
fn no_module_imports_upwards() {
    let layers = layers();
    let mut seen = BTreeSet::new();
    for path in files(&src()) {
        let (module, _) = module_of(&path);
        let layer = *layers.get(&module).unwrap_or_else(|| panic!("{module} is in no layer of lib.rs"));
        let code = code(&path);
        let mut used = named(&code, "crate::");
        if path.parent() == Some(&src()) {
            used.extend(named(&code, "super::"));
        }
        assert!(!code.contains("super::super"), "{}: name the module from the crate on", path.display());
        for other in used.into_iter().filter(|other| *other != module) {
            let other_layer = layers.get(&other);
            let other_layer =
                other_layer.unwrap_or_else(|| panic!("{}: crate::{other} is not a module", path.display()));
            assert!(*other_layer < layer, "{}: {module} (layer {layer}) uses {other} ({other_layer})", path.display());
        }
        seen.insert(module);
    }
    assert!(layers.keys().eq(&seen), "lib.rs lists modules that do not exist: {layers:?}");
}

#[test]
fn no_files_of_a_module_import_each_other_in_a_circle() {
    let mut uses: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for path in files(&src()) {
        let (module, file) = module_of(&path);
        if path.parent() != Some(&src()) && file != "mod" {
            uses.insert((module, file), named(&code(&path), "super::"));
        }
    }
    assert!(uses.len() > 10, "{uses:?}");
    // Takes away those that use none of the rest, until none is left.
    while !uses.is_empty() {
        let free = uses.iter().find(|((module, file), used)| {
            used.iter().all(|other| other == file || !uses.contains_key(&(module.clone(), other.clone())))
        });
        let free = free.map(|(file, _)| file.clone());
        uses.remove(&free.unwrap_or_else(|| panic!("these import each other in a circle: {:?}", uses.keys())));
    }
}
