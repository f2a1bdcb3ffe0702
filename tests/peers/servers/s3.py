"""An object store: moto's S3, with signatures checked by AWS's own library, and faults on demand.

    python s3.py

Prints its URL once it listens. There is a bucket `kept` for the key below. `POST /-/fault` with one of

    none        all is well
    busy        503 to everything, as S3 says SlowDown
    drop        connections are closed without an answer
    hold        second and later parts of uploads are never answered

`GET /-/state` answers {"keys": [...], "uploads": n, "requests": n} of the bucket.
"""

import datetime
import json
import socket
import threading
from urllib.parse import parse_qs

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

KEY, SECRET, REGION = "AKIDOFTHETEST", "the/secret+of=the-test", "eu-central-1"
INNER = "inner"
state = {"fault": "none", "requests": 0}
moto = DomainDispatcherApplication(create_backend_app)


def wrong(environ):
    """The code of the error if the request is not signed as it must be."""
    raw = environ["REQUEST_URI"]
    path, _, query = raw.partition("?")
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    if "X-Amz-Signature" not in asked:
        return "AccessDenied"
    key, day, region, service, _ = asked["X-Amz-Credential"].split("/")
    if key != KEY:
        return "InvalidAccessKeyId"
    made = datetime.datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    age = (datetime.datetime.utcnow() - made).total_seconds()
    if not -60 < age < int(asked["X-Amz-Expires"]) or (region, service) != (REGION, "s3"):
        return "AccessDenied"
    rest = "&".join(pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature="))
    host = environ["HTTP_HOST"]
    request = AWSRequest(environ["REQUEST_METHOD"], f"http://{host}{path}?{rest}", {"host": host})
    request.context["timestamp"] = asked["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", REGION)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return None if auth.signature(text, request) == asked["X-Amz-Signature"] else "SignatureDoesNotMatch"


def refuse(environ, start, status, code):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def control(environ, start):
    if environ["REQUEST_METHOD"] == "POST":
        state["fault"] = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    keys = [found["Key"] for found in client.list_objects_v2(Bucket="kept").get("Contents", [])]
    uploads = len(client.list_multipart_uploads(Bucket="kept").get("Uploads", []))
    body = json.dumps({"keys": keys, "uploads": uploads, "requests": state["requests"]}).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def app(environ, start):
    if environ["PATH_INFO"].startswith("/-/"):
        return control(environ, start)
    if f"Credential={INNER}/" in environ.get("HTTP_AUTHORIZATION", ""):
        return moto(environ, start)
    state["requests"] += 1
    fault = state["fault"]
    if fault == "busy":
        return refuse(environ, start, "503 Slow Down", "SlowDown")
    if fault == "drop":
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return []
    number = parse_qs(environ.get("QUERY_STRING", "")).get("partNumber", ["1"])[0]
    if fault == "hold" and int(number) > 1:
        threading.Event().wait(600)
    code = wrong(environ)
    return refuse(environ, start, "403 Forbidden", code) if code else moto(environ, start)


class Quiet(MotoRequestHandler):
    def log(self, *arguments):
        pass


server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}"
client = boto3.client(
    "s3",
    endpoint_url=url,
    region_name=REGION,
    aws_access_key_id=INNER,
    aws_secret_access_key=INNER,
    config=Config(s3={"addressing_style": "path"}, proxies={}),
)
client.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
print(url, flush=True)
threading.Event().wait()
