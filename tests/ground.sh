# shellcheck shell=sh
# The ground under run.sh and test.sh, sourced by both: the compiler, the packages a build needs, the cache.
# Expects the repository as working directory and a function `say`.

cache=${KINGS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kings}

# rust-version of Cargo.toml is the oldest compiler that will do.
require_rust() {
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        say "Kings needs Rust $wanted or newer, and there is none here. Install it, then run this again:" >&2
        echo "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
        exit 1
    fi
    found=$(rustc --version | cut -d ' ' -f 2)
    if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        say "Kings needs Rust $wanted or newer, here is $found. Renew it, then run this again:" >&2
        echo 'rustup update stable' >&2
        echo "without rustup: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
        exit 1
    fi
    say "Rust $found"
}

# A C compiler for the cryptography and a root certificate store for cargo; other systems than Debian and Ubuntu are
# taken to have both.
require_build_packages() {
    if command -v apt-get >/dev/null; then
        tests/setup.sh gcc libc6-dev ca-certificates
    fi
}

# Builds go to CARGO_TARGET_DIR where that is set; in CI, and wherever it has come to exist, to a cache outside the
# clone, so that a fresh clone does not build everything again.
choose_target() {
    if [ -z "${CARGO_TARGET_DIR-}" ] && { [ -n "${CI-}" ] || [ -d "$cache/target" ]; }; then
        CARGO_TARGET_DIR=$cache/target
    fi
    if [ -n "${CARGO_TARGET_DIR-}" ]; then
        export CARGO_TARGET_DIR
        say "building in $CARGO_TARGET_DIR"
    fi
}
