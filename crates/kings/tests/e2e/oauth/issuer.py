"""A small OpenID Connect issuer for the tests. OpenSSL makes its key and signs its tokens.

issuer.py serve PORT CERTIFICATE KEY FOLDER    discovery, keys and introspection over TLS
issuer.py token PORT FOLDER NAME=VALUE...      prints a token; a value that starts with + or - is seconds from now
"""

import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import time


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def private_key(folder):
    path = folder / "issuer.key"
    if not path.exists():
        openssl("genrsa", "-out", str(path), "2048")
    return path


def keys(folder):
    modulus = openssl("rsa", "-in", str(private_key(folder)), "-noout", "-modulus").decode().strip()
    number = bytes.fromhex(modulus.removeprefix("Modulus="))
    return {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": encode(number), "e": "AQAB"}]}


def token(port, folder, claims):
    whole = {"iss": f"https://127.0.0.1:{port}", "aud": "kings", "exp": "+300", **claims}
    for name in ("exp", "nbf"):
        if name in whole:
            whole[name] = int(time.time()) + int(whole[name])
    parts = ({"alg": "RS256", "kid": "1", "typ": "JWT"}, whole)
    signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = openssl("dgst", "-sha256", "-sign", str(private_key(folder)), data=signed.encode())
    return f"{signed}.{encode(signature)}"


class Issuer(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        issuer = f"https://127.0.0.1:{self.server.server_port}"
        if self.path == "/.well-known/openid-configuration":
            self.answer(200, {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"})
        elif self.path == "/jwks":
            self.answer(200, keys(self.server.folder))
        else:
            self.answer(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        login = "Basic " + base64.b64encode(b"kings:hush").decode()
        if self.path != "/introspect" or self.headers.get("authorization") != login:
            self.answer(401, {})
        elif "token=opaque-of-ann&" in body:
            self.answer(200, {"active": True, "username": "ann@example.org", "exp": int(time.time()) + 300})
        else:
            self.answer(200, {"active": False})


def serve(port, certificate, key, folder):
    # Who finds the port open finds the key made.
    private_key(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Issuer)
    server.folder = folder
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


match sys.argv[1:]:
    case ["serve", port, certificate, key, folder]:
        serve(int(port), certificate, key, pathlib.Path(folder))
    case ["token", port, folder, *claims]:
        print(token(port, pathlib.Path(folder), dict(claim.split("=", 1) for claim in claims)))
    case _:
        sys.exit(__doc__)
