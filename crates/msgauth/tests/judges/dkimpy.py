"""Signs and verifies with dkimpy, for tests/dkim_judges.rs and tests/arc_judges.rs.

    dkimpy.py verify FOLDER    prints a line for each *.eml: its name and a word for each signature, True or False
    dkimpy.py chain FOLDER     prints a line for each *.eml: its name and what came of its ARC chain
    dkimpy.py newest FOLDER    the same of the newest set alone: its number, what it says of the chain, its seal, its signature
    dkimpy.py grow FOLDER      seals each *.plain again and again, into NAME.COUNT.eml for some counts up to 50
    dkimpy.py seal FOLDER      seals each *.eml with the RSA key for a.example, into NAME.sealed
    dkimpy.py sign FOLDER      signs each *.plain with both keys in all canonical forms, into NAME.FORM.ALGORITHM.eml

FOLDER/zone holds "name text" lines; FOLDER/rsa.pem and FOLDER/ed25519.seed the keys for signing.
"""

import pathlib
import sys

import dkim

FORMS = (b"simple", b"relaxed")


def resolver(folder):
    zone = dict(line.split(" ", 1) for line in (folder / "zone").read_text().splitlines())

    def ask(name, timeout=5):
        text = zone.get(name.decode().rstrip(".").lower())
        return text.encode() if text else None

    return ask


def chain(folder):
    for path in sorted(folder.glob("*.eml")):
        validation, _, _ = dkim.arc_verify(path.read_bytes(), dnsfunc=resolver(folder))
        # A chain that somebody has sealed as broken has no result any more.
        print(path.name, validation.decode() if validation else "ended")


def newest(folder):
    for path in sorted(folder.glob("*.eml")):
        message = dkim.ARC(path.read_bytes())
        top, headers = message.sorted_arc_headers()
        own = [(number, field) for number, field in headers if number == top]
        # It looks for the fields in the whole message, from the bottom up.
        older = [b" i=%d;" % number for number in range(1, top)]
        message.headers = [
            (name, value)
            for name, value in message.headers
            if name.lower() not in dkim.ARC.ARC_HEADERS or not value.startswith(tuple(older))
        ]
        found = message.verify_instance(own, top, dnsfunc=resolver(folder))
        print(path.name, top, found["cv"].decode(), found["as-valid"], found["ams-valid"])


def grow(folder):
    key = (folder / "rsa.pem").read_bytes()
    for path in sorted(folder.glob("*.plain")):
        message = path.read_bytes()
        for count in range(1, 51):
            results = b"Authentication-Results: mx.example; arc=%s; spf=pass\r\n" % (b"none" if count == 1 else b"pass")
            fields = dkim.arc_sign(results + message, b"rsa", b"a.example", key, b"mx.example")
            message = b"".join(fields) + message
            if count in (1, 2, 3, 10, 50):
                path.with_suffix(f".{count}.eml").write_bytes(message)


def seal(folder):
    key = (folder / "rsa.pem").read_bytes()
    for path in sorted(folder.glob("*.eml")):
        message = path.read_bytes()
        fields = dkim.arc_sign(message, b"rsa", b"a.example", key, b"mx.example")
        path.with_suffix(".sealed").write_bytes(b"".join(fields) + message)


def verify(folder):
    ask = resolver(folder)
    for path in sorted(folder.glob("*.eml")):
        message = dkim.DKIM(path.read_bytes())
        signatures = [name for name, _ in message.headers if name.lower() == b"dkim-signature"]
        words = []
        for number in range(len(signatures)):
            try:
                words.append(str(bool(message.verify(idx=number, dnsfunc=ask))))
            except dkim.DKIMException:
                words.append("False")
        print(path.name, *words)


def sign(folder):
    keys = {
        b"rsa-sha256": (folder / "rsa.pem").read_bytes(),
        b"ed25519-sha256": (folder / "ed25519.seed").read_bytes(),
    }
    for path in sorted(folder.glob("*.plain")):
        message = path.read_bytes()
        for algorithm, key in keys.items():
            for header in FORMS:
                for body in FORMS:
                    field = dkim.sign(
                        message,
                        algorithm.split(b"-")[0],
                        b"example.org",
                        key,
                        canonicalize=(header, body),
                        signature_algorithm=algorithm,
                    )
                    name = f"{path.stem}.{header.decode()}-{body.decode()}.{algorithm.decode()}.eml"
                    (folder / name).write_bytes(field + message)


if __name__ == "__main__":
    {"chain": chain, "grow": grow, "newest": newest, "seal": seal, "sign": sign, "verify": verify}[sys.argv[1]](pathlib.Path(sys.argv[2]))
