#!/usr/bin/env python3
"""Measures IMAP commands over one large mailbox, Kings beside Dovecot from this system's packages, taking turns, over TLS, on the same files.

    cargo build --release -p kings
    bench/mailbox.py --dir /mnt/bench                     10,000 and 100,000 messages, five runs of each command
    bench/mailbox.py --messages 10000 --runs 3 --only Kings
    bench/mailbox.py --kings /path/to/another/kings
    bench/mailbox.py --case STORE --dovecot "mail_fsync = always"    with what Dovecot says to be on disk on disk

Each server has a copy of the same Maildir. A command is run once to warm up; then its time is taken from the first octet sent to the
tagged response. "SELECT cold" is the first one of a server that was started anew with the page cache dropped (as root; else of a fresh server alone). What is counted by
the second (BODY[], single STORE and FETCH, APPEND) runs over one connection, a command at a time; a pair of figures of one server is a change and its reverse.
"""
import argparse
import os
import pathlib
import random
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

from measure import free_port, wait_until

WORDS = "invoice meeting report holiday server update question photo ticket order release budget review travel contract".split()
VMAIL = 5000  # Dovecot gives nobody mail as root, so this is run as root and the mail is another user's
COMMANDS = {
    "SELECT": "SELECT INBOX",
    "FETCH FLAGS": "FETCH 1:* (FLAGS)",
    "FETCH ENVELOPE": "FETCH 1:* (ENVELOPE)",
    "FETCH FULL": "FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    "SORT DATE": "SORT (DATE) UTF-8 ALL",
    "SORT SUBJECT": "SORT (SUBJECT) UTF-8 ALL",
    "SORT FROM REVERSE DATE": "SORT (FROM REVERSE DATE) UTF-8 ALL",
    "THREAD REFERENCES": "THREAD REFERENCES UTF-8 ALL",
    "THREAD ORDEREDSUBJECT": "THREAD ORDEREDSUBJECT UTF-8 ALL",
    "SEARCH BODY, few": "SEARCH BODY zanzibar",
    "SEARCH TEXT, few": "SEARCH TEXT zanzibar",
    "SEARCH BODY, none": "SEARCH BODY xyzzyqwert",
    "SEARCH BODY, many": "SEARCH BODY budget",
    "SEARCH BODY, two letters": "SEARCH BODY zq",
    "SEARCH HEADER, one": "SEARCH HEADER Message-ID <m4711@rig.example>",
}


