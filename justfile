# Everyday commands. Each is one line that also runs without just.

# Lists the recipes.
default:
    @just --list

# Serves on 127.0.0.1:7420, with its data in ./dantok-data.
serve *options:
    cargo run --release -- {{options}}

# Opens the chat client, like: just chat general --as alice
chat *arguments:
    cargo run --release -p dantok-chat -- {{arguments}}

# Tests the daemon only, without dantok-torture's fault schedules.
test *arguments:
    cargo test --package dantok {{arguments}}

# Runs all checks, as CI does.
ci:
    .ci/run

# Formats everything.
format:
    cargo fmt --all && cargo fmt --manifest-path fuzz/Cargo.toml

# Runs clippy.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Builds and opens the API documentation.
doc:
    cargo doc --no-deps --open

# Runs a fault schedule, like: just torture power --runs 20
torture *arguments:
    cargo run --release --package dantok-torture -- {{arguments}}

# Breaks the daemon on purpose, one patch at a time, and checks that the harness notices.
mutations *names:
    torture/mutations/run {{names}}

# Feeds arbitrary bytes to a target: line, frame or session.
fuzz target *arguments:
    cargo +nightly fuzz run {{target}} {{arguments}}

# Runs a short benchmark against other servers.
bench *arguments="--short":
    cargo run --release --package dantok-bench -- {{arguments}}

# Writes manual pages, completions, a settings file and licences to target/packaging.
packaging:
    cargo run --package dantok-packaging

# Builds target/debian/dantok_*.deb.
deb:
    packaging/deb/build

# Installs, runs, upgrades, removes and purges the package in a clean Debian (as root).
deb-test:
    packaging/deb/test

# Builds a static binary: target/*-musl/release/dantok.
static:
    packaging/static/build

# Checks that the binary is static and loses nothing.
static-test:
    packaging/static/test

# Checks dependencies for licences, sources and known advisories.
deny:
    cargo deny --locked --workspace check

# Checks everything that is published: the crate, the Debian package, the static binary, and their dependencies.
packages:
    .ci/packages
