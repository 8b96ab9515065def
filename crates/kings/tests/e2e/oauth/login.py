"""Logs in over IMAP with a token, by Python's imaplib: login.py PORT AUTHORITY MECHANISM LOGIN TOKEN"""

import imaplib
import ssl
import sys

port, authority, mechanism, login, token = sys.argv[1:]
if mechanism == "OAUTHBEARER":
    message = f"n,a={login},\1host=localhost\1port={port}\1auth=Bearer {token}\1\1"
else:
    message = f"user={login}\1auth=Bearer {token}\1\1"


def answer(challenge):
    """The token first; a refusal comes as a second challenge, and wants a dummy (RFC 7628 section 3.2.3)."""
    if challenge:
        print("challenge:", challenge.decode())
        return b"\1"
    return message.encode()


client = imaplib.IMAP4_SSL("localhost", int(port), ssl_context=ssl.create_default_context(cafile=authority))
try:
    print(client.authenticate(mechanism, answer))
except imaplib.IMAP4.error as error:
    print("refused:", error)
    sys.exit(1)
client.select("INBOX")
client.logout()