def word(chance):
    """One of a few, or of 50,000 as in a language: the second is half as frequent as the first, the third a third."""
    if chance.random() < 0.5:
        return chance.choice(WORDS)
    rank = int(50_000 ** chance.random())
    return "".join("bcdfghklmnprstvwz"[rank // 17 ** place % 17] + "aeiou"[rank // 7 ** place % 5] for place in range(2 + rank % 3))


def message(number, chance):
    """A message of a few kilobytes: a part of a thread, with an attachment now and then."""
    thread = chance.randrange(number // 5 + 1)
    subject = f"{chance.choice(WORDS)} {chance.choice(WORDS)} {thread}"
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(1_500_000_000 + number * 600 + chance.randrange(6000)))
    refs = f"References: <first{thread}@rig.example> <m{number - 1}@rig.example>\r\nIn-Reply-To: <m{number - 1}@rig.example>\r\n" if number % 3 else ""
    lines = [" ".join(word(chance) for _ in range(10)) for _ in range(chance.randrange(10, 50))]
    if number % 1000 == 7:
        lines.append("all the way to Zanzibar")
    text = "\r\n".join(lines)
    header = (f"Return-Path: <s{number % 97}@example.net>\r\nReceived: from a.example by b.example; {date}\r\nDate: {date}\r\n"
              f"From: =?utf-8?q?J=C3=B6rg_{number % 97}?= <s{number % 97}@example.net>\r\nTo: Ann <ann@rig.example>, bob@rig.example\r\n"
              f"{'Cc: carl@rig.example' + chr(13) + chr(10) if number % 4 == 0 else ''}Subject: {'Re: ' if number % 3 else ''}{subject}\r\n"
              f"Message-ID: <m{number}@rig.example>\r\n{refs}MIME-Version: 1.0\r\n")
    if number % 5:
        return f"{header}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    return (f"{header}Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
            f"--x\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            f"{'QUJDREVG' * 200}\r\n--x--\r\n").encode()


def fill(folder, count):
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    chance = random.Random(7)
    for number in range(1, count + 1):
        content = message(number, chance)
        path = folder / "cur" / f"{1_500_000_000 + number}.M1P1.rig,S={len(content)},W={len(content)}:2,{'S' if number % 2 else ''}"
        path.write_bytes(content)
        os.utime(path, (1_500_000_000 + number * 600,) * 2)


def body(client, count):
    """MB/s of FETCH BODY[] of all, or of 10,000 messages."""
    took, size, fine = client.run(f"FETCH 1:{min(count, 10_000)} (UID BODY.PEEK[])")
    return size / took / 1000 if fine else None


def flag_all(client, count):
    """ms of STORE for all, and of its reverse."""
    return (client.run("STORE 1:* +FLAGS.SILENT (\\Flagged)")[0] + client.run("STORE 1:* -FLAGS.SILENT (\\Flagged)")[0]) / 2


def each(client, count, command, times):
    """Commands a second, each with a message of its own, anywhere in the mailbox."""
    began = time.perf_counter()
    for turn in range(times):
        if not client.run(command.format(turn * 7919 % count + 1))[2]:
            return None
    return times / (time.perf_counter() - began)


def append(client, count):
    """APPEND of a message of 4 KB, by the second; they are removed again."""
    content = message(1, random.Random(3))[:4000].ljust(4000, b".")
    began = time.perf_counter()
    for _ in range(300):
        if not client.append(content):
            return None
    rate = 300 / (time.perf_counter() - began)
    client.run(f"STORE {count + 1}:* +FLAGS.SILENT (\\Deleted)")
    client.run("EXPUNGE")
    return rate


# what is measured by more than one command: unit, whether more is better, how
SCENES = {
    "BODY[] of 10,000": ("MB/s", True, body),
    "STORE all": ("ms", False, flag_all),
    "STORE single": ("/s", True, lambda client, count: each(client, count, "STORE {} +FLAGS (\\Answered)", 1000)),
    "STORE single, back": ("/s", True, lambda client, count: each(client, count, "STORE {} -FLAGS (\\Answered)", 1000)),
    "FETCH single BODY[]": ("/s", True, lambda client, count: each(client, count, "FETCH {} (BODY.PEEK[])", 1000)),
    "APPEND": ("/s", True, append),
}
COLD = "SELECT cold"


class Client:
    def __init__(self, port):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.stream = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 60))
        self.stream.settimeout(900)
        self.number, self.buffer = 0, bytearray(1 << 20)
        self.stream.recv(4096)
        self.run("LOGIN ann@rig.example secret")

    def append(self, content):
        return self.run(f"APPEND INBOX (\\Seen) {{{len(content)}+}}", content)[2]

    def run(self, command, literal=None):
        self.number += 1
        tag = f"t{self.number} ".encode()
        more = b"" if literal is None else literal + b"\r\n"
        began = time.perf_counter()
        self.stream.sendall(tag + command.encode() + b"\r\n" + more)
        size, tail = 0, b""
        while True:
            count = self.stream.recv_into(self.buffer)
            if not count:
                raise SystemExit("the server closed the connection")
            size += count
            tail = (tail + bytes(self.buffer[max(0, count - 4096):count]))[-4096:]
            last = tail[:-2].rpartition(b"\r\n")[2] if tail.endswith(b"\r\n") else b""
            if last.startswith(tag):
                return (time.perf_counter() - began) * 1000, size, last.startswith(tag + b"OK")


