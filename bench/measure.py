#!/usr/bin/env python3
"""Starts a release build of Kings on loopback and measures it: messages a second, processor time and memory.

    cargo build --release -p kings -p kings-bench
    bench/measure.py                     every case, three runs each
    bench/measure.py --runs 5 --only inbound
    bench/measure.py --other BINARY      the same cases with another build as well, the two taking turns

Prints a Markdown table: median, lowest and highest. Plain inbound load comes from Postfix's smtp-source and relayed mail
goes to its smtp-sink (tests/parts.sh unpacks both); TLS and logins come from kings-bench. The machine should be calm.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
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
    "submission 4 KB relayed, 50 sessions kept": ("submission", 50, 3000, 4096),
}


def part(name):
    return pathlib.Path(subprocess.check_output([ROOT / "tests/parts.sh", "path", name], text=True).strip())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One Kings with ten accounts, and the sink it relays to."""

    def __init__(self, binary, postfix):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kings-bench-"))
        self.smtp, self.submissions, self.sink = free_port(), free_port(), free_port()
        (self.folder / "users").write_text("".join(f"user{n}@rig.example:{{PLAIN}}x\n" for n in range(10)))
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
submissions = ["127.0.0.1:{self.submissions}"]
imaps = ["127.0.0.1:0"]
[tls]
self_signed = true
[outbound]
smart_host = "127.0.0.1:{self.sink}"
[limits]
exempt = ["127.0.0.0/8"]
"""
        )
        environment = dict(os.environ, LD_LIBRARY_PATH=str(postfix / "usr/lib/postfix"))
        self.source = [str(postfix / "usr/sbin/smtp-source")]
        self.environment = environment
        sink = [str(postfix / "usr/sbin/smtp-sink"), "-u", "root", f"127.0.0.1:{self.sink}", "1000"]
        self.sink_process = subprocess.Popen(sink, env=environment, stderr=subprocess.DEVNULL)
        log = open(self.folder / "log", "wb")
        began = time.monotonic()
        command = [str(binary), "serve", "--config", str(self.folder / "kings.toml")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        if not self.process.stdout.readline().strip().endswith(b" ready"):
            sys.exit(f"the server did not start: see {self.folder}/log")
        self.ready_ms = (time.monotonic() - began) * 1000

    def cpu_ms(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(stat[11]) + int(stat[12])) * 10

    def resident_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    def delivered(self):
        return sum(len(os.listdir(folder)) for folder in self.folder.glob("mail/rig.example/*/new"))

    def queued(self):
        entries = self.folder / "data/queue"
        return sum(1 for path in entries.rglob("*") if path.is_file() and path.name[:1].isdigit() and "." in path.name)

    def run(self, case):
        generator, sessions, messages, size = CASES[case]
        before, cpu, began = self.delivered(), self.cpu_ms(), time.monotonic()
        if generator == "smtp-source":
            command = self.source + ["-d", "-s", str(sessions), "-m", str(messages), "-l", str(size),
                                     "-f", "a@sender.example", "-t", "user0@rig.example", f"127.0.0.1:{self.smtp}"]
            subprocess.run(command, env=self.environment, check=True)
        else:
            login = ["--login", "user0@rig.example", "--password", "x", "--from", "user0@rig.example",
                     "--recipient", "joe@elsewhere.example", "--protocol", "submissions"]
            where = f"127.0.0.1:{self.submissions if generator == 'submission' else self.smtp}"
            kind = login if generator == "submission" else ["--protocol", "submission"]
            command = [str(TARGET / "kings-bench"), where, "--sessions", str(sessions), "--messages", str(messages),
                       "--size", str(size), "--json", *kind]
            subprocess.run(command, check=True, stdout=subprocess.PIPE)
            while generator == "submission" and self.queued():
                time.sleep(0.01)
        took, cpu = time.monotonic() - began, self.cpu_ms() - cpu
        if generator != "submission" and self.delivered() - before != messages:
            sys.exit(f"{case}: {self.delivered() - before} of {messages} messages are in the mailbox")
        return {"messages/s": messages / took, "CPU ms/message": cpu / messages, "peak RSS MB": self.resident_kb() / 1024}

    def stop(self):
        for process in (self.process, self.sink_process):
            process.send_signal(signal.SIGTERM)
            process.wait()
        shutil.rmtree(self.folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--binary", type=pathlib.Path, default=TARGET / "kings")
    parser.add_argument("--other", type=pathlib.Path, help="a second build, measured in turn with the first")
    parser.add_argument("--json", action="store_true", help="every run as a line of JSON instead of the table")
    options = parser.parse_args()
    postfix = part("postfix")
    builds = {"kings": options.binary, **({"other": options.other} if options.other else {})}
    figures = {}
    for _ in range(options.runs):
        for build, binary in builds.items():
            server = Server(binary, postfix)
            time.sleep(0.3)
            idle = {"ready ms": server.ready_ms, "idle RSS MB": server.resident_kb() / 1024}
            rows = {"start, idle": idle}
            for case in CASES:
                if options.only in case:
                    rows[case] = server.run(case)
            server.stop()
            for case, measures in rows.items():
                for measure, value in measures.items():
                    figures.setdefault((case, measure, build), []).append(value)
                if options.json:
                    print(json.dumps({"schema": 1, "build": build, "case": case, **measures}), flush=True)
    if options.json:
        return
    print("| case | measure | build | median | range |\n|---|---|---|---|---|")
    for (case, measure, build), values in figures.items():
        low, high = min(values), max(values)
        print(f"| {case} | {measure} | {build} | {statistics.median(values):.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
