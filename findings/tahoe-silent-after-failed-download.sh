#!/usr/bin/env bash
# A Tahoe-LAFS gateway may find only while it sends a file that a part of it is lost: the head
# is out, and says how long the file is. A good guess is that the connection ends there, as
# it does with other servers. On a connection that may be kept the gateway says "problem
# during download" in place of the content, and then nothing: the connection stays open, and
# the client waits for the rest of the length until the gateway drops what is idle, after a
# minute. Where the client asked for the connection to be closed, it ends at once.
#
# Here: `Gateway.fetch` in tahoestorage/tahoe/gateway.py, and tests/tahoe/test_damaged.py.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which), and about a minute.
set -eu
folder=$(mktemp -d)
node=""
trap '[ -z "$node" ] || kill "$node" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
# setuptools and legacy-cgi: what it imports and newer Pythons do not bring.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    tahoe-lafs==1.20.0 setuptools==80.9.0 legacy-cgi==2.6.4
tahoe="$folder/venv/bin/tahoe"
echo "version: $("$tahoe" --version | head -1)"
read -r storage web < <("$folder/venv/bin/python" - <<'PY'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))
PY
)
"$tahoe" create-node --port="tcp:$storage:interface=127.0.0.1" \
    --location="tcp:127.0.0.1:$storage" --webport="tcp:$web:interface=127.0.0.1" \
    --shares-needed=1 --shares-happy=1 --shares-total=1 "$folder/node" >"$folder/log" 2>&1

start() {
    "$tahoe" run --allow-stdin-close "$folder/node" >>"$folder/log" 2>&1 </dev/null &
    node=$!
    for _ in $(seq 300); do
        if [ "$1" = furl ]; then
            [ ! -s "$folder/node/private/storage.furl" ] || return 0
        elif curl -fs "http://127.0.0.1:$web/?t=json" 2>/dev/null | grep -q '"Connected'; then
            return 0
        fi
        sleep 0.2
    done
    echo "the node does not start:"; tail -5 "$folder/log"; exit 2
}

# It is its own storage server, once it knows itself.
start furl
kill "$node"; wait "$node" 2>/dev/null || true
furl=$(cat "$folder/node/private/storage.furl")
printf 'storage:\n  mine:\n    ann:\n      anonymous-storage-FURL: "%s"\n      nickname: mine\n' \
    "$furl" >"$folder/node/private/servers.yaml"
start grid

"$folder/venv/bin/python" - "$web" "$folder/node/storage/shares" <<'PY'
import http.client, os, pathlib, sys, time

port, shares = int(sys.argv[1]), pathlib.Path(sys.argv[2])
SIZE, PATIENCE = 3 << 20, 20


def connected():
    return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)


upload = connected()
upload.request("PUT", "/uri", os.urandom(SIZE))
cap = upload.getresponse().read().decode()
(share,) = (path for path in shares.rglob("*") if path.is_file())
with share.open("r+b") as file:
    file.seek(SIZE // 2)
    file.write(bytes(1000))


def download(headers):
    """Return how a download ends, and what came last."""
    connection, came = connected(), b""
    connection.request("GET", "/uri/" + cap, headers=headers)
    answer = connection.getresponse()
    try:
        while block := answer.read1(1 << 16):
            came += block
    except TimeoutError:
        return answer.status, "silence", came[-24:]
    except http.client.IncompleteRead as error:
        came += error.partial
    return answer.status, "the end", came[-24:]


kept, closed = download({}), download({"Connection": "close"})
print("expected: the connection ends where the content does")
print(f"seen: kept alive {kept} for {PATIENCE} s; to be closed {closed}")
words = b"problem during download\n"
sys.exit(0 if (kept, closed) == ((200, "silence", words), (200, "the end", words)) else 1)
PY
