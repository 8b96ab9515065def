#!/bin/sh
# Does a binary run with this glibc? Names every symbol that is newer.
#
#     packaging/check-glibc.sh FILE VERSION
set -eu

if [ $# -ne 2 ]; then
    echo 'usage: packaging/check-glibc.sh FILE VERSION' >&2
    exit 2
fi
symbols=$(readelf -W --dyn-syms "$1" | sed -n 's/.* \([^ @]*\)@\{1,2\}GLIBC_\([0-9.]*\).*/\2 \1/p' | sort -Vu)
if [ -z "$symbols" ]; then
    echo "check-glibc: $1 has no symbol of glibc: it is no program for it" >&2
    exit 1
fi
newest=$(printf '%s\n%s\n' "$2" "$(printf '%s\n' "$symbols" | tail -n 1 | cut -d ' ' -f 1)" | sort -V | tail -n 1)
if [ "$newest" != "$2" ]; then
    printf '%s\n' "$symbols" | while read -r version symbol; do
        if [ "$(printf '%s\n%s\n' "$version" "$2" | sort -V | tail -n 1)" != "$2" ]; then
            echo "check-glibc: $symbol needs GLIBC_$version" >&2
        fi
    done
    exit 1
fi
echo "ok: $1 needs nothing newer than GLIBC_$2"
