"""Judges whole messages with authheaders over a zone in a file, for tests/authheaders_judge.rs.

    with_authheaders.py FOLDER    prints the results of SPF, DKIM and DMARC for each line `case CLIENT|HELO|SENDER` of
                                  FOLDER/zone, in order; the message of case N is FOLDER/N.eml

The other lines of the zone are those of pyspf.py.
"""

import io
import pathlib
import sys

import authheaders
import authheaders.dmarc_lookup
import authres
import dns.exception
import spf

records = {}
failing = set()
cases = []


def load(path):
    for line in path.read_text().splitlines():
        if line.startswith("case "):
            cases.append(line[5:].split("|"))
            continue
        owner, kind, value = (line.split(" ", 2) + [""])[:3]
        if kind == "FAILS":
            failing.add(owner)
        else:
            records.setdefault((owner, kind), []).append(value)


def ask_spf(name, kind, strict=True, timeout=0):
    name = name.lower()
    if name in failing:
        raise spf.TempError("DNS does not answer")
    found = records.get((name, kind), [])
    return [((name, kind), (value.encode(),) if kind == "TXT" else value) for value in found]


def ask_txt(name, timeout=5):
    """One TXT record: octets for DKIM, which asks in octets, text for DMARC."""
    octets = isinstance(name, bytes)
    name = (name.decode() if octets else name).rstrip(".").lower()
    if name in failing:
        raise dns.exception.Timeout()
    found = records.get((name, "TXT"), [None])[0]
    return found.encode() if octets and found else found


folder = pathlib.Path(sys.argv[1])
load(folder / "zone")
spf.DNSLookup = ask_spf
# It takes a name below a suffix that is on no list for one of nobody, and reads its list anew for each message.
suffixes = authheaders.dmarc_lookup.PublicSuffixList(io.StringIO("example\n"))
authheaders.dmarc_lookup.PublicSuffixList = lambda _file: suffixes
for number, (client, helo, sender) in enumerate(cases):
    message = (folder / f"{number}.eml").read_bytes()
    field = authheaders.authenticate_message(
        message, "judge.example", spf=True, ip=client, mail_from=sender, helo=helo, dnsfunc=ask_txt
    )
    found = {one.method: one.result for one in authres.AuthenticationResultsHeader.parse(field).results}
    print(found["spf"], found["dkim"], found["dmarc"])
