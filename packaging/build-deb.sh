#!/bin/sh
# Makes a Debian package of a binary that is there already: kings-smtp_VERSION_ARCH.deb. Its path is the last line.
#
#     packaging/build-deb.sh [--binary FILE] [--papers-from FILE] [--output FOLDER] [--level N]
#
# --binary       what to package; target/release/kings where it is not said
# --papers-from  a binary of the same sources that runs here, for the manual pages, where the other is for another machine
# --level        how hard to compress, 0 to 9; 6 where it is not said
# --output       where the package goes; the working directory where it is not said
#
# The same sources and SOURCE_DATE_EPOCH give the same octets. Needs dpkg-deb and binutils; no root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sources=$(dirname "$here")
binary=$sources/target/release/kings
papers=
output=.
level=6

say() { printf 'build-deb: %s\n' "$*" >&2; }

usage() {
    say 'usage: packaging/build-deb.sh [--binary FILE] [--papers-from FILE] [--output FOLDER] [--level N]'
    exit 2
}

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --binary) binary=$2 ;;
    --papers-from) papers=$2 ;;
    --output) output=$2 ;;
    --level) level=$2 ;;
    *) usage ;;
    esac
    shift 2
done
papers=${papers:-$binary}
for file in "$binary" "$papers"; do
    if [ ! -x "$file" ]; then
        say "there is no program $file: build it with  cargo build --release --locked --package kings"
        exit 1
    fi
done

# architecture: what the binary is for, in Debian's words.
architecture() {
    case $(readelf -h "$binary" | sed -n 's/^ *Machine: *//p') in
    *X86-64) echo amd64 ;;
    AArch64) echo arm64 ;;
    *)
        say "no architecture of Debian is known for $binary"
        exit 1
        ;;
    esac
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$sources/Cargo.toml" | head -n 1)
architecture=$(architecture)
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$sources" log -1 --format=%ct 2>/dev/null || date +%s)}
SOURCE_DATE_EPOCH=$epoch
export SOURCE_DATE_EPOCH

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"

# put MODE FROM TO: one file.
put() { install -D -m "$1" "$2" "$root/$3"; }

# link TO AT
link() {
    mkdir -p "$root/$(dirname "$2")"
    ln -s "$1" "$root/$2"
}

# The program, under its name and those that other programs know.
put 755 "$binary" usr/bin/kings
# One for another machine is left as it is: build-release.sh has the linker strip it.
if [ "$architecture" = "$(dpkg --print-architecture)" ]; then
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/kings"
fi
link ../bin/kings usr/sbin/sendmail
link ../sbin/sendmail usr/lib/sendmail
link kings usr/bin/mailq
link kings usr/bin/newaliases

# The service.
put 644 "$here/kings-smtp.service" lib/systemd/system/kings-smtp.service
put 644 "$here/kings-smtp-firewall.service" lib/systemd/system/kings-smtp-firewall.service
put 644 "$here/kings-smtp.sysusers" usr/lib/sysusers.d/kings-smtp.conf
put 644 "$here/kings-smtp.tmpfiles" usr/lib/tmpfiles.d/kings-smtp.conf
mkdir -p "$root/etc/kings-smtp"

# The papers.
"$papers" papers "$root/papers"
for page in "$root"/papers/man/*; do
    put 644 "$page" "usr/share/man/man${page##*.}/${page##*/}"
done
put 644 "$here/debian/sendmail.8" usr/share/man/man8/sendmail.8
for name in mailq newaliases; do
    printf '.so man8/sendmail.8\n' >"$root/usr/share/man/man1/$name.1"
done
put 644 "$root/papers/kings.bash" usr/share/bash-completion/completions/kings
put 644 "$root/papers/_kings" usr/share/zsh/vendor-completions/_kings
put 644 "$root/papers/kings.fish" usr/share/fish/vendor_completions.d/kings.fish
rm -r "$root/papers"
doc=usr/share/doc/kings-smtp
put 644 "$here/debian/copyright" $doc/copyright
put 644 "$sources/config/kings.toml" $doc/examples/kings.toml
{
    printf 'kings-smtp (%s) unstable; urgency=medium\n\n' "$version"
    printf '  * Of this version: https://github.com/kings-smtp/kings/blob/main/CHANGELOG.md\n\n'
    printf ' -- The Kings contributors <kings-smtp@users.noreply.github.com>  %s\n' "$(LC_ALL=C date -u -R -d "@$epoch")"
} >"$root/$doc/changelog"
find "$root/usr/share/man" "$root/$doc/changelog" -type f -exec gzip -9n {} +

# What it needs of the machine: the newest glibc that a symbol of it is of, and the libraries it names.
glibc=$(readelf -W --dyn-syms "$root/usr/bin/kings" | sed -n 's/.*@GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu | tail -n 1)
depends="libc6 (>= $glibc)"
if readelf -d "$root/usr/bin/kings" | grep -q 'NEEDED.*libgcc_s'; then
    depends="$depends, libgcc-s1 (>= 4.2)"
fi

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do
    install -m 755 "$here/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find etc lib usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
size=$(du -k -s --apparent-size "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@DEPENDS@/$depends/" -e "s/@SIZE@/$size/" \
    "$here/debian/control" >"$root/DEBIAN/control"
find "$root" -newermt "@$epoch" -exec touch --no-dereference --date="@$epoch" {} +

mkdir -p "$output"
package=$output/kings-smtp_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz "-z$level" --build "$root" "$package" >&2
printf '%s\n' "$package"
