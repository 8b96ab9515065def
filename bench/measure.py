#!/usr/bin/env python3
"""Starts a release build of Kings on loopback and measures it: messages a second, processor time and memory.

    cargo build --release -p kings -p kings-bench
    bench/measure.py                     every case, three runs each
    bench/measure.py --runs 5 --only inbound
    bench/measure.py --other BINARY      the same cases with another build as well, the two taking turns
    bench/measure.py --dir FOLDER        where the servers keep their files; default: the folder for temporary ones
    bench/measure.py --calls             system calls a message (strace), and instructions outside the kernel (valgrind):
                                         these do not depend on a calm machine

Prints a Markdown table: median, lowest and highest. What arrives is checked by SPF, DKIM, DMARC, ARC and reverse name; a name
server of this script has the answers. Plain inbound load comes from Postfix's smtp-source and relayed mail
goes to its smtp-sink (tests/parts.sh unpacks both); TLS and logins come from kings-bench. Each idle case has a server of
its own. The machine should be calm, and FOLDER on a file system like that of a real server: ext4 with its journal, which
needs 2 GB for all cases. Where `dumpe2fs -h DEVICE | grep has_journal` finds nothing, files are made slowly for half a
minute after others were deleted, and a loop device helps:

    truncate -s 4G /var/tmp/bench.img && mkfs.ext4 -q /var/tmp/bench.img
    mkdir /mnt/bench && mount -o loop /var/tmp/bench.img /mnt/bench && bench/measure.py --dir /mnt/bench
"""
import argparse
import base64
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
CASES = {
    # name: (generator, sessions, messages, octets)
    "inbound 4 KB, 50 sessions": ("smtp-source", 50, 5000, 4096),
    "inbound 4 KB, 10 sessions": ("smtp-source", 10, 2000, 4096),
    "inbound 4 KB, 1 session": ("smtp-source", 1, 500, 4096),
    "inbound 100 KB, 10 sessions": ("smtp-source", 10, 1000, 102400),
    "inbound 4 KB, 50 sessions, STARTTLS kept": ("inbound-tls", 50, 5000, 4096),
    "inbound 4 KB, 50 sessions, a connection each": ("smtp-source", 50, 5000, 4096, "each"),
    "inbound 4 KB signed, 50 sessions": ("inbound-signed", 50, 5000, 4096),
    "submission 4 KB relayed, 50 sessions kept": ("submission", 50, 3000, 4096),
}
# name: (listener, what each connection says before it falls silent)
IDLE = {
    "idle, 1,000 on IMAPS logged in": ("imaps", ["a LOGIN user{} x", "b SELECT INBOX"]),
    "idle, 1,000 on SMTP under STARTTLS": ("smtp", []),
}
IDLE_CONNECTIONS = 1000
PASSWORD = "x"
# Mail that arrives is checked in all runs.
CHECKS = "".join(f'{check} = "enforce"\n' for check in ("spf", "dkim", "dmarc", "arc", "iprev"))
TLS = ssl.create_default_context()
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE


def part(name):
    return pathlib.Path(subprocess.check_output([ROOT / "tests/parts.sh", "path", name], text=True).strip())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(connection, word, end):
    """Says a word, or nothing, and reads until the answer holds `end`."""
    if word is not None:
        connection.sendall(word.encode() + b"\r\n")
    answer = b""
    while end not in answer:
        piece = connection.recv(4096)
        if not piece:
            sys.exit(f"the server closed after {word!r}: {answer!r}")
        answer += piece


def wait_until(done, otherwise, seconds=120):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            sys.exit(otherwise)
        time.sleep(0.01)


