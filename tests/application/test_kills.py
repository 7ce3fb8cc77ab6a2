"""A handful of kills; ``python -m benchmarks.application kills`` does a hundred."""

from __future__ import annotations

from pathlib import Path

from tests.application.kills import run
from tests.application.site import bare_environment


def test_killed_at_random_no_row_lies_and_the_sweep_leaves_no_orphans(
    tmp_path: Path,
) -> None:
    """Every second upload is one in parts, the others are of one request."""
    environment = bare_environment(tmp_path)
    result = run(environment, tmp_path, kills=5, seed=1, is_in_parts=True)

    assert result.acknowledged
    assert result.resumed
    assert result.before["broken"] == []
    assert result.after["broken"] == []
    assert result.after["without a row"] == []
    assert result.after["unfinished"] == []
    assert result.after["not stored"] == 0
    assert result.after["used"] == [result.after["sum"], 0, 0]
    assert result.lost == []
