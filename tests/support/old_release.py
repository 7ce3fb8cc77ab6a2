"""The release before this one, built from its commit, to be run beside the new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

COMMIT = "8522d2b"
ROOT = Path(__file__).resolve().parents[2]

# Statements come one a line, as JSON; what the last one leaves in `said` goes back.
_PROGRAM = """
import json, sys
space = {}
for line in sys.stdin:
    try:
        space["said"] = None
        exec(json.loads(line), space)
        print(json.dumps({"said": space["said"]}), flush=True)
    except BaseException as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
"""


class Worker:
    """A process of its own, with this release or with another, that does as told."""

    def __init__(self, release: Path | None, setup: str, *arguments: object) -> None:
        environment = dict(os.environ)
        if release is not None:
            environment["PYTHONPATH"] = str(release)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, *map(str, arguments)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.run("import sys, tahoestorage; said = tahoestorage.__file__")
        self.run(setup)

    def run(self, statements: str) -> Any:
        """Run statements there, and return what they leave in ``said``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(statements), file=self.process.stdin, flush=True)
        response = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        assert "error" not in response, response["error"]
        return response["said"]

    def ask(self, expression: str) -> Any:
        """Return the value of an expression there."""
        return self.run(f"said = {expression}")

    def end(self) -> None:
        """End it, at once."""
        self.process.kill()
        self.process.communicate()


def _run(*command: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def build(directory: Path) -> Path:
    """Build the release before this one; return the folder it is imported from."""
    source, wheels, site = (directory / name for name in ("source", "wheel", "site"))
    archive = directory / "source.tar"
    archived = subprocess.run(
        ["git", "archive", "--output", str(archive), COMMIT],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert archived.returncode == 0, (
        f"The release before this one is built from {COMMIT}, which a shallow clone "
        f"does not have (git fetch --unshallow): {archived.stderr}"
    )
    with tarfile.open(archive) as packed:
        packed.extractall(source, filter="data")
    _run("build", "--wheel", "--no-isolation", "--outdir", wheels, source)
    (wheel,) = wheels.glob("*.whl")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    _run("pip", "install", *options, "--target", site, wheel)
    return site
