//! Commands that are not run here: what they name exists.

use std::path::Path;

/// A command without its comment.
pub fn without_comment(line: &str) -> &str {
    line.find("  #").or_else(|| line.find(" # ")).map_or(line, |at| &line[..at])
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a package of this repository has the name.
fn is_package(name: &str) -> bool {
    let dirs = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let below = dirs.filter(|path| path.is_dir()).flat_map(|dir| {
        let inner = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        std::iter::once(dir).chain(inner.filter(|path| path.is_dir()).collect::<Vec<_>>())
    });
    let mut manifests = std::iter::once(root().to_owned()).chain(below).map(|dir| dir.join("Cargo.toml"));
    let line = format!("name = \"{name}\"");
    manifests.any(|manifest| std::fs::read_to_string(manifest).is_ok_and(|text| text.lines().any(|of| of == line)))
}

fn exists(place: &str, name: &str, paths: &[String]) {
    assert!(paths.iter().any(|path| root().join(path).exists()), "{place}: there is no {name}");
}

fn cargo(place: &str, words: &[&str]) {
    // What follows `--` is for the program.
    let own: Vec<&str> = words.iter().copied().take_while(|word| *word != "--").collect();
    for pair in own.windows(2) {
        let value = pair[1];
        match pair[0] {
            "-p" | "--package" => assert!(is_package(value), "{place}: there is no package {value}"),
            "--example" => exists(place, value, &[format!("examples/{value}.rs"), format!("examples/{value}/main.rs")]),
            "--test" => exists(place, value, &[format!("tests/{value}.rs"), format!("tests/{value}/main.rs")]),
            "--path" | "--manifest-path" => exists(place, value, &[value.to_owned()]),
            _ => {}
        }
    }
    if let [_, "fuzz", "run", target, ..] = own.as_slice() {
        exists(place, target, &[format!("fuzz/fuzz_targets/{target}.rs")]);
    }
}

/// Every program, package, target and option that the line names is there.
pub fn check(place: &str, line: &str) {
    for command in without_comment(line).split(" && ") {
        let mut words: Vec<&str> = command.split_whitespace().collect();
        while words.first().is_some_and(|word| *word == "sudo" || word.contains('=') || word.starts_with('-')) {
            words.remove(0);
        }
        match words.as_slice() {
            ["cargo", ..] => {
                cargo(place, &words.iter().copied().filter(|word| !word.starts_with('+')).collect::<Vec<_>>())
            }
            ["dantok", ..] => {
                let parsed = dantok::cli::command().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{place}: {}", parsed.unwrap_err());
            }
            [program, ..] if program.contains('/') => exists(place, program, &[(*program).to_owned()]),
            _ => {}
        }
    }
}
