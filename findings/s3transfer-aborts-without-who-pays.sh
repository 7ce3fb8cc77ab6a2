#!/usr/bin/env bash
# `upload_fileobj` of boto3 takes ExtraArgs, such as RequestPayer ("who asks pays") and
# ExpectedBucketOwner (whose bucket it must be). A good guess is that all requests of a large
# upload have them. The first one, each part and the last one do. The one that ends an upload
# in which a part failed has neither: a bucket whose askers pay refuses it, and the parts that
# were sent stay there, unseen, and cost.
#
# Here: `Sending` adds them to that request, in tahoestorage/backends/s3/uploads.py.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which), and about a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    boto3==1.44.5 s3transfer==0.19.3
"$folder/venv/bin/python" - <<'PY'
import io
import sys

import boto3
import s3transfer
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

WANTED = {"x-amz-request-payer": "requester", "x-amz-expected-bucket-owner": "1" * 12}
STARTED = b"<R><UploadId>1</UploadId></R>"
FAILED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
seen = {}


class Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def respond(request, **_):
    """Play the store: it lets an upload begin, and refuses its parts."""
    kind = {"POST": "create", "PUT": "part", "DELETE": "abort"}[request.method]
    sent = {name.lower(): value for name, value in request.headers.items()}
    seen[kind] = sorted(name for name in WANTED if name in sent)
    status, body = {"create": (200, STARTED), "part": (403, FAILED), "abort": (204, b"")}[kind]
    return AWSResponse(request.url, status, {}, Raw(body))


client = boto3.client(
    "s3",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
    region_name="us-east-1",
    config=Config(retries={"max_attempts": 0}),
)
client.meta.events.register("before-send.s3", respond)
try:
    client.upload_fileobj(
        io.BytesIO(bytes(9 << 20)),
        "bucket",
        "key",
        ExtraArgs={"RequestPayer": "requester", "ExpectedBucketOwner": "1" * 12},
    )
except ClientError as error:
    print("the upload:", error.response["Error"]["Code"])
print("version: s3transfer", s3transfer.__version__)
print(f"expected: each request has {sorted(WANTED)}")
print(f"seen: {seen}")
both = sorted(WANTED)
sys.exit(0 if seen == {"create": both, "part": both, "abort": []} else 1)
PY
