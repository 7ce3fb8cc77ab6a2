"""The pictures of docs/performance.md, and the medians in its tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path("docs/performance.md")
BEGIN, END = "<!-- begin of the figures -->\n", "<!-- end of the figures -->\n"


class Panel(NamedTuple):
    """One of the plots of a picture."""

    plot: str
    title: str
    x: str


class Picture(NamedTuple):
    """A file with one plot or two beside each other."""

    file: str
    text: str
    panels: tuple[Panel, ...]


LEVELS = "levels down"
PICTURES = (
    Picture(
        "depth",
        "Whether a name is there, by its depth",
        (
            Panel("depth", "servers on the same machine", LEVELS),
            Panel("depth-far", "40 ms of round trip to the servers", LEVELS),
        ),
    ),
    Picture(
        "directory",
        "Whether a name is there, by the size of its directory",
        (Panel("directory", "one level down", "names in the directory"),),
    ),
    Picture(
        "size",
        "Saving and reading a file, by its size",
        (
            Panel("saves", "save by a new name, 3 levels down", "bytes"),
            Panel("reads", "open and read", "bytes"),
        ),
    ),
    Picture(
        "workers",
        "Saving many small files into one directory, by workers",
        (Panel("workers", "64 files of 10 KB, per file", "threads"),),
    ),
)


def pictures_of(known: dict[str, Any]) -> Iterator[tuple[Picture, list[Panel]]]:
    """Yield each picture for which something was measured, with its plots."""
    for picture in PICTURES:
        panels = [panel for panel in picture.panels if panel.plot in known["plots"]]
        if panels:
            yield picture, panels


def with_figures(page: str, known: dict[str, Any], folder: str) -> str:
    """Return the page with these figures; the pictures are in ``folder``."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    parts = [f"Measured on {known['machine']}, {known['python']}.\n"]
    for picture, panels in pictures_of(known):
        alternative = f"{picture.text}: the tables below have the figures"
        parts.append(
            f"### {picture.text}\n\n![{alternative}]({folder}/{picture.file}.svg)\n"
        )
        parts += [table(panel, known["plots"][panel.plot]) for panel in panels]
    return before + BEGIN + "\n" + "\n".join(parts) + "\n" + END + after


def table(panel: Panel, lines: dict[str, dict[str, list[float]]]) -> str:
    """Return the medians as a table in Markdown."""
    places = sorted({int(x) for points in lines.values() for x in points})
    rows = [
        [f"{panel.title}; {panel.x}", *(f"{x:,}" for x in places)],
        ["---", *("--:" for _ in places)],
    ]
    for line, points in lines.items():
        cells = (points.get(str(x)) for x in places)
        rows.append([line, *("" if taken is None else text(taken) for taken in cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def text(taken: list[float]) -> str:
    """Return the median for people."""
    middle = statistics.median(taken)
    if middle < 1e-3:
        return f"{middle * 1e6:.1f} µs"
    return f"{middle * 1e3:.1f} ms" if middle < 1 else f"{middle:.2f} s"
