"""A handful of kills; ``python -m benchmarks.application kills`` does a hundred."""

from __future__ import annotations

from pathlib import Path

from tests.application.kills import run
from tests.application.site import bare_environment


def test_killed_at_random_no_row_lies_and_the_sweep_leaves_no_orphans(
    tmp_path: Path,
) -> None:
    result = run(bare_environment(tmp_path), tmp_path, kills=5, seed=1)

    assert result.acknowledged
    assert result.before["broken"] == []
    assert result.after["broken"] == []
    assert result.after["without a row"] == []
    assert result.after["not stored"] == 0
    assert result.after["used"] == [result.after["sum"], 0, 0]
    assert result.lost == []
