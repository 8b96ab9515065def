"""Stands before pebble, so that a test can make an authority fail, or be more than pebble is.

ca.py PORT PEBBLE_PORT CERTIFICATE KEY FOLDER

Every request is a line in FOLDER/requests: METHOD PATH. FOLDER/rules is read at each; a line of it is WORDS in JSON:
    {"path": "/sign-me-up", "status": 503}                     an answer in place of pebble's, with "headers" and "body"
    {"path": "/order-plz", "hold": true}                       no answer until the test ends whoever waits for it
    {"renewal": [START, END], "retry_after": 60}               renewal information (RFC 9773), which pebble does not have
"""

import http.client
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time

port, pebble, certificate, key, folder = sys.argv[1:]
folder = pathlib.Path(folder)
lock = threading.Lock()


def rules():
    try:
        return [json.loads(line) for line in (folder / "rules").read_text().splitlines() if line]
    except FileNotFoundError:
        return []


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with lock, (folder / "requests").open("a") as log:
            log.write(f"{self.command} {self.path}\n")
        renewal = next((rule for rule in rules() if "renewal" in rule), None)
        for rule in rules():
            if "path" in rule and self.path.startswith(rule["path"]):
                if rule.get("hold"):
                    time.sleep(60)
                    self.close_connection = True
                    return
                self.say(rule["status"], rule.get("headers", {}), rule.get("body", "").encode())
                return
        if renewal and self.path.startswith("/renewal-info/"):
            start, end = (
                time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in renewal["renewal"]
            )
            answer = json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode()
            headers = {"content-type": "application/json", "retry-after": str(renewal.get("retry_after", 60))}
            self.say(200, headers, answer)
            return
        context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
        inner = http.client.HTTPSConnection("localhost", int(pebble), context=context, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        inner.request(self.command, self.path, body or None, headers)
        answer = inner.getresponse()
        text = answer.read()
        fields = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("content-length", "connection", "transfer-encoding")
        }
        if renewal and self.path == "/dir":
            directory = json.loads(text)
            directory["renewalInfo"] = f"https://{self.headers['host']}/renewal-info"
            text = json.dumps(directory).encode()
        self.say(answer.status, fields, text)

    do_GET = do_POST = do_HEAD = handle_any


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Front)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
