#!/usr/bin/env bash
# Makes an environment with what a lock names, and says how far it is.
# Usage: requirements/install.sh PYTHON DIRECTORY LOCK
# uv does it where it is installed, and pip where it is not, or where uv fails: uv knows
# nothing of pip's settings, such as an index of one's own.
set -euo pipefail
python=$1 directory=$2 lock=$3
count=$(grep -c '^[A-Za-z0-9]' "$lock")
started=$SECONDS

# --no-deps: the lock names everything (requirements/overrides.txt says why).
with_uv() {
    uv venv --quiet --clear --seed --no-python-downloads --python "$python" "$directory" &&
        uv pip install --quiet --python "$directory/bin/python" --no-deps \
            --requirement "$lock"
}

with_pip() {
    "$python" -m venv --clear "$directory"
    # Unbuffered, for each line of it is to be seen when it is said.
    PYTHONUNBUFFERED=1 "$directory/bin/pip" install --disable-pip-version-check --no-deps \
        --no-compile --progress-bar off --requirement "$lock" | awk -v count="$count" '
            /^(Collecting|Processing)/ {
                n++
                if (n % 10 == 0) { print "  " n " of " count " found"; fflush() }
            }
            /^Installing collected/ { print "  unpacking"; fflush() }'
}

if ! command -v "$python" >/dev/null; then
    echo "There is no $python here. Say which Python to use, 3.11 or newer, as in" \
        "\`make PYTHON=python3 …\`." >&2
    exit 1
fi
installer=pip
if command -v uv >/dev/null; then installer=uv; fi
echo "Installing the $count packages of $lock into $directory with $installer." \
    "It takes a minute or two, once."
if [ "$installer" = uv ] && ! with_uv; then
    echo "uv could not install them; it says why above. Trying pip, which has its own" \
        "settings."
    installer=pip
fi
if [ "$installer" = pip ]; then with_pip; fi
# pip would compile with one processor, and uv not at all: then each process would, where
# PYTHONDONTWRITEBYTECODE is set. Some packages have templates that are no Python.
"$directory/bin/python" -m compileall -q -j 0 -x '/tests?/' "$directory/lib" \
    >/dev/null 2>&1 || true
echo "Installed in $((SECONDS - started)) s."
