"""The comparison of two runs of the benchmarks; their figures are no tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.plots.page import PAGE, PICTURES, with_figures

ROOT = Path(__file__).resolve().parent.parent


def written(path: Path, **figures: tuple[float, str]) -> Path:
    """Write figures as a run does."""
    rows = [
        {"label": label, "value": value, "unit": unit, "bound": "<= 2", "met": True}
        for label, (value, unit) in figures.items()
    ]
    path.write_text(json.dumps({"machine": "two", "python": "3.11", "rows": rows}))
    return path


def compare(before: Path, now: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--compare", str(before), f"--json={now}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_runs_are_shown_side_by_side(tmp_path: Path) -> None:
    before = written(
        tmp_path / "before.json", save=(2.0, "ms"), copy=(4.0, "s"), gone=(1.0, "x")
    )
    now = written(
        tmp_path / "now.json", save=(3.0, "ms"), copy=(5.0, "MB/s"), new=(9.0, "x")
    )
    done = compare(before, now)
    assert (done.returncode, done.stderr) == (0, "")
    table = [line.split() for line in done.stdout.splitlines()[4:]]
    assert table == [
        ["save", "2.00", "ms", "3.00", "ms", "1.50"],
        ["copy", "4.00", "s", "5.00", "MB/s"],
        ["gone", "1.00", "x", "-"],
        ["new", "-", "9.00", "x"],
    ]


def test_a_run_of_the_first_release_is_read_too(tmp_path: Path) -> None:
    now = written(tmp_path / "now.json", save=(3.0, "ms"))
    before = tmp_path / "before.json"
    before.write_text(now.read_text().replace('"label"', '"what"'))
    done = compare(before, now)
    assert done.stdout.split()[-6:] == ["save", "3.00", "ms", "3.00", "ms", "1.00"]


def test_a_file_without_figures_is_named(tmp_path: Path) -> None:
    now = written(tmp_path / "now.json")
    (tmp_path / "wrong.json").write_text("[]")
    for name in ("none.json", "wrong.json"):
        done = compare(tmp_path / name, now)
        assert done.returncode == 2
        assert f"{name} has no figures" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_page_of_plots_has_the_figures_that_were_measured() -> None:
    known = json.loads((ROOT / "docs/performance/figures.json").read_text())
    page = (ROOT / PAGE).read_text()

    assert with_figures(page, known, "performance") == page
    assert [*known["plots"]] == [panel.plot for p in PICTURES for panel in p.panels]
    for picture in PICTURES:
        drawn = (ROOT / f"docs/performance/{picture.file}.svg").read_text()
        for panel in picture.panels:
            assert all(line in drawn for line in known["plots"][panel.plot])
