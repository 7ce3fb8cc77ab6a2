#!/usr/bin/env bash
# A Tahoe-LAFS directory may hold a child without any cap: magic-folder leaves one for each
# file that was deleted, and set_children takes one. A good guess is that DELETE unlinks it,
# as it unlinks files and directories. The gateway answers 501 ("I don't know how to treat a
# DELETE request"), and the name stays; POST ?t=unlink&name=NAME on the directory unlinks it.
#
# Here: `Gateway.unlink` in tahoestorage/tahoe/gateway.py, and
# tests/moving/test_mutable.py::test_a_link_without_a_cap_is_no_file.
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

"$folder/venv/bin/python" - "http://127.0.0.1:$web" <<'PY'
import json, sys, urllib.error, urllib.parse, urllib.request

base = sys.argv[1]


def ask(method, target, body=None):
    request = urllib.request.Request(base + target, body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


_, cap = ask("POST", "/uri?t=mkdir", b"")
root = "/uri/" + urllib.parse.quote(cap.strip(), safe="")
child = {"gone": ["unknown", {"metadata": {}}]}
made, _ = ask("POST", root + "?t=set_children", json.dumps(child).encode())


def names():
    return sorted(json.loads(ask("GET", root + "?t=json")[1])[1]["children"])


deleted, said = ask("DELETE", root + "/gone")
after_delete = names()
unlinked, _ = ask("POST", root + "?t=unlink&name=gone", b"")
after_unlink = names()
seen = (made, deleted, after_delete, unlinked, after_unlink)
print("expected: DELETE of a child without a cap answers 200, and the name is gone")
print(f"seen: DELETE {deleted}, names {after_delete}; POST t=unlink {unlinked},", end=" ")
print(f"names {after_unlink}")
sys.exit(0 if seen == (200, 501, ["gone"], 200, []) else 1)
PY
