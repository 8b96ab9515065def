#!/bin/sh
# Builds Kings and runs its demo: the whole server on loopback, with high ports, a demo domain and two accounts, in a
# folder of its own. It sends a message through submission, reads it back over IMAP and says what to try next.
#
#     ./run.sh           stays until Ctrl-C
#     ./run.sh --once    ends after the message was read back, with 0 or 1
#
# Runs on Debian and Ubuntu as root or with sudo; packages it misses are installed, Rust is not.
set -eu

cd "$(dirname "$0")"

say() { printf 'run: %s\n' "$*"; }

case $#:${1-} in
0: | 1:--once) ;;
*)
    say 'usage: ./run.sh [--once]' >&2
    exit 2
    ;;
esac

. tests/ground.sh
require_rust
require_build_packages
choose_target
say 'building, then starting the demo; the first build takes some minutes'
exec cargo run --release --locked --package kings -- demo "$@"
