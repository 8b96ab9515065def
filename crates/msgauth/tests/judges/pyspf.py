"""Judges SPF with pyspf over a zone in a file, for tests/spf_judges.rs.

    pyspf.py FILE       prints pyspf's result for each line `case CLIENT|HELO|SENDER`, in order

The other lines are records: `NAME TXT TEXT`, `NAME A ADDRESS`, `NAME AAAA ADDRESS`, `NAME MX PREFERENCE HOST`,
`ADDRESS PTR NAME` and `NAME FAILS`, which answers nothing.
"""

import ipaddress
import sys

import spf

records = {}
failing = set()
cases = []


def owner_of(text, kind):
    return ipaddress.ip_address(text).reverse_pointer if kind == "PTR" else text.lower()


def load(path):
    for line in open(path, encoding="utf-8", newline="\n"):
        line = line.rstrip("\n")
        if line.startswith("case "):
            cases.append(line[5:].split("|"))
            continue
        owner, kind, value = (line.split(" ", 2) + [""])[:3]
        if kind == "FAILS":
            failing.add(owner)
            continue
        if kind == "TXT":
            value = (value.encode(),)
        elif kind == "MX":
            preference, host = value.split(" ")
            value = (int(preference), host)
        records.setdefault((owner_of(owner, kind), kind), []).append(value)


def ask(name, kind, strict=True, timeout=0):
    name = name.lower()
    if name in failing:
        raise spf.TempError("DNS does not answer")
    return [((name, kind), value) for value in records.get((name, kind), [])]


load(sys.argv[1])
spf.DNSLookup = ask
for client, helo, sender in cases:
    query = spf.query(i=client, s=sender, h=helo, receiver="mail.receiver.example", strict=True)
    result, _, explanation = query.check()
    told = explanation if result == "fail" and explanation != spf.EXPLANATIONS["fail"] else "-"
    print(f"{result}|{told}|{query.void_lookups}")
