#!/usr/bin/env bash
# `set_children` links many names in one request. With replace=only-files it may replace
# files, and no directory. A good guess is that in a batch the files are replaced and only
# the name that is a directory stays as it was, told by an error; or that the directory is
# passed over. The gateway answers 409, and none of the batch is applied. So a child that is
# a directory makes one request a compare-and-swap: whoever links it in the same batch as
# what he changes is refused if somebody has linked it before.
#
# Here: `write_facts`, in tahoestorage/tahoe/marker.py.
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


def link(text):
    _, file = ask("PUT", "/uri", text * 10)
    return ["filenode", {"ro_uri": file.strip(), "metadata": {}}]


def directory():
    _, made = ask("POST", "/uri?t=mkdir", b"")
    return ["dirnode", {"rw_uri": made.strip(), "metadata": {}}]


def put(children):
    target = root + "?t=set_children&replace=only-files"
    return ask("POST", target, json.dumps(children).encode())[0]


def content(name):
    return ask("GET", f"{root}/{name}")[1][:6]


first = put({"a": link(b"first "), "b": link(b"first "), "taken": directory()})
files = put({"a": link(b"second")})
both = put({"a": link(b"third "), "b": link(b"third "), "taken": directory()})
seen = first, files, both, content("a"), content("b")
print("expected: the third request replaces a and b, whatever it says of the directory")
print(f"seen: {first}, then a file replaced: {files}, then with the directory: {both};", end=" ")
print(f"a is {content('a')!r}, b is {content('b')!r}")
sys.exit(0 if seen == (200, 200, 409, "second", "first ") else 1)
PY
