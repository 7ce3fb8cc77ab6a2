"""What `make` installs with: uv where it is there, and pip where not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300  # seconds; only an error takes so long


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one package, which lies beside it."""
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.dist-info/METADATA", "Name: tiny\nVersion: 1\n")
        text = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr("tiny-1.dist-info/WHEEL", text)
        archive.writestr("tiny-1.dist-info/RECORD", "tiny.py,,\n")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# Nothing else.\ntiny @ {wheel.as_uri()}\n")
    return lock


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python whose environments have the pip of the tests.

    A real one unpacks and compiles a pip into each of them, which takes seconds.
    """
    found = importlib.util.find_spec("pip")
    assert found is not None
    assert found.origin is not None
    only_pip, made = tmp_path / "only pip", tmp_path / "made"
    only_pip.mkdir()
    (only_pip / "pip").symlink_to(Path(found.origin).parent)
    pip = program(
        tmp_path / "pip",
        f'PYTHONPATH="{only_pip}" exec "{made}/bin/python" -m pip "$@"',
    )
    return program(
        tmp_path / "python",
        f'[ "$*" = "-m venv --clear {made}" ]',
        f'"{sys.executable}" "$@" --without-pip',
        f'"{shutil.which("ln")}" -s "{pip}" "{made}/bin/pip"',
    )


def program(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh -e", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def install(
    lock: Path, *, uv: str | None = None, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run the script with no index, and with this as ``uv``, if any."""
    tools = lock.parent / "tools"
    tools.mkdir()
    # A uv of this machine's may be anywhere in PATH.
    for name in ("bash", "grep", "awk"):
        (tools / name).symlink_to(shutil.which(name) or name)
    if uv is not None:
        program(tools / "uv", uv)
    return subprocess.run(
        ["requirements/install.sh", python, str(lock.parent / "made"), str(lock)],
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PIP_")},
            "PATH": str(tools),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def installed(lock: Path) -> list[str]:
    """The files of the lock's package in the environment, compiled ones too."""
    return sorted(path.name for path in (lock.parent / "made").rglob("tiny*.py*"))


def test_uv_installs_where_it_is_there(lock: Path) -> None:
    made, calls = lock.parent / "made", lock.parent / "calls"
    uv = (
        f'echo "$@" >>"{calls}"\n'
        f'[ "$1" != venv ] || exec "{sys.executable}" -m venv --without-pip "{made}"'
    )

    done = install(lock, uv=uv)

    assert done.returncode == 0, done.stderr
    venv, pip = calls.read_text().splitlines()
    assert venv.startswith("venv ")
    assert venv.endswith(f"--python {sys.executable} {made}")
    assert pip.startswith("pip install ")
    assert f"--python {made}/bin/python --no-deps" in pip
    assert pip.endswith(f"--requirement {lock}")
    assert not (made / "bin/pip").exists()
    assert f"Installing the 1 packages of {lock} into {made} with uv." in done.stdout


def test_where_uv_fails_pip_installs_and_it_is_said(lock: Path, python: str) -> None:
    done = install(lock, uv="echo no such index >&2; exit 2", python=python)

    assert done.returncode == 0, done.stderr
    assert "no such index" in done.stderr
    assert "uv could not install them; it says why above. Trying pip" in done.stdout
    version = sys.version_info
    assert installed(lock) == [
        f"tiny.cpython-{version.major}{version.minor}.pyc",
        "tiny.py",
    ]


def test_where_nobody_can_install_it_fails(lock: Path, python: str) -> None:
    lock.write_text("there-is-no-such-package==1\n")

    done = install(lock, python=python)

    assert done.returncode != 0
    assert "with pip." in done.stdout
    assert "No matching distribution found for there-is-no-such-package" in done.stderr
    assert "Installed" not in done.stdout


def test_a_python_that_is_not_there_is_named(lock: Path) -> None:
    done = install(lock, python="python9.99")

    assert done.returncode == 1
    assert "There is no python9.99 here" in done.stderr
    assert not (lock.parent / "made").exists()
