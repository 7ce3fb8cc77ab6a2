"""A handful of kills; ``python -m benchmarks.application kills`` does a hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.application.kills import run
from tests.application.site import bare_environment


@pytest.mark.parametrize("is_in_parts", [False, True])
def test_killed_at_random_no_row_lies_and_the_sweep_leaves_no_orphans(
    is_in_parts: bool, tmp_path: Path
) -> None:
    environment = bare_environment(tmp_path)
    result = run(environment, tmp_path, kills=5, seed=1, is_in_parts=is_in_parts)

    assert result.acknowledged
    assert bool(result.resumed) is is_in_parts
    assert result.before["broken"] == []
    assert result.after["broken"] == []
    assert result.after["without a row"] == []
    assert result.after["not stored"] == 0
    assert result.after["used"] == [result.after["sum"], 0, 0]
    assert result.lost == []
