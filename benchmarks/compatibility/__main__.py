"""``python -m benchmarks.compatibility``: try all stores, and write the table.

The table of docs/compatibility.md is renewed, unless ``--only`` names some stores: then
theirs is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
START, END = "<!-- made by `make compatibility` -->", "<!-- end -->"
YES, OVER, REFUSED, NO, NONE = "yes", "may overwrite", "refused", "**no**", ""
UNSAFE = "E007"
CHECK = "`check --deploy`"


def main() -> None:
    """Try all stores; the exit status is 0 whatever works."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compatibility")
    parser.add_argument("--only", default="", help="the stores that have this in them")
    only = parser.parse_args().only
    settings.configure(
        USE_TZ=True,
        TIME_ZONE="UTC",
        SECRET_KEY=secrets.token_hex(),
        INSTALLED_APPS=["tahoestorage", "django.contrib.staticfiles"],
    )
    django.setup()
    logging.disable(logging.CRITICAL)

    from benchmarks.compatibility.servers import KINDS, ServerKind

    notes: list[str] = []
    columns: list[tuple[ServerKind, list[str]]] = []
    for kind in KINDS:
        if only in kind.name:
            columns.append((kind, _column(kind, notes)))
    table = _table(columns, notes)
    if only:
        print(table)
        return
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{table}{END}{after}")
    print(f"written to {PAGE.relative_to(Path.cwd())}")


def _column(kind: Any, notes: list[str]) -> list[str]:
    """Return the cells of a store; why something does not work goes into the notes."""
    from benchmarks.compatibility.trials import TRIALS

    cells = {trial.name: NONE for trial in TRIALS}
    check = ""
    for https in (False, True):
        wanted = [
            trial
            for trial in TRIALS
            if trial.https is https and trial.name not in kind.lacks
        ]
        if not wanted:
            continue
        with (
            tempfile.TemporaryDirectory() as folder,
            kind.running(Path(folder), https) as store,
        ):
            check = check or _check(store)
            for trial in wanted:
                cell = cells[trial.name] = _cell(trial, store, check, notes)
                print(f"{kind.name}, {trial.name}: {cell}", flush=True)
    return [*cells.values(), check]


def _cell(trial: Any, store: Any, check: str, notes: list[str]) -> str:
    error = _failure(trial, store)
    if error is None:
        return YES
    if check == UNSAFE:
        if trial.safe and isinstance(error, _refusal()):
            return REFUSED
        error = _failure(trial, store, allow_overwrite=True)
        if error is None and not trial.safe:
            return OVER
    note = _masked(error) if error else "nothing was refused"
    if note not in notes:
        notes.append(note)
    return f"{NO} ({notes.index(note) + 1})"


def _refusal() -> type[Exception]:
    from tahoestorage.exceptions import NotConditional

    return NotConditional


def _failure(trial: Any, store: Any, **options: Any) -> Exception | None:
    from benchmarks.compatibility.trials import bucket_of

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            trial.run(bucket_of(store, **options))
    except Exception as error:
        return error
    return None


def _masked(error: Exception) -> str:
    """Return an error's text without what differs from run to run."""
    text = re.sub(r"https?://[^ /]+[^ ]*", "URL", " ".join(str(error).split()))
    text = re.sub(r"\b(bucket-)?[0-9a-f]{12,}\b", "…", text)
    return f"{type(error).__name__}: {text[:200]}".replace("|", "\\|").rstrip(": ")


def _check(store: Any) -> str:
    """Return the errors that ``check --deploy`` reports."""
    from django.core.checks import ERROR, run_checks
    from django.test import override_settings

    options = {**store.options(), "cache": False}
    backend = {"BACKEND": store.backend, "OPTIONS": options}
    with override_settings(STORAGES={"default": backend}):
        found = run_checks(tags=["files"], include_deployment_checks=True)
    ids = {str(each.id).rpartition(".")[2] for each in found if each.level >= ERROR}
    return ", ".join(sorted(ids)) or "well"


def _table(columns: list[tuple[Any, list[str]]], notes: list[str]) -> str:
    from benchmarks.compatibility.trials import TRIALS

    names = [*(trial.name for trial in TRIALS), CHECK]
    heads = [f"{kind.name} {kind.version}" for kind, _ in columns]
    rows = [["", *heads], ["---"] * (len(heads) + 1)]
    for number, name in enumerate(names):
        rows.append([name, *(cells[number] for _, cells in columns)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    numbered = [f"{number}. `{note}`" for number, note in enumerate(notes, 1)]
    return "\n".join([*lines, "", *numbered, ""])


if __name__ == "__main__":
    main()