class Names(threading.Thread):
    """A name server for which every name has one MX host and one address, as senders of mail have, and the texts and
    the reverse name that the checks of arriving mail ask for."""

    def __init__(self, texts):
        super().__init__(daemon=True)
        self.texts = texts
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def data(self, name, kind):
        """The record's data; empty where there is none."""
        if kind == b"\0\x10":
            text = self.texts.get(name.lower(), b"")
            return b"".join(bytes([len(part)]) + part for part in (text[at : at + 255] for at in range(0, len(text), 255)))
        return {b"\0\x01": b"\x7f\0\0\1", b"\0\x0f": b"\0\x0a\xc0\x0c", b"\0\x0c": b"\x06client\7example\0"}.get(kind, b"")

    def run(self):
        while True:
            question, client = self.socket.recvfrom(4096)
            end = question.index(0, 12) + 5
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]])
                at += 1 + question[at]
            kind = question[end - 4 : end - 2]
            data = self.data(b".".join(labels), kind)
            # A "no" has an SOA record beside it, which says how long it may be kept.
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if data else 0, 0 if data else 1, 0)
            kind, data = (kind, data) if data else (b"\0\x06", b"\0\0" + struct.pack(">5I", 1, 3600, 600, 86400, 3600))
            answer = b"\xc0\x0c" + kind + struct.pack(">HIH", 1, 3600, len(data)) + data
            self.socket.sendto(head + question[12:end] + answer, client)


class Sender:
    """The domain that arriving mail comes from: its key, and what it publishes."""

    def __init__(self, folder):
        self.key = folder / "sender.key"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, stderr=subprocess.DEVNULL)
        public = subprocess.run(["openssl", "rsa", "-in", self.key, "-pubout", "-outform", "DER"], check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        self.texts = {
            b"bench._domainkey.sender.example": b"v=DKIM1; k=rsa; p=" + base64.b64encode(public),
            b"sender.example": b"v=spf1 ip4:127.0.0.1 -all",
            b"_dmarc.sender.example": b"v=DMARC1; p=reject",
        }


class Tools:
    """Postfix's load generator, and its sink at work."""

    def __init__(self, postfix):
        self.environment = dict(os.environ, LD_LIBRARY_PATH=str(postfix / "usr/lib/postfix"))
        self.source = str(postfix / "usr/sbin/smtp-source")
        self.sink = free_port()
        command = [str(postfix / "usr/sbin/smtp-sink"), "-u", "root", f"127.0.0.1:{self.sink}", "1000"]
        self.sink_process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)


def queued_by_kings(data):
    """How many entries the queue in this data folder has."""
    paths = (data / "queue").rglob("*")
    return sum(1 for path in paths if path.is_file() and path.name[:1].isdigit() and "." in path.name)


class Stack:
    """A mail system under load, whichever it is. `smtp`, `submission` and `sender` say where and who; `mail`, `queued`,
    `cpu_ms` and `peak_mb` tell what came of it."""

    def inbound(self, generator, sessions, messages, size, each=False):
        """One run of messages for the first user, until each is in the mailbox."""
        before = self.delivered()
        if generator == "smtp-source":
            # -d keeps a connection for all messages of its session.
            command = [self.tools.source, *([] if each else ["-d"]), "-s", str(sessions), "-m", str(messages), "-l", str(size),
                       "-f", "a@sender.example", "-t", "user0@rig.example", f"127.0.0.1:{self.smtp}"]
            subprocess.run(command, env=self.tools.environment, check=True)
        else:
            kind = ["--protocol", "submission"] if generator == "inbound-tls" else ["--sign-key", self.sender.key]
            self.generate(self.smtp, sessions, messages, size, *kind, *(["--per-connection", "1"] if each else []))
        wait_until(lambda: self.delivered() - before >= messages, f"of {messages} messages some are not in the mailbox")
        if self.delivered() - before != messages:
            sys.exit(f"{self.delivered() - before} messages are in the mailbox instead of {messages}")

    def submit(self, sessions, messages, size, each=False):
        """One run of messages that a user sends to the outside, until each has left."""
        self.generate(self.submission, sessions, messages, size, "--protocol", self.submission_by, "--login", "user0@rig.example",
                      "--password", PASSWORD, "--from", "user0@rig.example", "--recipient", "joe@elsewhere.example",
                      *(["--per-connection", "1"] if each else []))
        wait_until(lambda: not self.queued(), "not every message has left")

    def generate(self, port, sessions, messages, size, *options):
        subprocess.run([TARGET / "kings-bench", f"127.0.0.1:{port}", "--sessions", str(sessions), "--messages", str(messages),
                        "--size", str(size), "--json", *options], check=True, stdout=subprocess.PIPE)

    def run(self, case):
        generator, sessions, messages, size, *each = case
        cpu, began = self.cpu_ms(), time.monotonic()
        if generator.startswith("submission"):
            self.submit(sessions, messages, size, bool(each))
        else:
            self.inbound(generator, sessions, messages, size, bool(each))
        took, cpu = time.monotonic() - began, self.cpu_ms() - cpu
        return {"messages/s": messages / took, "CPU ms/message": cpu / messages, "peak MB": self.peak_mb()}

    def delivered(self):
        return sum(len(os.listdir(folder)) for folder in self.mail.glob("rig.example/*/new"))


