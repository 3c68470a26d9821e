//! Which module of a crate uses which, as its sources say, and whether that fits the crate's layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A crate's layers from the top down: each has a name and its modules.
pub type Layers = [(&'static str, &'static [&'static str])];

/// The modules directly below the crate's root, each with those that it uses. Tests may use others besides.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Fails where a module uses one of a higher layer, or where modules use each other in a circle, and where the drawing at the head of
/// the crate's `lib.rs` has other layers.
pub fn check(sources: &Path, layers: &Layers) {
    let uses = uses(sources);
    let layer_of: BTreeMap<&str, usize> = layers
        .iter()
        .enumerate()
        .flat_map(|(layer, (_, modules))| modules.iter().map(move |name| (*name, layer)))
        .collect();
    assert!(uses.keys().map(String::as_str).eq(layer_of.keys().copied()), "each module has a layer: {:?}", uses.keys());
    for (module, used) in &uses {
        for used in used {
            let (own, other) = (layer_of[module.as_str()], layer_of[used.as_str()]);
            assert!(own <= other, "{module} ({}) must not use {used} ({})", layers[own].0, layers[other].0);
        }
    }
    if let Some(circle) = circle(&uses) {
        panic!("modules use each other in a circle: {}", circle.join(" -> "));
    }
    let head = std::fs::read_to_string(sources.join("lib.rs")).unwrap();
    for (name, modules) in layers {
        let line = format!("//! {name:<10} {}\n", modules.join(" "));
        assert!(head.contains(&line), "lib.rs draws other layers; it lacks:\n{line}");
    }
}

fn uses(sources: &Path) -> Uses {
    let mut uses = Uses::new();
    for file in files(sources) {
        let path = file.strip_prefix(sources).unwrap().with_extension("");
        let mut path: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        path.pop_if(|last| *last == "mod");
        if matches!(path[..], ["lib" | "main"]) || path.contains(&"tests") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let used = uses.entry(path[0].to_owned()).or_default();
        used.extend(names_at_the_root(&code(&text), path.len()));
        used.remove(path[0]);
    }
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    uses.values_mut().for_each(|used| used.retain(|name| modules.contains(name)));
    uses
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// A source without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first names behind `crate::`, and behind as many `super::` as lead from a module of this depth to the root.
fn names_at_the_root(code: &str, depth: usize) -> Vec<String> {
    let mut names = Vec::new();
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            let is_inside = code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:$".contains(before));
            if !is_inside {
                first_names(&code[at + root.len()..], &mut names);
            }
        }
    }
    names
}

/// The name that a path begins with; of `{…}`, the names that the paths in it begin with.
fn first_names(path: &str, names: &mut Vec<String>) {
    let Some(group) = path.strip_prefix('{') else {
        return names.extend(path.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned));
    };
    let (mut depth, mut begins) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                first_names(group[begins..at].trim(), names);
                begins = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// Modules of which each uses the next and the last uses the first, if there are any.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    fn visit<'a>(module: &'a str, uses: &'a Uses, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
        if done.contains(module) {
            return false;
        }
        let was_met = way.contains(&module);
        way.push(module);
        if was_met || uses[module].iter().any(|used| visit(used, uses, way, done)) {
            return true;
        }
        way.pop();
        done.insert(module);
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    uses.keys().any(|module| visit(module, uses, &mut way, &mut done)).then(|| {
        let first = way.iter().position(|module| Some(module) == way.last()).unwrap_or(0);
        way[first..].iter().map(|module| (*module).to_owned()).collect()
    })
}

#[test]
fn a_source_uses_what_it_names() {
    let code = code(
        "use crate::{a, b::{c, d}, e::f};\n// crate::comment\npub use super::g::h;\nuse super::super::i;\nfn f() { crate::j::k() }\n\
         use other_crate::l;\n#[cfg(test)]\nmod tests { use crate::m; }",
    );
    let names = |depth| -> BTreeSet<String> { names_at_the_root(&code, depth).into_iter().collect() };
    assert_eq!(names(2), ["a", "b", "e", "i", "j"].map(str::to_owned).into());
    assert!(names(1).contains("g"));
}

#[test]
fn a_circle_is_found() {
    let uses = |of: &[(&str, &[&str])]| -> Uses {
        of.iter()
            .map(|(name, used)| ((*name).to_owned(), used.iter().map(|used| (*used).to_owned()).collect()))
            .collect()
    };
    assert_eq!(circle(&uses(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    let found = circle(&uses(&[("a", &["b"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"])]));
    assert_eq!(found.unwrap(), ["b", "c", "d", "b"]);
}
