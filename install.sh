#!/bin/sh
# Installs Kings on a machine with Debian or Ubuntu and sets it up for an address, from this clone:
#
#     sudo ./install.sh you@example.org
#
#     --dry-run      say what would be done, and do nothing
#     --yes          ask nothing; another mail server's package gives way
#     --deb FILE     install this package; nothing is built then, and no compiler is needed
#     --no-setup     install alone; then no address is needed
#
# It can be stopped at any point and run again: what is done already is not done twice. Everything behind -- goes to
# kings setup as it is.
set -eu

cd "$(dirname "$0")"

address=
dry=
yes=
deb=
setup=yes

say() { printf 'install: %s\n' "$*"; }

usage() {
    say 'usage: ./install.sh [--dry-run] [--yes] [--deb FILE] you@example.org [-- OPTION-OF-SETUP ...]' >&2
    say '       ./install.sh [--dry-run] [--yes] [--deb FILE] --no-setup' >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry=yes ;;
    --yes) yes=yes ;;
    --no-setup) setup= ;;
    --deb)
        [ $# -ge 2 ] || usage
        deb=$2
        shift
        ;;
    --)
        shift
        break
        ;;
    -*) usage ;;
    *@*.*)
        [ -z "$address" ] || usage
        address=$1
        ;;
    *) usage ;;
    esac
    shift
done
[ -n "$address" ] || [ -z "$setup" ] || usage

# act COMMAND...: does it, or says it.
act() {
    if [ -n "$dry" ]; then
        say "would run: $*"
    else
        "$@"
    fi
}

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    say 'this is not Debian or Ubuntu: see docs/install.md for what goes where' >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ] && [ -z "$dry" ]; then
    say "only root may install: sudo $0 $address" >&2
    exit 77
fi

# installed PACKAGE: whether dpkg has it whole.
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Programs and headers that building needs.
build_packages() {
    missing=
    for package in gcc libc6-dev ca-certificates curl binutils dpkg-dev; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    act apt-get -qq update
    # shellcheck disable=SC2086 # one word per package
    act env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing
}

# The compiler: Debian's is too old. rustup puts it into the home of whoever runs this, and touches nothing else.
compiler() {
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || :)
    if [ "$(printf '%s\n' "$wanted" "${found:-0}" | sort -V | head -n 1)" = "$wanted" ]; then
        return 0
    fi
    say "Rust $wanted or newer is needed, here is ${found:-none}"
    if [ -n "$dry" ]; then
        say 'would run: rustup, from https://sh.rustup.rs'
        return 0
    fi
    rustup=$(mktemp)
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$rustup"
    sh "$rustup" -y --profile minimal --no-modify-path
    rm -f "$rustup"
}

build() {
    build_packages
    compiler
    say 'building, which takes some minutes the first time'
    act cargo build --release --locked --package kings
    if [ -n "$dry" ]; then
        say 'would run: packaging/build-deb.sh'
        return 0
    fi
    deb=$(packaging/build-deb.sh --binary "${CARGO_TARGET_DIR:-target}/release/kings" --output target/packages)
}

# Whether just this package is installed: the sum of the program says so, for sources may change within a version.
is_installed() {
    installed kings-smtp || return 1
    sum=$(dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./md5sums | sed -n 's|  usr/bin/kings$||p')
    [ "$(md5sum /usr/bin/kings 2>/dev/null | cut -d ' ' -f 1)" = "$sum" ]
}

# Another mail server goes when this one comes; nobody loses one without a word.
agree() {
    others=$(LC_ALL=C apt-get -s -q install --no-install-recommends --allow-downgrades "$1" | sed -n 's/^Remv \([^ ]*\).*/\1/p')
    [ -n "$others" ] || return 0
    say "these packages give way to kings-smtp, their files below /etc and /var stay:" "$others"
    [ -z "$yes$dry" ] || return 0
    if [ ! -t 0 ]; then
        say 'nobody is there to ask: say --yes where that is right' >&2
        exit 1
    fi
    printf 'Go on? [y/N] '
    read -r answer
    case $answer in
    y | Y | yes) ;;
    *)
        say 'nothing was changed'
        exit 1
        ;;
    esac
}

[ -n "$deb" ] || build
if [ -n "$deb" ]; then
    if [ ! -f "$deb" ]; then
        say "there is no package $deb" >&2
        exit 1
    fi
    # apt takes a name with a slash for a file.
    case $deb in
    */*) ;;
    *) deb=./$deb ;;
    esac
    if is_installed; then
        say "this package is installed already"
    else
        agree "$deb"
        act env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends --reinstall --allow-downgrades "$deb"
    fi
else
    say 'would run: apt-get install of the package'
fi

if [ -z "$setup" ]; then
    say 'done; next:  sudo kings setup you@example.org'
    exit 0
fi
if [ -n "$dry" ]; then
    say "would run: kings setup $address $*"
    exit 0
fi
exec kings setup "$address" ${yes:+--yes} "$@"