class Server(Stack):
    """One Kings with ten accounts, and the sink it relays to."""

    submission_by = "submissions"

    def __init__(self, binary, postfix, under=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kings-bench-"))
        self.tools = Tools(postfix)
        self.smtp, self.submission, self.imaps = (free_port() for _ in range(3))
        self.mail, self.sender = self.folder / "mail", Sender(self.folder)
        (self.folder / "users").write_text("".join(f"user{n}@rig.example:{{PLAIN}}{PASSWORD}\n" for n in range(10)))
        (self.folder / "kings.toml").write_text(
            f"""hostname = "mail.rig.example"
data_dir = "data"
mail_dir = "mail"
[[domain]]
name = "rig.example"
[accounts]
file = "users"
[listen]
smtp = ["127.0.0.1:{self.smtp}"]
submissions = ["127.0.0.1:{self.submission}"]
imaps = ["127.0.0.1:{self.imaps}"]
[tls]
self_signed = true
[dns]
servers = ["127.0.0.1:{Names(self.sender.texts).port}"]
[outbound]
smart_host = "127.0.0.1:{self.tools.sink}"
[limits]
exempt = ["127.0.0.0/8"]
[inbound]
{CHECKS}"""
        )
        log = open(self.folder / "log", "wb")
        began = time.monotonic()
        command = [*under, str(binary), "serve", "--config", str(self.folder / "kings.toml")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        if not self.process.stdout.readline().strip().endswith(b" ready"):
            sys.exit(f"the server did not start: see {self.folder}/log")
        self.ready_ms = (time.monotonic() - began) * 1000

    def cpu_ms(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(stat[11]) + int(stat[12])) * 10

    def resident_kb(self, field="VmHWM"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0])

    def queued(self):
        return queued_by_kings(self.folder / "data")

    def peak_mb(self):
        return self.resident_kb() / 1024

    def calls(self, sessions, messages):
        """System calls a message, the most frequent first."""
        self.inbound("smtp-source", sessions, 2 * sessions, 4096)
        output = self.folder / "calls"
        tracer = subprocess.Popen(["strace", "-qq", "-f", "-c", "-S", "calls", "-o", output, "-p", str(self.process.pid)])
        time.sleep(2)
        self.inbound("smtp-source", sessions, messages, 4096)
        time.sleep(0.5)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        rows = [line.split() for line in output.read_text().splitlines()[2:] if not line.startswith("-")]
        return {row[-1]: int(row[3]) / messages for row in rows}

    def idle(self, case):
        """What a connection costs that says nothing."""
        listener, words = IDLE[case]
        before, connections = self.resident_kb("VmRSS"), []
        for number in range(IDLE_CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", self.imaps if listener == "imaps" else self.smtp))
            if listener == "smtp":
                for word in (None, "EHLO client.example", "STARTTLS"):
                    ask(connection, word, b"\r\n")
            connection = TLS.wrap_socket(connection)
            ask(connection, "EHLO client.example" if listener == "smtp" else None, b"\r\n")
            for word in words:
                ask(connection, word.format(f"{number % 10}@rig.example"), word[:1].encode() + b" OK")
            connections.append(connection)
        time.sleep(2)
        after = self.resident_kb("VmRSS")
        for connection in connections:
            connection.close()
        return {"RSS KB/connection": (after - before) / IDLE_CONNECTIONS, "RSS MB": after / 1024}

    def stop(self):
        for process in (self.process, self.tools.sink_process):
            process.send_signal(signal.SIGTERM)
            process.wait()


def instructions(binary, postfix, folders):
    """Instructions a message outside the kernel: what 500 more messages cost."""
    counts = []
    for messages in (100, 600):
        under = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        server = Server(binary, postfix, under)
        folders.append(server.folder)
        server.inbound("smtp-source", 1, messages, 4096)
        server.stop()
        counts.append(int((server.folder / "log").read_text().split("Collected :")[1].split()[0]))
    return (counts[1] - counts[0]) / 500


def count(options, postfix, folders):
    print("| inbound 4 KB | calls a message |\n|---|---|")
    for sessions in (1, 50):
        server = Server(options.binary, postfix)
        folders.append(server.folder)
        calls = server.calls(sessions, 1000)
        server.stop()
        for name, calls in calls.items():
            if calls >= 0.5:
                print(f"| {sessions} sessions, {name} | {calls:.1f} |")
    print(f"| 1 session, instructions outside the kernel | {instructions(options.binary, postfix, folders):.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--binary", type=pathlib.Path, default=TARGET / "kings")
    parser.add_argument("--other", type=pathlib.Path, help="a second build, measured in turn with the first")
    parser.add_argument("--dir", type=pathlib.Path, help="where the servers keep their files: ext4 with a journal")
    parser.add_argument("--calls", action="store_true", help="count system calls and instructions instead")
    parser.add_argument("--json", action="store_true", help="every run as a line of JSON instead of the table")
    options = parser.parse_args()
    tempfile.tempdir = options.dir and str(options.dir)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    postfix = part("postfix")
    builds = {"kings": options.binary, **({"other": options.other} if options.other else {})}
    figures, folders = {}, []
    if options.calls:
        count(options, postfix, folders)
    for _ in range(0 if options.calls else options.runs):
        for build, binary in builds.items():
            server = Server(binary, postfix)
            folders.append(server.folder)
            time.sleep(0.3)
            idle = {"ready ms": server.ready_ms, "idle RSS MB": server.resident_kb() / 1024}
            rows = {"start, idle": idle}
            for case in CASES:
                if options.only in case:
                    rows[case] = server.run(CASES[case])
            server.stop()
            for case in IDLE:
                if options.only in case:
                    # A mailbox full of messages, or memory that a load has left, is another case.
                    server = Server(binary, postfix)
                    folders.append(server.folder)
                    rows[case] = server.idle(case)
                    server.stop()
            for case, measures in rows.items():
                for measure, value in measures.items():
                    figures.setdefault((case, measure, build), []).append(value)
                if options.json:
                    print(json.dumps({"schema": 1, "build": build, "case": case, **measures}), flush=True)
    # Not before: without a journal ext4 looks at every file that was deleted within seconds when it makes another one.
    for folder in folders:
        shutil.rmtree(folder)
    if options.json or options.calls:
        return
    print("| case | measure | build | median | range |\n|---|---|---|---|---|")
    for (case, measure, build), values in figures.items():
        low, high = min(values), max(values)
        print(f"| {case} | {measure} | {build} | {statistics.median(values):.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
