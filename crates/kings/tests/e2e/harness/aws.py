"""Route 53 as strict as Amazon's: moto behind a front that looks at what moto takes without a look.

aws.py PORT METADATA_PORT CERTIFICATE KEY FOLDER

The front checks the signature, the host, the clock, the limits of a batch, how texts are quoted, and that a batch fits what is there as
a whole: moto checks no signature, does the half of a batch before it finds a fault, and deletes what is not there. It lists few sets at a
time, and says PENDING before INSYNC. Every request is a line in FOLDER/requests; FOLDER/records has what stands in the zones. A line of
FOLDER/rules is WORDS in JSON:
    {"throttle": 3}                 so many requests are refused, then none
    {"hold": "before"}              a batch is not done, and not answered
    {"hold": "after"}               a batch is done, and not answered
FOLDER/zones has the zones in JSON: name, private, sets. The metadata of the machine lends a key where FOLDER/role is there.
"""

import datetime
import http.server
import json
import logging
import pathlib
import re
import ssl
import sys
import threading
import time

import boto3
import requests
import xmltodict
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

port, metadata_port, certificate, key, folder = sys.argv[1:]
folder = pathlib.Path(folder)
lock = threading.Lock()
KEYS = {"AKIDEXAMPLE": ("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None), "ASIAROLE": ("lent/secret", "lent+token==")}
PAGE = 7
logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
moto.start()
inner = "http://{}:{}".format(*moto.get_host_and_port())
client = boto3.client("route53", endpoint_url=inner, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
zones = {}
for number, zone in enumerate(json.loads((folder / "zones").read_text())):
    private = {"VPC": {"VPCRegion": "us-east-1", "VPCId": "vpc-1"}, "HostedZoneConfig": {"PrivateZone": True, "Comment": ""}}
    more = private if zone.get("private") else {}
    made = client.create_hosted_zone(Name=zone["name"], CallerReference=str(number), **more)
    zones[made["HostedZone"]["Id"].split("/")[-1]] = zone["name"] + (" private" if more else "")
    changes = [{"Action": "CREATE", "ResourceRecordSet": one} for one in zone.get("sets", [])]
    if changes:
        client.change_resource_record_sets(HostedZoneId=made["HostedZone"]["Id"], ChangeBatch={"Changes": changes})
asked = {}
refused = {"count": 0}


def sets(zone):
    found = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    return [one for page in found for one in page["ResourceRecordSets"] if one["Type"] not in ("NS", "SOA")]


def tell():
    lines = []
    for zone, name in zones.items():
        for one in sets(zone):
            values = [record["Value"] for record in one.get("ResourceRecords", [])] or ["alias"]
            lines += [f"{name}: {one['Name']} {one['Type']} {one.get('TTL', '-')} {value}" for value in values]
    (folder / "records.new").write_text("".join(sorted(line + "\n" for line in lines)))
    (folder / "records.new").rename(folder / "records")


def rules():
    try:
        lines = (folder / "rules").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: value for line in lines for name, value in json.loads(line).items()}


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def check_signature(method, path, fields, body):
    said = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/us-east-1/route53/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        fields.get("authorization", ""),
    )
    if not said:
        raise Refused(403, "MissingAuthenticationToken", "Missing Authentication Token")
    who, day, names, signature = said.groups()
    if who not in KEYS:
        raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    secret, token = KEYS[who]
    if fields.get("x-amz-security-token") != token or fields["host"] != f"127.0.0.1:{port}":
        raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    at = datetime.datetime.strptime(fields["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    late = (datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()
    if late > 300:
        raise Refused(403, "SignatureDoesNotMatch", f"Signature expired: {fields['x-amz-date']} is now earlier than (now - 5 min.)")
    if late < -300:
        raise Refused(403, "SignatureDoesNotMatch", f"Signature not yet current: {fields['x-amz-date']} is still later than (now + 5 min.)")
    signed = {name: fields[name] for name in names.split(";") if name != "host"}
    if not {"host", "x-amz-date"} <= set(names.split(";")) or day != fields["x-amz-date"][:8]:
        raise Refused(403, "SignatureDoesNotMatch", "'Host' or ':date' must be signed.")
    request = AWSRequest(method=method, url=f"https://{fields['host']}{path}", data=body, headers=signed)
    request.context["timestamp"] = fields["x-amz-date"]
    judge = SigV4Auth(Credentials(who, secret), "route53", "us-east-1")
    expected = judge.signature(judge.string_to_sign(request, judge.canonical_request(request)), request)
    if expected != signature:
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")


def many(value):
    return value if isinstance(value, list) else [value]


def check_batch(zone, body):
    changes = many(xmltodict.parse(body)["ChangeResourceRecordSetsRequest"]["ChangeBatch"]["Changes"]["Change"])
    values = [
        (one["ResourceRecordSet"]["Type"], record["Value"])
        for one in changes
        for record in many(one["ResourceRecordSet"].get("ResourceRecords", {"ResourceRecord": []})["ResourceRecord"])
    ]
    wrong = []
    if len(values) > 1000 or sum(len(value) for _, value in values) > 32000:
        wrong.append("The batch is too large")
    for kind, value in values:
        if kind != "TXT":
            continue
        strings = re.findall(r'"((?:[^"\\]|\\[0-3][0-7]{2}|\\["\\])*)"', value)
        if " ".join(f'"{string}"' for string in strings) != value:
            wrong.append(f"Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '{value}''")
        if any(len(re.sub(r'\\([0-3][0-7]{2}|.)', "x", string)) > 255 for string in strings):
            wrong.append(f"Invalid Resource Record: 'FATAL problem: CharacterStringTooLong (Value is too long) encountered with '{value}''")
    there = {(one["Name"], one["Type"]): one for one in sets(zone)}
    for change in changes:
        one = change["ResourceRecordSet"]
        place, has = (one["Name"], one["Type"]), there.get((one["Name"], one["Type"]))
        told = [record["Value"] for record in many(one["ResourceRecords"]["ResourceRecord"])]
        if change["Action"] == "DELETE":
            if not has:
                wrong.append(f"Tried to delete resource record set {place} but it was not found")
            elif [record["Value"] for record in has.get("ResourceRecords", [])] != told or str(has.get("TTL")) != one["TTL"]:
                wrong.append(f"Tried to delete resource record set {place} but the values provided do not match the current values")
            there.pop(place, None)
        elif has:
            wrong.append(f"Tried to create resource record set {place} but it already exists")
        else:
            if any(name == one["Name"] and "CNAME" in (kind, one["Type"]) for name, kind in there):
                wrong.append(f"RRSet of type {one['Type']} with DNS name {one['Name']} is not permitted as it conflicts with other records")
            there[place] = {"ResourceRecords": [{"Value": value} for value in told], "TTL": one["TTL"]}
    if wrong:
        raise Refused(400, "InvalidChangeBatch", str(wrong))


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with lock:
            with (folder / "requests").open("a") as log:
                log.write(f"{self.command} {self.path}\n")
            try:
                status, text = self.answer(body)
            except Refused as error:
                message = error.message.replace("&", "&amp;").replace("<", "&lt;")
                status = error.status
                text = (
                    '<?xml version="1.0"?>\n<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type>'
                    f"<Code>{error.code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
                ).encode()
        if status:
            self.say(status, text)
        else:
            time.sleep(60)
            self.close_connection = True

    def answer(self, body):
        fields = {name.lower(): value for name, value in self.headers.items()}
        check_signature(self.command, self.path, fields, body)
        now = rules()
        if refused["count"] < now.get("throttle", 0):
            refused["count"] += 1
            raise Refused(400, "Throttling", "Rate exceeded")
        path, _, query = self.path.partition("?")
        batch = self.command == "POST" and re.fullmatch(r"/2013-04-01/hostedzone/(\w+)/rrset/", path)
        if batch:
            if now.get("hold") == "before":
                return None, b""
            check_batch(batch[1], body)
        if self.command == "GET" and path.endswith("/rrset"):
            query = f"{query}&maxitems={PAGE}".lstrip("&")
        headers = {"authorization": fields["authorization"], "content-type": "text/xml"}
        told = requests.request(self.command, f"{inner}{path}?{query}", data=body or None, headers=headers, timeout=30)
        text = told.content
        if path.startswith("/2013-04-01/change/"):
            asked[path] = asked.get(path, 0) + 1
            if asked[path] < 2:
                text = text.replace(b"INSYNC", b"PENDING")
        if batch:
            text = text.replace(b"INSYNC", b"PENDING")
            self.tell_names(body)
            tell()
            if now.get("hold") == "after":
                return None, b""
        return told.status_code, text

    def tell_names(self, body):
        """What an authority looks for goes to its own name server, whose management FOLDER/names has."""
        try:
            management = (folder / "names").read_text()
        except FileNotFoundError:
            return
        for change in many(xmltodict.parse(body)["ChangeResourceRecordSetsRequest"]["ChangeBatch"]["Changes"]["Change"]):
            one = change["ResourceRecordSet"]
            if not one["Name"].startswith("_acme-challenge."):
                continue
            what = {"host": one["Name"]}
            if change["Action"] == "CREATE":
                what["value"] = many(one["ResourceRecords"]["ResourceRecord"])[0]["Value"].strip('"')
            order = "set-txt" if "value" in what else "clear-txt"
            requests.post(f"{management}/{order}", data=json.dumps(what), timeout=30).raise_for_status()

    do_GET = do_POST = handle_any


class Metadata(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def handle_any(self):
        place = "/latest/meta-data/iam/security-credentials/"
        lent = {"Code": "Success", "AccessKeyId": "ASIAROLE", "SecretAccessKey": KEYS["ASIAROLE"][0], "Token": KEYS["ASIAROLE"][1]}
        answers = {place: "kings", place + "kings": json.dumps(lent, indent=2)}
        text = None
        if self.command == "PUT" and self.path == "/latest/api/token" and self.headers.get("x-aws-ec2-metadata-token-ttl-seconds"):
            text = "T0KEN=="
        elif self.headers.get("x-aws-ec2-metadata-token") == "T0KEN==" and (folder / "role").exists():
            text = answers.get(self.path)
        self.send_response(200 if text else 404)
        self.end_headers()
        self.wfile.write((text or "").encode())

    do_GET = do_PUT = handle_any


tell()
metadata = http.server.ThreadingHTTPServer(("127.0.0.1", int(metadata_port)), Metadata)
threading.Thread(target=metadata.serve_forever, daemon=True).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Front)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
