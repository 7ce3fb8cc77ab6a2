#!/usr/bin/env bash
# A resumable upload to Google Cloud Storage is sent in pieces. The store may keep a part of a
# piece only, and says in its response (308, with a Range) up to where: a client goes on from
# there. A good guess is that google-cloud-storage does so where it can read the file again.
# It raises a ValueError about the state of its stream, which is none of its own exceptions
# and is not tried again, for a file that can be read again as for one that can't.
#
# Here: a save raises StoreUnreachable, which says to try again, in
# tahoestorage/backends/gcs/writing.py.
#
# Source of the protocol: "Resumable uploads", Cloud Storage documentation.
# Needs PyPI, Python 3.11 or newer (PYTHON says which), and about a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-cloud-storage==3.17.1
"$folder/venv/bin/python" - <<'PY'
import io
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

PIECE = 4 << 20  # Up to 8 MiB in all it would send as one request.
SIZE = 3 * PIECE
ranges = []


class Store(BaseHTTPRequestHandler):
    """Keeps one half of the first piece, and all of what comes after it."""

    protocol_version = "HTTP/1.1"
    kept = 0

    def respond(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.respond(200, [("Location", f"http://127.0.0.1:{self.server.server_port}/session")])

    def do_PUT(self):
        length = int(self.headers["Content-Length"])
        self.rfile.read(length)
        ranges.append(self.headers["Content-Range"])
        start = int(re.match(r"bytes (\d+)", ranges[-1])[1])
        Store.kept = start + (length if Store.kept else length // 2)
        if Store.kept < SIZE:
            self.respond(308, [("Range", f"bytes=0-{Store.kept - 1}")])
        else:
            body = json.dumps({"name": "name", "bucket": "bucket", "size": str(SIZE)})
            self.respond(200, [("Content-Type", "application/json")], body.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = storage.Client(
    project="project",
    credentials=AnonymousCredentials(),
    client_options={"api_endpoint": f"http://127.0.0.1:{server.server_port}"},
)
blob = client.bucket("bucket").blob("name", chunk_size=PIECE)
raised = None
try:
    blob.upload_from_file(io.BytesIO(bytes(SIZE)), size=SIZE, checksum=None)
except Exception as error:
    raised = error
print("version: google-cloud-storage", version("google-cloud-storage"))
print(f"expected: the second piece begins at {PIECE // 2}, and the upload ends well")
print(f"seen: {type(raised).__name__}: {raised}")
print(f"sent: {ranges}")
sys.exit(0 if type(raised) is ValueError and len(ranges) == 1 else 1)
PY
