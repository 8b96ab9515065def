#!/usr/bin/env python3
"""Measures Kings beside the classic stack: Postfix, OpenDKIM and Dovecot, from this system's packages, on the same machine, taking
turns, under the same load and with every sync on.

    cargo build --release -p kings -p kings-bench
    bench/beside.py --dir /mnt/bench     every case, three runs of each (as root: the stack has users of its own)
    bench/beside.py --runs 5 --only signed
    bench/beside.py --json               every run as a line of JSON instead of the table

Load: Postfix's smtp-source in clear, kings-bench for signed messages and for submission, whose next hop is Postfix's smtp-sink.
Inbound, a message counts once it lies in the Maildir. Both check what arrives: the stack by OpenDKIM, Kings by SPF, DKIM, DMARC, ARC
and the reverse name. Both sign with RSA-2048 what users submit, or neither does (unsigned). Processor time and memory (PSS) are those of all processes of a stack.

`bench/measure.py --help` says which file system FOLDER should be on.
"""
import argparse
import ctypes
import json
import os
import pathlib
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from measure import CHECKS, PASSWORD, TARGET, Names, Sender, Stack, Tools, free_port, part, queued_by_kings, wait_until

# name: (generator, sessions, messages, octets, "each" when every message has a connection of its own)
CASES = {
    "inbound 4 KB, 50 sessions": ("smtp-source", 50, 3000, 4096),
    "inbound 4 KB, 50 sessions, a connection each": ("smtp-source", 50, 2000, 4096, "each"),
    "inbound 4 KB, 1 session": ("smtp-source", 1, 400, 4096),
    "inbound 4 KB signed, 50 sessions": ("inbound-signed", 50, 3000, 4096),
    "inbound 4 KB signed, 1 session": ("inbound-signed", 1, 400, 4096),
    "submission 4 KB relayed, 10 sessions": ("submission", 10, 1500, 4096),
    "submission 4 KB relayed, 50 sessions": ("submission", 50, 2000, 4096),
    "submission 4 KB relayed unsigned, 10 sessions": ("submission-unsigned", 10, 1500, 4096),
    "submission 4 KB relayed, 10 sessions, a connection each": ("submission", 10, 600, 4096, "each"),
}
NEEDED = {"postfix": "postfix", "dovecot": "dovecot-lmtpd dovecot-imapd", "opendkim": "opendkim", "openssl": "openssl"}
DOMAIN = "rig.example"
PR_SET_CHILD_SUBREAPER = 36
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


class Processes:
    """The processes under one of ours, and what they have used: those that ended count with the one that waited for them."""

    def __init__(self, root):
        self.root, self.peak_kb, self.stopped = root, 0, False
        threading.Thread(target=self.watch, daemon=True).start()

    def all(self):
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()
                except OSError:
                    continue
                parents.setdefault(int(fields[1]), []).append((int(entry), sum(map(int, fields[11:15]))))
                if int(entry) == self.root:
                    yield self.root, sum(map(int, fields[11:15]))
        waiting = [self.root]
        while waiting:
            for pid, ticks in parents.get(waiting.pop(), []):
                waiting.append(pid)
                yield pid, ticks

    def cpu_ms(self):
        return sum(ticks for _, ticks in self.all()) * TICK_MS

    def watch(self):
        while not self.stopped:
            total = 0
            for pid, _ in self.all():
                try:
                    total += int(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])
                except (OSError, IndexError):
                    pass
            self.peak_kb = max(self.peak_kb, total)
            time.sleep(0.3)


