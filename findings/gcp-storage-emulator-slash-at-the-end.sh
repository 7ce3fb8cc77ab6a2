#!/usr/bin/env bash
# To Google Cloud Storage a key is a text: `folder` and `folder/` are two objects, and many
# tools make the second, empty, as a mark for a folder. A good guess is that an emulator that
# lists both keeps both. gcp-storage-emulator lists both, each with its own size; but the
# content of the one that was written last is given for either, so that the file is gone, and
# Google's client says DataCorruption.
#
# Here: tests that need both keys run on S3 servers only, see
# tests/backends/test_object_names.py.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which), and about a minute.
set -eu
folder=$(mktemp -d)
emulator=""
trap '[ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    gcp-storage-emulator==2026.7.19 google-cloud-storage==3.17.1
echo "version: gcp-storage-emulator 2026.7.19"
port=$("$folder/venv/bin/python" -c \
    'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
"$folder/venv/bin/gcp-storage-emulator" start --host=127.0.0.1 --port="$port" \
    --in-memory --quiet >"$folder/log" 2>&1 &
emulator=$!
STORAGE_EMULATOR_HOST="http://127.0.0.1:$port" "$folder/venv/bin/python" - <<'PY'
import socket, os, sys, time
from urllib.parse import urlsplit

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

host = urlsplit(os.environ["STORAGE_EMULATOR_HOST"])
for _ in range(150):
    try:
        socket.create_connection((host.hostname, host.port)).close()
        break
    except OSError:
        time.sleep(0.2)
client = storage.Client(project="p", credentials=AnonymousCredentials())
bucket = client.create_bucket("bucket")
bucket.blob("folder").upload_from_string(b"the file")
bucket.blob("folder/").upload_from_string(b"")
sizes = {blob.name: blob.size for blob in client.list_blobs("bucket")}
try:
    content = bucket.blob("folder").download_as_bytes()
except Exception as error:
    content = type(error).__name__
print("expected: folder has 8 bytes, folder/ none, and folder is b'the file'")
print(f"seen: listed {sizes}, and folder is {content}")
sys.exit(0 if (sizes, content) == ({"folder": 8, "folder/": 0}, "DataCorruption") else 1)
PY
