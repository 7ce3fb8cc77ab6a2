"""``python -m benchmarks.plots``: measure the curves, and draw them for the docs.

``measure`` writes seconds as JSON, and takes some ten minutes. ``draw`` makes the plots
and the table of docs/performance.md of it, and needs matplotlib. ``nox -s plots`` does
both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import sys
import tempfile
from pathlib import Path

FIGURES = Path("docs/performance/figures.json")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plots", description=__doc__
    )
    parser.add_argument("step", choices=("measure", "draw"))
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="FILE")
    parser.add_argument(
        "--only", default="", help="measure the plots that have this in their name"
    )
    parser.add_argument(
        "--rounds", type=int, default=9, help="how often each point is measured"
    )
    arguments = parser.parse_args()
    if arguments.step == "measure":
        measure(arguments.figures, arguments.only, arguments.rounds)
        return
    from benchmarks.plots.drawing import draw

    for written in draw(arguments.figures):
        print(written)


def measure(figures: Path, only: str, rounds: int) -> None:
    """Measure, and put the points into the file, in the place of those of before."""
    import django
    from django.conf import settings

    settings.configure(
        USE_TZ=True, SECRET_KEY=secrets.token_hex(), INSTALLED_APPS=["tahoestorage"]
    )
    django.setup()
    from benchmarks.plots.curves import PLOTS

    plots = json.loads(figures.read_text())["plots"] if figures.exists() else {}
    for name, curves in PLOTS.items():
        if only not in name:
            continue
        points: dict[str, dict[str, list[float]]] = {}
        with tempfile.TemporaryDirectory() as work:
            for line, x, taken in curves(Path(work), rounds):
                points.setdefault(line, {})[str(x)] = [round(t, 8) for t in taken]
                middle = sorted(taken)[len(taken) // 2]
                print(f"{name:<12} {line:<44} {x:>10} {middle * 1e3:12.3f} ms")
                sys.stdout.flush()
        plots[name] = points
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    python = f"Python {platform.python_version()}, Django {django.__version__}"
    written = {"machine": machine, "python": python, "plots": plots}
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
