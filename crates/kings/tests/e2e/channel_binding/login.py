"""Logs in by SCRAM-SHA-256-PLUS bound to the server's certificate (RFC 5929 section 4.1), with nothing but Python's library:
login.py imap|smtp PORT AUTHORITY LOGIN PASSWORD TLS-VERSION CERTIFICATE

CERTIFICATE is `shown`, or a file in PEM: the certificate that somebody in between would have shown.
"""

import base64
import hashlib
import hmac
import imaplib
import pathlib
import smtplib
import ssl
import sys

protocol, port, authority, login, password, version, certificate = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.maximum_version = ssl.TLSVersion[version]

if protocol == "imap":
    client = imaplib.IMAP4_SSL("localhost", int(port), ssl_context=context)
    offered = "AUTH=SCRAM-SHA-256-PLUS" in client.capabilities
else:
    client = smtplib.SMTP_SSL("localhost", int(port), context=context)
    client.ehlo()
    offered = "SCRAM-SHA-256-PLUS" in client.esmtp_features["auth"].split()
if not offered:
    print("not offered")
    sys.exit(3)

shown = client.sock.getpeercert(binary_form=True)
seen = shown if certificate == "shown" else ssl.PEM_cert_to_DER_cert(pathlib.Path(certificate).read_text())
header = b"p=tls-server-end-point,,"
bare = f"n={login},r=rOprNGfwEbeRWgbNEkqO"
messages = []


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def answer(challenge):
    """The first message, the proof, and nothing."""
    messages.append(challenge)
    if not challenge:
        return header + bare.encode()
    if challenge.startswith(b"v="):
        return b""
    fields = dict(field.split("=", 1) for field in challenge.decode().split(","))
    bound = base64.b64encode(header + hashlib.sha256(seen).digest()).decode()
    last = f"c={bound},r={fields['r']}"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = mac(salted, b"Client Key")
    signed = f"{bare},{challenge.decode()},{last}".encode()
    signature = mac(hashlib.sha256(key).digest(), signed)
    proof = bytes(a ^ b for a, b in zip(key, signature))
    return f"{last},p={base64.b64encode(proof).decode()}".encode()


try:
    if protocol == "imap":
        client.authenticate("SCRAM-SHA-256-PLUS", answer)
    else:
        client.auth("SCRAM-SHA-256-PLUS", lambda challenge=None: answer(challenge or b"").decode())
except (imaplib.IMAP4.error, smtplib.SMTPAuthenticationError) as error:
    print("refused:", error)
    sys.exit(1)
print("logged in")
