"""The fixture for the tests of sites that use this package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_pytest(folder: Path, tests: str, *options: str) -> str:
    """Run tests as in a project of their own, and return what pytest says."""
    (folder / "test_site.py").write_text(tests, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:django", *options],
        cwd=folder,
        env={**environment, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout


def test_one_grid_serves_a_whole_run_and_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    said = run_pytest(
        tmp_path,
        "pids = set()\n"
        "def test_one(tahoe_grid):\n"
        "    pids.update(tahoe_grid.pids)\n"
        "    assert tahoe_grid.create_root().is_writable\n"
        "def test_other(tahoe_grid):\n"
        "    pids.update(tahoe_grid.pids)\n"
        "    assert len(pids) == 1\n",
    )
    assert "2 passed" in said
    assert list((tmp_path / "tmp").glob("tahoe-grid-*")) == []


def test_the_executable_can_be_set(tmp_path: Path) -> None:
    said = run_pytest(
        tmp_path,
        "def test_one(tahoe_grid): pass\n",
        "-o",
        "tahoe_executable=/elsewhere/bin/tahoe",
    )
    assert "There is no executable /elsewhere/bin/tahoe" in said


def test_it_is_listed_among_the_fixtures(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "", "--fixtures")
    assert "tahoe_grid [session scope]" in said


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    script = (
        "import sys, tahoestorage.testing.pytest_plugin\n"
        "print(*{'allmydata', 'twisted', 'django', 'requests', 'cryptography',"
        " 'tahoestorage.tahoe'} & set(sys.modules))"
    )
    said = subprocess.check_output([sys.executable, "-P", "-c", script], text=True)
    assert said.strip() == ""
