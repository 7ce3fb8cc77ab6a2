#!/usr/bin/env bash
# A listing of S3 by a delimiter has names of folders (common prefixes) beside keys. Both
# count for the length of a page, and come in order, so that each is on one page. A good
# guess is that moto does so by both of S3's requests. By ListObjectsV2 it does; by the older
# ListObjects each page has all prefixes again, and they count for no page's length.
#
# django-storages' `listdir` asks by ListObjects. Here: `S3Storage.listdir` names each
# directory once, in tahoestorage/backends/s3/storage.py.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which), and about a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'moto[server]==5.2.5' boto3==1.44.5
"$folder/venv/bin/python" - 2>/dev/null <<'PY'
import sys

import boto3
import moto
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
client = boto3.client(
    "s3",
    endpoint_url=f"http://{host}:{port}",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
    region_name="us-east-1",
)
client.create_bucket(Bucket="bucket")
for key in ("a", "b", "folder/1", "folder/2", "z"):
    client.put_object(Bucket="bucket", Key=key, Body=b"content")


def pages(request):
    asked = client.get_paginator(request).paginate(
        Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    return [
        [
            *(each["Key"] for each in page.get("Contents", ())),
            *(each["Prefix"] for each in page.get("CommonPrefixes", ())),
        ]
        for page in asked
    ]


older, newer = pages("list_objects"), pages("list_objects_v2")
server.stop()
print("version: moto", moto.__version__)
print("expected: by both requests [['a', 'b'], ['z', 'folder/']], in this or another order")
print(f"seen: ListObjects {older}, ListObjectsV2 {newer}")
seen = sum("folder/" in page for page in older), sum("folder/" in page for page in newer)
sys.exit(0 if len(older) == seen[0] == 2 and seen[1] == 1 else 1)
PY