class Beside(Stack):
    """What both have: users, certificate, key, name server, next hop and one process that all others descend from."""

    submission_by = "submission"

    def __init__(self, folder, shared, signs):
        self.folder, self.shared, self.sender, self.signs = folder, shared, shared.sender, signs
        self.smtp, self.submission = free_port(), free_port()
        self.tools = shared.tools
        folder.mkdir(mode=0o755)
        self.configure()
        log = open(folder / "log", "wb")
        # It becomes the parent of whatever puts itself into the background.
        self.process = subprocess.Popen(["/bin/sh", "-c", self.command()], stdout=log, stderr=log, start_new_session=True,
                                        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        self.processes = Processes(self.process.pid)
        self.cpu_ms = self.processes.cpu_ms
        for port in (self.smtp, self.submission):
            wait_until(lambda port=port: answers(port), f"port {port} does not answer: see {folder}/log", 30)

    def peak_mb(self):
        return self.processes.peak_kb / 1024

    def stop(self):
        self.processes.stopped = True
        for pid, _ in sorted(self.processes.all(), reverse=True):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self.process.wait(30)
        wait_until(lambda: not answers(self.smtp) and not answers(self.submission), f"{type(self).__name__} does not stop", 30)


def answers(port):
    return subprocess.run(["/bin/bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], stderr=subprocess.DEVNULL).returncode == 0


class Kings(Beside):
    def configure(self):
        self.mail = self.folder / "mail"
        (self.folder / "users").write_text("".join(f"{user}:{self.shared.hash}\n" for user in self.shared.users))
        (self.folder / "KeyTable").write_text(f"rig {DOMAIN}:rig:{self.shared.key}\n")
        (self.folder / "SigningTable").write_text(f"*@{DOMAIN} rig\n")
        (self.folder / "kings.toml").write_text(
            f"""hostname = "mx.{DOMAIN}"
data_dir = "data"
mail_dir = "mail"
[[domain]]
name = "{DOMAIN}"
[accounts]
file = "users"
[listen]
smtp = ["127.0.0.1:{self.smtp}"]
submission = ["127.0.0.1:{self.submission}"]
[tls]
certificate = "{self.shared.certificate}"
private_key = "{self.shared.certificate_key}"
[dns]
servers = ["127.0.0.1:{self.shared.dns}"]
[outbound]
smart_host = "127.0.0.1:{self.tools.sink}"
{self.signing()}[limits]
exempt = ["127.0.0.0/8"]
[inbound]
{CHECKS}"""
        )

    def signing(self):
        return '[dkim]\nkey_table = "KeyTable"\nsigning_table = "refile:SigningTable"\n' if self.signs else ""

    def command(self):
        return f"exec {self.shared.kings} serve --config {self.folder}/kings.toml"

    def queued(self):
        return queued_by_kings(self.folder / "data")


class Classic(Beside):
    """As Debian installs it, with the defaults that matter: durable queue, twenty deliveries at once, OpenDKIM on a Unix socket."""

    def configure(self):
        folder, shared = self.folder, self.shared
        self.mail = folder / "vmail"
        for name, owner in (("postfix", None), ("spool", None), ("pfdata", "postfix"), ("run", None), ("vmail", "nobody"), ("dkim", "opendkim")):
            (folder / name).mkdir(mode=0o755)
            if owner:
                shutil.chown(folder / name, owner)
        (folder / "run").chmod(0o1777)
        shutil.copy(shared.key, folder / "dkim/key")
        shutil.chown(folder / "dkim/key", "opendkim")
        (folder / "dkim/key").chmod(0o600)
        (folder / "passwd").write_text("".join(f"{user}:{shared.hash}\n" for user in shared.users))
        (folder / "postfix/users").write_text("".join(f"{user} ok\n" for user in shared.users))
        (folder / "postfix/main.cf").write_text(self.main())
        (folder / "postfix/master.cf").write_text(self.services())
        (folder / "opendkim.conf").write_text(self.opendkim())
        (folder / "internal").write_text("192.0.2.1\n")
        (folder / "dovecot.conf").write_text(self.dovecot())
        subprocess.run(["postmap", "-c", folder / "postfix", f"hash:{folder}/postfix/users"], check=True)

    def main(self):
        folder, shared = self.folder, self.shared
        return f"""compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/pfdata
maillog_file = {folder}/mail.log
maillog_file_prefixes = /
myhostname = mx.{DOMAIN}
mydestination =
mynetworks = 192.0.2.0/24
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
smtpd_client_connection_count_limit = 0
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = hash:{folder}/postfix/users
virtual_transport = lmtp:unix:{folder}/run/lmtp
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
virtual_mailbox_limit = 0
smtpd_tls_cert_file = {shared.certificate}
smtpd_tls_key_file = {shared.certificate_key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/run/auth
relayhost = [127.0.0.1]:{self.tools.sink}
smtpd_milters = unix:{folder}/run/opendkim
milter_default_action = tempfail
"""

    def services(self):
        program = {"rewrite": "trivial-rewrite", "relay": "smtp", "defer": "bounce", "trace": "bounce", "retry": "error"}
        inner = "bounce defer trace tlsmgr rewrite proxymap smtp relay error retry discard lmtp verify anvil scache".split()
        one = ("tlsmgr", "verify", "anvil", "scache")
        lines = [f"{name} unix - - n - {1 if name in one else 0} {program.get(name, name)}" for name in inner]
        return f"""127.0.0.1:{self.smtp} inet n - n - - smtpd
127.0.0.1:{self.submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o milter_macro_daemon_name=ORIGINATING
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject{"" if self.signs else " -o smtpd_milters="}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
flush unix n - n 1000? 0 flush
qmgr unix n - n 300 1 qmgr
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
proxywrite unix - - n - 1 proxymap
""" + "".join(f"{line}\n" for line in lines)

    def opendkim(self):
        return f"""Socket local:{self.folder}/run/opendkim
UMask 000
Mode sv
Domain {DOMAIN}
Selector rig
KeyFile {self.folder}/dkim/key
Canonicalization relaxed/relaxed
MacroList daemon_name|ORIGINATING
InternalHosts {self.folder}/internal
ExternalIgnoreList {self.folder}/internal
Nameservers 127.0.0.1@{self.shared.dns}
UserID opendkim
RequireSafeKeys no
Syslog no
Background no
"""

    def dovecot(self):
        user = pwd.getpwnam("nobody")
        return f"""base_dir = {self.folder}/run/dovecot
state_dir = {self.folder}/run/state
log_path = {self.folder}/dovecot.log
protocols = lmtp
listen = 127.0.0.1
ssl = no
mail_location = maildir:{self.folder}/vmail/%d/%n
first_valid_uid = 1
auth_mechanisms = plain login
passdb {{
  driver = passwd-file
  args = username_format=%u {self.folder}/passwd
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={self.folder}/vmail/%d/%n
}}
service lmtp {{
  unix_listener {self.folder}/run/lmtp {{
    mode = 0666
  }}
  process_min_avail = 4
}}
service auth {{
  unix_listener {self.folder}/run/auth {{
    mode = 0666
  }}
}}
"""

    def command(self):
        folder = self.folder
        return (f"opendkim -f -x {folder}/opendkim.conf & dovecot -F -c {folder}/dovecot.conf & "
                f"until [ -S {folder}/run/opendkim ]; do sleep 0.1; done; postfix -c {folder}/postfix start-fg & wait")

    def queued(self):
        folders = (self.folder / "spool" / name for name in ("maildrop", "incoming", "active", "deferred"))
        return sum(1 for folder in folders for path in folder.rglob("*") if path.is_file())


class Shared:
    """What both stacks work with."""

    def __init__(self, folder, binary):
        self.kings, self.folder, self.tools = binary, folder, Tools(part("postfix"))
        self.users = [f"user{number}@{DOMAIN}" for number in range(10)]
        self.hash = "{SHA512-CRYPT}" + subprocess.check_output(["openssl", "passwd", "-6", PASSWORD], text=True).strip()
        self.sender = Sender(folder)
        self.dns = Names(self.sender.texts).port
        self.key, self.certificate, self.certificate_key = (folder / name for name in ("dkim.key", "tls.crt", "tls.key"))
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-subj", f"/CN=mx.{DOMAIN}", "-addext", f"subjectAltName=DNS:mx.{DOMAIN}", "-keyout", self.certificate_key,
                        "-out", self.certificate], check=True, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--binary", type=pathlib.Path, default=TARGET / "kings")
    parser.add_argument("--dir", type=pathlib.Path, help="where the servers keep their files: ext4 with a journal")
    parser.add_argument("--json", action="store_true", help="every run as a line of JSON instead of the table")
    options = parser.parse_args()
    missing = [packages for program, packages in NEEDED.items() if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing or os.geteuid():
        sys.exit("needs root and the classic stack: sudo apt-get install " + " ".join(missing or NEEDED.values()))
    os.environ["PATH"] += ":/usr/sbin"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kings-beside-", dir=options.dir))
    folder.chmod(0o755)
    shared = Shared(folder, options.binary)
    figures = {}
    for run in range(options.runs):
        for kind in (Classic, Kings):
            for case, what in CASES.items():
                if options.only not in case:
                    continue
                print(f"# run {run + 1}/{options.runs}, {kind.__name__}: {case}", file=sys.stderr)
                stack = kind(folder / f"{kind.__name__}-{len(figures)}-{run}-{time.monotonic_ns()}", shared, what[0] != "submission-unsigned")
                time.sleep(0.5)
                for measure, value in stack.run(what).items():
                    figures.setdefault((case, measure), {}).setdefault(kind.__name__, []).append(value)
                    if options.json:
                        print(json.dumps({"schema": 1, "stack": kind.__name__, "case": case, "measure": measure, "value": value}), flush=True)
                stack.stop()
    shared.tools.sink_process.terminate()
    shutil.rmtree(folder)
    if options.json:
        return
    print("| Case | Measure | Classic stack | Kings | Ratio |\n|---|---|---|---|---|")
    for (case, measure), values in figures.items():
        cells = [f"{statistics.median(values[name]):.4g} ({min(values[name]):.4g} to {max(values[name]):.4g})" for name in ("Classic", "Kings")]
        classic, kings = (statistics.median(values[name]) for name in ("Classic", "Kings"))
        ratio = kings / classic if measure == "messages/s" else classic / kings
        print(f"| {case} | {measure} | {cells[0]} | {cells[1]} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
