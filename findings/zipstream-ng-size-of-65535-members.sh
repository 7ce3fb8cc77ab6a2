#!/usr/bin/env bash
# A sized ZipStream says how long its zip is before the first byte, and whoever stores it
# takes just so many bytes. A good guess is that this is so for any number of members. With
# 65,535 of them, the first number that needs zip64's records at the end, zipstream-ng writes
# those (76 bytes) and does not count them; with one fewer or one more it is right.
#
# Here: `_Stream` counts them, and an archive that goes on after its size is an error, in
# example/exports/archive.py.
#
# Needs PyPI, Python 3.11 or newer (PYTHON says which), and half a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zipstream-ng==1.9.3
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

from zipstream import ZipStream


def missing(members):
    """Return the bytes that are written and were not announced."""
    made = ZipStream(sized=True)
    for number in range(members):
        made.add(b"", str(number))
    announced = len(made)
    return sum(map(len, made)) - announced


seen = {members: missing(members) for members in (65_534, 65_535, 65_536)}
print("version: zipstream-ng", version("zipstream-ng"))
print("expected: as many bytes as were announced, of any number of members")
print(f"seen: by the number of members, so many bytes more: {seen}")
sys.exit(0 if seen == {65_534: 0, 65_535: 76, 65_536: 0} else 1)
PY
