#!/bin/sh
# Builds the program for every Debian and Ubuntu since glibc 2.35 (Ubuntu 22.04, Debian 12), whatever this machine has, and
# packages it.
#
#     packaging/build-release.sh [--output FOLDER] [amd64] [arm64]
#
# Both architectures where none is named. The C compiler and linker is zig, which knows the symbols of every glibc; it comes
# from PyPI, the rest from crates.io and the Rust project. Needs Rust with rustup, python3-venv, dpkg-deb and binutils.
set -eu

cd "$(dirname "$0")/.."
glibc=2.35
output=target/packages
architectures=
built=

say() { printf 'build-release: %s\n' "$*" >&2; }

while [ $# -gt 0 ]; do
    case $1 in
    --output)
        output=${2:?a folder}
        shift
        ;;
    amd64 | arm64) architectures="$architectures $1" ;;
    *)
        say 'usage: packaging/build-release.sh [--output FOLDER] [amd64] [arm64]'
        exit 2
        ;;
    esac
    shift
done

. tests/ground.sh
require_rust
tools=$cache/zig
if ! cmp -s packaging/release-packages.txt "$tools/installed.txt"; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement packaging/release-packages.txt
    cp packaging/release-packages.txt "$tools/installed.txt"
fi
PATH=$tools/bin:$PATH
target=${CARGO_TARGET_DIR:-target}

# The manual pages are printed by the program of this machine, which is built first.
own=$(dpkg --print-architecture)
for architecture in $own ${architectures:-amd64 arm64}; do
    case $architecture in
    amd64) triple=x86_64-unknown-linux-gnu ;;
    arm64) triple=aarch64-unknown-linux-gnu ;;
    *)
        say "no release is made on or for $architecture"
        exit 1
        ;;
    esac
    program=$target/$triple/release/kings
    if [ "$architecture" = "$own" ]; then papers=$program; fi
    case " $built " in *" $architecture "*) continue ;; esac
    rustup target add "$triple"
    # The tools of this machine cannot strip what is for another one; the linker can.
    CARGO_PROFILE_RELEASE_STRIP=symbols \
        cargo zigbuild --release --locked --package kings --bin kings --target "$triple.$glibc"
    packaging/check-glibc.sh "$program" "$glibc" >&2
    packaging/build-deb.sh --binary "$program" --papers-from "$papers" --output "$output"
    built="$built $architecture"
done