class Kings:
    name = "Kings"

    def __init__(self, folder, binary, certificate, key):
        self.folder, self.port = folder, free_port()
        smtp = free_port()
        digest = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
        (folder / "users").write_text(f"ann@rig.example:{{SHA512-CRYPT}}{digest}\n")
        (folder / "kings.toml").write_text(f"""hostname = "mx.rig.example"
data_dir = "data"
mail_dir = "mail"
[[domain]]
name = "rig.example"
[accounts]
file = "users"
[listen]
smtp = ["127.0.0.1:{smtp}"]
imaps = ["127.0.0.1:{self.port}"]
[tls]
certificate = "{certificate}"
private_key = "{key}"
[dns]
servers = ["127.0.0.1:9"]
[limits]
exempt = ["127.0.0.0/8"]
""")
        self.command = [binary, "serve", "--config", folder / "kings.toml"]
        self.maildir = folder / "mail/rig.example/ann"

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Dovecot(Kings):
    name = "Dovecot"

    def __init__(self, folder, binary, certificate, key):
        super().__init__(folder, binary, certificate, key)
        (folder / "passwd").write_text("ann@rig.example:{PLAIN}secret\n")
        (folder / "dovecot.conf").write_text(f"""base_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
first_valid_uid = 1
mail_location = maildir:{self.maildir}
mail_uid = {VMAIL}
mail_gid = {VMAIL}
passdb {{
  driver = passwd-file
  args = {folder}/passwd
}}
userdb {{
  driver = static
  args = home={folder}
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {self.port}
    ssl = yes
  }}
}}
""")
        self.command = ["dovecot", "-F", "-c", folder / "dovecot.conf"]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path)
    parser.add_argument("--messages", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="one of the servers")
    parser.add_argument("--dovecot", default="", help="a line for Dovecot's config, such as mail_fsync = always")
    parser.add_argument("--case", default="", help="commands with this in their name")
    parser.add_argument("--kings", default=str(pathlib.Path(__file__).resolve().parent.parent / "target/release/kings"))
    options = parser.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="mailbox-", dir=options.dir))
    os.chmod(root, 0o755)
    certificate, key = root / "cert.pem", root / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.rig.example",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    print(f"| Messages | Command | " + " | ".join(f"{server.name}, ms" for server in (Dovecot, Kings)) + " | Ratio |\n|---|---|---|---|---|")
    for count in options.messages:
        fill(root / "seed", count)
        medians, texts = {}, {}
        for kind in (Dovecot, Kings):
            if options.only and kind.name != options.only:
                continue
            folder = root / f"{kind.name}-{count}"
            folder.mkdir()
            server = kind(folder, options.kings, certificate, key)
            shutil.copytree(root / "seed", server.maildir, copy_function=shutil.copy2)
            if kind is Dovecot:
                subprocess.run(["chown", "-R", f"{VMAIL}:{VMAIL}", folder], check=True)
                with open(folder / "dovecot.conf", "a") as config:
                    config.write(options.dovecot + "\n")
            time.sleep(3)
            measure(server, options, count, medians, texts)
            shutil.rmtree(folder)
        for name in [COLD, *COMMANDS, *SCENES]:
            told = [texts.get((server.name, name), "-") for server in (Dovecot, Kings)]
            if told == ["-", "-"]:
                continue
            both = [medians.get((server.name, name)) for server in (Dovecot, Kings)]
            if name in SCENES and SCENES[name][1]:
                both.reverse()
            ratio = f"{both[0] / both[1]:.1f}" if all(both) else "-"
            name = f"{name}, {SCENES[name][0]}" if name in SCENES else name
            print(f"| {count} | {name} | {told[0]} | {told[1]} | {ratio} |", flush=True)
        shutil.rmtree(root / "seed")
    shutil.rmtree(root)


def note(server, name, values, medians, texts):
    if None not in values:
        medians[server.name, name] = statistics.median(values)
        texts[server.name, name] = f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def opened(server):
    server.start()
    wait_until(lambda: answers(server.port), f"{server.name} does not answer: see {server.folder}/log", 30)
    return Client(server.port)


def closed(server, client):
    client.stream.close()
    server.stop()
    time.sleep(2)


def measure(server, options, count, medians, texts):
    for restart in range(2):
        client = opened(server)
        client.run("SELECT INBOX")
        for name, command in COMMANDS.items():
            if options.case not in name:
                continue
            first, size, fine = client.run(command)
            if restart == 0:
                print(f"  {server.name} {name}: first {first:.0f} ms, {size} octets", flush=True)
                continue
            times = [client.run(command)[0] for _ in range(options.runs)]
            if fine:
                note(server, name, times, medians, texts)
        for name, (_, _, scene) in SCENES.items():
            if options.case in name and restart == 1:
                scene(client, count)
                note(server, name, [scene(client, count) for _ in range(options.runs)], medians, texts)
        closed(server, client)
    if options.case in COLD:
        times = []
        for _ in range(options.runs):
            drop_caches()
            client = opened(server)
            times.append(client.run("SELECT INBOX")[0])
            closed(server, client)
        note(server, COLD, times, medians, texts)


def drop_caches():
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        pass


if __name__ == "__main__":
    main()
