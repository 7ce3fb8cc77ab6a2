"""The plots as SVG, and the table of medians, for docs/performance.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from benchmarks.plots.page import (
    PAGE,
    Panel,
    Picture,
    pictures_of,
    with_figures,
)

# Colours that people who see few colours tell apart (Okabe and Ito), and marks. What is
# ours is blue and green; no picture has two lines of one look.
LOOKS = {
    "TahoeStorage": ("#0072B2", "o"),
    "TahoeStorage.save_many": ("#009E73", "D"),
    "first look of a process": ("#0072B2", "o"),
    "from the cache on disk": ("#56B4E9", "s"),
    "from memory": ("#009E73", "D"),
    "a client that walks level by level": ("#D55E00", "^"),
    "curl": ("#D55E00", "^"),
    "tahoe cp": ("#E69F00", "v"),
    "tahoe cp -r": ("#E69F00", "v"),
    "django-storages (S3)": ("#CC79A7", "P"),
    "FileSystemStorage": ("#777777", "X"),
}
# The text in SVG must be text, and the ids in it the same each time.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "django-tahoestorage",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(figures: Path) -> Iterator[Path]:
    """Draw all that was measured, and yield the files that were written."""
    known = json.loads(figures.read_text())
    for picture, panels in pictures_of(known):
        file = figures.parent / f"{picture.file}.svg"
        with mpl.rc_context(STYLE):
            draw_picture(file, picture, panels, known["plots"])
        yield file
    PAGE.write_text(with_figures(PAGE.read_text(), known, figures.parent.name))
    yield PAGE


def draw_picture(
    file: Path,
    picture: Picture,
    panels: list[Panel],
    plots: dict[str, Any],
) -> None:
    """Draw the panels beside each other, on one scale, with one legend below."""
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(9.6 if len(panels) > 1 else 6.8, 4.6),
        sharey=True,
        squeeze=False,
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        draw_lines(axis, panel, plots[panel.plot])
    axes[0][0].yaxis.set_major_formatter(EngFormatter("s"))
    handles = {
        label: handle
        for axis in axes[0]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.suptitle(picture.text)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    figure.set_layout_engine("constrained")
    # The date would change the file each time.
    figure.savefig(file, metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def draw_lines(
    axis: Axes,
    panel: Panel,
    lines: dict[str, dict[str, list[float]]],
) -> None:
    """Draw the medians, and around each the half of its samples in the middle."""
    for line, points in lines.items():
        places = [int(x) for x in points]
        spread = [quartiles(taken) for taken in points.values()]
        colour, mark = LOOKS[line]
        axis.plot(
            places,
            [middle for _, middle, _ in spread],
            color=colour,
            marker=mark,
            markersize=5,
            linewidth=1.6,
            label=line,
        )
        axis.fill_between(
            places,
            [low for low, _, _ in spread],
            [high for _, _, high in spread],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
    axis.set_yscale("log")
    if panel.x in ("bytes", "names in the directory"):
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
    else:
        axis.set_xticks(sorted({int(x) for points in lines.values() for x in points}))
    axis.set_xlabel(panel.x)
    axis.set_title(panel.title, fontsize=10)
    axis.grid(visible=True, which="major", alpha=0.3)


def quartiles(taken: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(taken) < 2:
        return taken[0], taken[0], taken[0]
    low, middle, high = statistics.quantiles(taken, n=4, method="inclusive")
    return low, middle, high
