#!/bin/sh
# Unpacks the packages that cannot be installed beside each other, or must not be installed at all, into
#     ${KINGS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kings}/parts/NAME
# with the libraries they need that this machine lacks. Nothing of it is installed and no script of it runs.
#
#     tests/parts.sh              unpacks every part that is missing or older than what apt offers
#     tests/parts.sh NAME...      only these
#     tests/parts.sh path NAME    prints the folder of a part; fails when it is not there
#
# Programs of a part run with LD_LIBRARY_PATH=PART/usr/lib/MULTIARCH:PART/usr/lib/NAME and are told their folders by
# their own configuration.
set -eu

parts=${KINGS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kings}/parts
names='postfix exim4 opensmtpd python-mail-data'

say() { printf 'parts: %s\n' "$*"; }

# The package a part is made of.
package() {
    case $1 in
    postfix | opensmtpd) echo "$1" ;;
    exim4) echo exim4-daemon-light ;;
    # Messages CPython tests its own e-mail package with; the number differs between releases.
    python-mail-data)
        apt-cache search --names-only '^libpython3\.[0-9]+-testsuite$' | cut -d ' ' -f 1 | sort -V | tail -n 1
        ;;
    *)
        say "no part is called $1; there are: $names" >&2
        return 1
        ;;
    esac
}

# The package itself, also where the machine has it installed, and the libraries apt would have to install with it.
with_libraries() {
    echo "$1"
    case $1 in
    libpython*) ;;
    *) apt-get -s install --no-install-recommends "$1" |
        sed -n -e "s/^Inst \(lib[^ ]*\|exim4-base\) .*/\1/p" ;;
    esac
}

candidate() { apt-cache policy "$1" | sed -n 's/^  Candidate: //p'; }

refresh_lists() {
    if [ "$(id -u)" -eq 0 ]; then
        apt-get -qq update
    elif command -v sudo >/dev/null; then
        sudo apt-get -qq update
    fi
}

# Whether a part is unpacked and apt has learnt nothing since.
settled() {
    [ -e "$1/.stamp" ] && [ -z "$(find /var/lib/apt/lists -newer "$1/.stamp" -print -quit 2>/dev/null)" ]
}

unpack() {
    name=$1
    folder=$parts/$name
    if settled "$folder"; then
        say "$name is there"
        return
    fi
    package=$(package "$name")
    version=$(candidate "${package:-none}")
    # Without package lists (a fresh container) nothing is offered; what is unpacked already is good enough.
    if [ -e "$folder/.stamp" ] && { [ -z "$version" ] || grep -qx "$package $version" "$folder/.stamp"; }; then
        touch "$folder/.stamp"
        say "$name is there"
        return
    fi
    if [ -z "$version" ] || [ "$version" = '(none)' ]; then
        refresh_lists
        package=$(package "$name")
        version=$(candidate "$package")
    fi
    say "$name: unpacking $package $version"
    mkdir -p "$parts"
    work=$(mktemp -d "$parts/.$name.XXXXXX")
    mkdir "$work/debs" "$work/tree"
    # apt would download as user _apt, who may not look into a home directory.
    # shellcheck disable=SC2046 # one word per package
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download $(with_libraries "$package"))
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$work/tree"
        # shellcheck disable=SC2016 # dpkg-deb fills these in
        dpkg-deb -W --showformat '${Package} ${Version}\n' "$deb" >>"$work/tree/.stamp"
    done
    rm -rf "$folder"
    mv "$work/tree" "$folder"
    rm -rf "$work"
}

if [ "${1-}" = path ]; then
    package "$2" >/dev/null
    if [ ! -e "$parts/$2/.stamp" ]; then
        say "$2 is not unpacked; run: tests/parts.sh $2" >&2
        exit 1
    fi
    echo "$parts/$2"
    exit 0
fi
[ $# -gt 0 ] || eval "set -- $names"
for name in "$@"; do
    unpack "$name"
done
