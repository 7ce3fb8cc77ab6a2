"""Two runs of ``make bench`` side by side: each figure before, now, their quotient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_run(path: Path) -> dict[str, Any]:
    """Return what a run wrote to a file, of this release or of 0.1, which said "what".

    Raises ValueError, also for a missing file.
    """
    try:
        run = json.loads(path.read_text("utf-8"))
        rows = {
            row["label" if "label" in row else "what"]: (
                float(row["value"]),
                row["unit"],
            )
            for row in run["rows"]
        }
        return {"on": f"{run['machine']}, {run['python']}", "rows": rows}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} has no figures of a run: {error}") from None


def side_by_side(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a table with the figures of two runs.

    A figure that only one of them has, or in another unit, has no quotient.
    """
    yield f"before: {before['on']}"
    yield f"now:    {now['on']}"
    yield ""
    yield f"{'what':<64} {'before':>14} {'now':>14} {'now / before':>13}"
    for label in {**before["rows"], **now["rows"]}:
        old, new = before["rows"].get(label), now["rows"].get(label)
        quotient = ""
        if old and new and old[1] == new[1] and old[0]:
            quotient = f"{new[0] / old[0]:.2f}"
        line = f"{label:<64} {_shown(old):>14} {_shown(new):>14} {quotient:>13}"
        yield line.rstrip()


def _shown(figure: tuple[float, str] | None) -> str:
    return "-" if figure is None else f"{figure[0]:.2f} {figure[1]}"
