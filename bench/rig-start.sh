#!/bin/sh
# Starts a release build of Kings in the foreground with the settings that a side-by-side measuring rig hands over in
# the environment:
#
#     DIR                       where everything goes; what is there already is kept
#     SMTP, SUBM, IMAPS         ports on 127.0.0.1
#     USERS                     a file of addresses, one a line; all have the password RIG_PASS
#     RIG_DOMAIN                the domain that they are in
#     RIG_SHARED                a folder with tls.crt, tls.key and dkim.key, which signs what users submit (selector rig)
#     RIG_SINK, RIG_DNS         ports on 127.0.0.1: the next hop of mail for elsewhere, and a name server
#     KINGS_BINARY              default: target/release/kings of this tree
#     KINGS_TABLES              more of the config, added at its end; mail is verified only where this has [inbound],
#                               since the figures of docs/performance.md are told apart by that
#
# Passwords are stored as Dovecot's doveadm would (SHA512-CRYPT, 5,000 rounds), so that a login costs both alike.
set -eu

cd "$(dirname "$0")/.."
binary=${KINGS_BINARY:-$PWD/target/release/kings}
if [ ! -e "$DIR/kings.toml" ]; then
    hash=$(openssl passwd -6 "$RIG_PASS")
    sed "s|\$|:{SHA512-CRYPT}$hash::::::|" "$USERS" >"$DIR/accounts"
    echo "rig $RIG_DOMAIN:rig:$RIG_SHARED/dkim.key" >"$DIR/KeyTable"
    echo "*@$RIG_DOMAIN rig" >"$DIR/SigningTable"
    case ${KINGS_TABLES-} in
    *"[inbound]"*) checks= ;;
    *) checks=$(printf '%s\n' '[inbound]' 'spf = "off"' 'dkim = "off"' 'dmarc = "off"' 'iprev = "off"' 'arc = "off"') ;;
    esac
    cat >"$DIR/kings.toml" <<X
hostname = "mx.$RIG_DOMAIN"
data_dir = "data"
mail_dir = "mail"
[[domain]]
name = "$RIG_DOMAIN"
[accounts]
file = "accounts"
[listen]
smtp = ["127.0.0.1:$SMTP"]
submission = ["127.0.0.1:$SUBM"]
imaps = ["127.0.0.1:$IMAPS"]
[tls]
certificate = "$RIG_SHARED/tls.crt"
private_key = "$RIG_SHARED/tls.key"
[dns]
servers = ["127.0.0.1:$RIG_DNS"]
[outbound]
smart_host = "127.0.0.1:$RIG_SINK"
[submission]
foreign_senders = "accept"
[dkim]
key_table = "KeyTable"
signing_table = "refile:SigningTable"
[limits]
exempt = ["127.0.0.0/8"]
$checks
${KINGS_TABLES-}
X
fi
exec "$binary" serve --config "$DIR/kings.toml"
