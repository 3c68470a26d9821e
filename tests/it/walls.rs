//! Allowed dependencies of crates and modules: the build matches what ARCHITECTURE.md and the crates' documentation
//! show.

mod layers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Each crate, and those of the workspace that it may use. Tests may use others besides.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("dantok", &["dantok-net", "dantok-protocol", "dantok-store", "dantok-supervise"]),
    ("dantok-bench", &["dantok-protocol"]),
    ("dantok-chat", &["dantok-client", "dantok-protocol"]),
    ("dantok-client", &["dantok-net", "dantok-protocol", "dantok-supervise"]),
    ("dantok-net", &[]),
    ("dantok-packaging", &["dantok", "dantok-chat"]),
    ("dantok-protocol", &[]),
    ("dantok-store", &["dantok-supervise"]),
    ("dantok-supervise", &[]),
    ("dantok-torture", &["dantok", "dantok-protocol", "dantok-store"]),
];

/// The daemon's modules from the top down. A module uses those of its own layer and of lower ones.
const DAEMON: [(&str, &[&str]); 9] = [
    ("process", &["cli", "daemon", "doctor"]),
    (
        "edge",
        &[
            "server",
            "jobs",
            "backup",
            "export",
            "import",
            "lookup",
            "control",
            "metrics",
            "web",
            "http",
            "liveness",
            "connection",
        ],
    ),
    ("pipeline", &["pipeline"]),
    ("session", &["session"]),
    ("hub", &["hub"]),
    ("committer", &["committer"]),
    ("readers", &["survey", "reader", "retention", "permission"]),
    ("state", &["rooms", "person", "pushed", "tokens", "hooks", "settings", "message"]),
    ("base", &["config", "tls", "limits", "figures", "duties", "addresses", "progress", "secrets", "error"]),
];

/// Crates that a user of the client library must not have to build.
const NOT_THE_CLIENTS: [&str; 5] = ["clap", "prometheus", "sled", "toml", "tracing-subscriber"];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_crate_depends_only_on_allowed_ones() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).unwrap();
    let used = |package: &Value| -> Vec<String> {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let ours = dependencies.filter(|one| one["kind"].is_null() && one["path"].is_string());
        ours.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    let found: BTreeMap<&str, Vec<String>> =
        packages.map(|package| (package["name"].as_str().unwrap(), used(package))).collect();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    assert!(found.keys().eq(allowed.keys()), "each crate has a row in MAY_USE: {:?}", found.keys());
    for (name, used) in found {
        for one in used {
            assert!(allowed[name].contains(&one.as_str()), "{name} must not use {one}");
        }
    }
}

#[test]
fn the_client_library_depends_on_nothing_of_the_daemon() {
    let tree = cargo(&["tree", "--package=dantok-client", "--edges=normal", "--prefix=none", "--format={p}"]);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"dantok-protocol"));
    for name in NOT_THE_CLIENTS {
        assert!(!names.contains(&name), "dantok-client brings {name}");
    }
}

#[test]
fn each_module_of_the_daemon_uses_only_those_below_it() {
    layers::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &DAEMON);
}
