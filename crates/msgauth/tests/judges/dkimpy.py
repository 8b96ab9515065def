"""Signs and verifies with dkimpy, for tests/dkim_judges.rs.

    dkimpy.py verify FOLDER    prints a line for each *.eml: its name and a word for each signature, True or False
    dkimpy.py chain FOLDER     prints a line for each *.eml: its name and what came of its ARC chain
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
        print(path.name, validation.decode())


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
    {"chain": chain, "seal": seal, "sign": sign, "verify": verify}[sys.argv[1]](pathlib.Path(sys.argv[2]))
