#!/usr/bin/env bash
# Makes an environment with what a lock names, and says how far it is.
# Usage: requirements/install.sh PYTHON DIRECTORY LOCK
set -euo pipefail
python=$1 directory=$2 lock=$3
count=$(grep -c '^[A-Za-z0-9]' "$lock")
started=$SECONDS
echo "Installing the $count packages of $lock into $directory. It takes a minute or two, once."
# --no-deps: the lock names everything (requirements/overrides.txt says why).
if command -v uv >/dev/null; then
    uv venv --quiet --clear --seed --python "$python" "$directory"
    uv pip install --python "$directory/bin/python" --no-deps --requirement "$lock"
else
    "$python" -m venv --clear "$directory"
    "$directory/bin/pip" install --disable-pip-version-check --no-deps --progress-bar off \
        --requirement "$lock" | awk -v count="$count" '
            /^(Collecting|Processing)/ {
                n++
                if (n % 10 == 0) { print "  " n " of " count " found"; fflush() }
            }
            /^Installing collected/ { print "  unpacking"; fflush() }'
fi
echo "Installed in $((SECONDS - started)) s."
