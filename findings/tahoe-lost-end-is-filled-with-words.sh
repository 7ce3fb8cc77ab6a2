#!/usr/bin/env bash
# Where a Tahoe-LAFS gateway finds only while it sends a file that a part of it is lost, the
# head is out, with the file's length, and "problem during download" comes in place of the
# content. A good guess is that whoever compares the length with what came sees that. But the
# words count as content: where the last segment is lost and no longer than they are, the
# response is a 200 of just the right length whose last bytes are the words' beginning.
#
# Here: `_without_words` in tahoestorage/tahoe/files.py, and tests/tahoe/test_damaged.py.
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
import http.client, os, pathlib, struct, sys

port, shares = int(sys.argv[1]), pathlib.Path(sys.argv[2])
SEGMENT, END = 1 << 20, 10  # bytes: the longest segment, and what is left for the last
HEAD = 12  # bytes of a server's file of a share before the share


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"Connection": "close"})
    answer = connection.getresponse()
    return answer.status, int(answer.headers["Content-Length"] or 0), answer.read()


content = os.urandom(SEGMENT + END)
cap = ask("PUT", "/uri", content)[2].decode()
whole = ask("GET", "/uri/" + cap)
(share,) = (path for path in shares.rglob("*") if path.is_file())
with share.open("r+b") as file:
    file.seek(HEAD)
    begin = struct.unpack(">9L", file.read(36))[3]  # where its blocks are
    file.seek(HEAD + begin + SEGMENT)
    file.write(bytes(END))
status, length, came = ask("GET", "/uri/" + cap)
print(f"sound: {whole[0]}, {len(whole[2]):,} bytes of {whole[1]:,}")
print("expected, of the last block damaged: an error, or fewer bytes than were announced")
print(f"seen: {status}, {len(came):,} bytes of {length:,}, which end in {came[-END:]!r}")
is_sound = whole == (200, len(content), content)
words = b"problem during download\n"[:END]
sys.exit(
    0
    if is_sound and (status, length) == (200, len(content)) and came == content[:-END] + words
    else 1
)
PY
