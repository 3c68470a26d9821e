# Daily commands. Each is one line that runs without just as well.

# Lists them.
default:
    @just --list

# Serves on 127.0.0.1:7420, with what is stored in ./dantok-data.
serve *options:
    cargo run --release -- {{options}}

# Opens the chat client, like: just chat general --as alice
chat *arguments:
    cargo run --release -p dantok-chat -- {{arguments}}

# Tests the daemon alone: the faults of dantok-torture are left out.
test *arguments:
    cargo test --package dantok {{arguments}}

# Runs all checks, as CI does.
ci:
    .ci/run

# Formats everything.
format:
    cargo fmt --all && cargo fmt --manifest-path fuzz/Cargo.toml

# Shows what clippy says.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Opens the documentation of the library and of all modules.
doc:
    cargo doc --no-deps --open

# Tries a fault, like: just torture power --runs 20
torture *arguments:
    cargo run --release --package dantok-torture -- {{arguments}}

# Breaks the daemon on purpose, one patch at a time, and sees that it is found.
mutations *names:
    torture/mutations/run {{names}}

# Feeds any bytes to a target: line, frame or session.
fuzz target *arguments:
    cargo +nightly fuzz run {{target}} {{arguments}}

# Measures beside other servers, shortly.
bench *arguments="--short":
    cargo run --release --package dantok-bench -- {{arguments}}

# Writes manual pages, completions, a file of settings and licences to target/packaging.
packaging:
    cargo run --package dantok-packaging

# Builds target/debian/dantok_*.deb.
deb:
    packaging/deb/build

# Installs, runs, upgrades, removes and purges it in a clean Debian (as root).
deb-test:
    packaging/deb/test

# Builds a program that needs no library: target/*-musl/release/dantok.
static:
    packaging/static/build

# Sees that it needs none, and loses nothing.
static-test:
    packaging/static/test

# Checks licences, sources and known advisories of dependencies.
deny:
    cargo deny --locked --workspace check

# Checks all that is handed out: the crate, the Debian package, the static program, and what they are built from.
packages:
    .ci/packages
