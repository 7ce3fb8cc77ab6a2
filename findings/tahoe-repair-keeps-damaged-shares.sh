#!/usr/bin/env bash
# `t=check&verify=true&repair=true` reads every share of a file, finds the damaged one, and
# repairs. A good guess is that the damaged share is made anew from the good ones, or put
# beside them. For a file that can't be changed it is neither: the server keeps what it has
# under a share's number, the repair is reported as not successful, and so it goes at each
# further try, until somebody deletes the damaged file on the server: then one repair mends
# all. (A plain `t=check` calls the file healthy all the while.)
#
# Here: `tahoe_check` names the file to be deleted, and on which server; docs/operations.md.
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
    --shares-needed=1 --shares-happy=1 --shares-total=3 "$folder/node" >"$folder/log" 2>&1

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

"$folder/venv/bin/python" - "http://127.0.0.1:$web" "$folder/node/storage/shares" <<'PY'
import json, pathlib, sys, urllib.parse, urllib.request

base, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def ask(method, target, body):
    request = urllib.request.Request(base + target, body, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def check(how):
    target = f"/uri/{urllib.parse.quote(cap, safe='')}?t=check{how}&output=JSON"
    return json.loads(ask("POST", target, b""))


def good(results):
    return results["results"]["count-shares-good"]


cap = ask("PUT", "/uri", b"some content " * 100)
shares = sorted(folder.glob("*/*/*"))
damaged = bytearray(shares[0].read_bytes())
for place in range(500, 520):
    damaged[place] ^= 255
shares[0].write_bytes(damaged)
plain = check("")["results"]["healthy"]
tries = []
for _ in range(2):
    repair = check("&verify=true&repair=true")
    after = good(repair["post-repair-results"])
    tries.append((repair["repair-attempted"], repair["repair-successful"], after))
kept = shares[0].read_bytes() == damaged
shares[0].unlink()
repair = check("&verify=true&repair=true")
last = repair["repair-successful"], good(repair["post-repair-results"])
print("expected: one repair with verify=true leaves 3 good shares of 3")
print(f"seen: a plain check says healthy: {plain}; two repairs (attempted, successful,", end=" ")
print(f"good shares): {tries}; the damaged one is as it was: {kept};", end=" ")
print(f"once it was deleted (successful, good shares): {last}")
seen = plain, tries, kept, last
sys.exit(0 if seen == (True, [(True, False, 2)] * 2, True, (True, 3)) else 1)
PY
