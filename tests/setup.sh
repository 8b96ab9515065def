#!/bin/sh
# Installs Debian or Ubuntu packages, only those that are missing: those named as arguments, or the list in
# tests/packages.txt. Nothing it installs starts a daemon. Run as root or with sudo at hand.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
policy=/usr/sbin/policy-rc.d

say() { printf 'setup: %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot $1: not root, and there is no sudo" >&2
        return 1
    fi
}

wanted() {
    if [ $# -gt 0 ]; then
        printf '%s\n' "$@"
    else
        sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages.txt"
    fi
}

# `installed` alone is not enough: a removed package keeps a record with its configuration files.
missing() {
    wanted "$@" | while read -r package; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

# Maintainer scripts ask policy-rc.d before they start a daemon; exit 101 means no.
# A policy that is already there (most container images have one) is the owner's and stays.
forbid_daemons() {
    if [ -e "$policy" ]; then
        say "$policy is there already and stays in charge"
        return
    fi
    # The trap stands before the file does, so that no failure leaves it behind.
    trap allow_daemons EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_daemons() { as_root rm -f "$policy"; }

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

if ! command -v apt-get >/dev/null; then
    say 'this is not Debian or Ubuntu. Install what these packages hold, then run again:' >&2
    wanted "$@" >&2
    exit 1
fi
missing=$(missing "$@")
if [ -z "$missing" ]; then
    say 'all packages are installed'
    exit 0
fi
say "installing $missing"
forbid_daemons
apt update
# The scripts of packages talk much; all of it matters only when something failed.
log=$(mktemp)
# shellcheck disable=SC2086 # one word per package
if ! apt install -y --no-install-recommends $missing >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    say "apt-get could not install them, see above" >&2
    exit 1
fi
rm -f "$log"
say 'done'
