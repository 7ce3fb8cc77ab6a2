"""What the commands on a store have in common: exit statuses, progress, options."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from argparse import ArgumentTypeError
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error
from django.core.checks.registry import registry
from django.core.management import load_command_class

from tahoestorage import management, progress
from tahoestorage.care import rootsnapshot
from tahoestorage.management.storecommand import StoreCommand, age
from tests.support.commands import run
from tests.support.moves import Add, fill

pytestmark = pytest.mark.django_db

# Each command with progress: its arguments, and what it tells on the way.
TELLING = [
    ("storage_cache", ["warm"], "names seen"),
    ("storage_copy", ["default", "other", "--jobs", "1"], "6 of 6 files"),
    ("storage_directories", [], "directories so far"),
    ("storage_orphans", [], "names seen"),
    ("tahoe_check", ["--state", "{folder}/checks", "--jobs", "1"], "1 checked, "),
    ("tahoe_prune", ["--dry-run"], "names seen"),
    (
        "tahoe_root",
        ["export", "{folder}/{again}", "--passphrase-file", "{folder}/passphrase"],
        "names seen",
    ),
]


@pytest.fixture
def site(add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with files on a grid; its folder has a passphrase for tahoe_root."""
    fill(add("default", "grid"))
    add("other", "memory")
    add("disk", "disk")
    (tmp_path / "passphrase").write_text("a passphrase of this test\n")
    # That a key is made of it quickly.
    monkeypatch.setattr(rootsnapshot, "_N", 1 << 10)
    return tmp_path


def given(arguments: list[str], folder: Path, again: str = "1") -> list[str]:
    return [each.format(folder=folder, again=again) for each in arguments]


@pytest.mark.parametrize(("command", "arguments", "told"), TELLING)
def test_progress_is_told_plainly_and_not_at_all_with_v_0(
    command: str,
    arguments: list[str],
    told: str,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    telling = run(command, *given(arguments, site), force_color=True)
    assert telling.status == 0
    assert told in telling.err
    assert "\x1b" not in telling.err

    silent = run(command, *given(arguments, site, "2"), "--verbosity", "0")
    assert (silent.status, silent.err) == (0, "")


@pytest.mark.parametrize(
    ("command", "arguments"),
    # The threads of tahoe_check are another story.
    [each[:2] for each in TELLING if each[0] != "tahoe_check"],
)
def test_ctrl_c_on_the_way_has_a_status_of_its_own(
    command: str, arguments: list[str], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.Progress, "looked", interrupted)
    monkeypatch.setattr(progress.Progress, "tell", interrupted)
    made = run(command, *given(arguments, site))
    assert made.status == 130
    assert "Interrupted." in made.err


@pytest.mark.parametrize(
    ("command", "arguments", "status"),
    [
        ("storage_cache", ["stats", "disk"], 2),
        ("storage_copy", ["disk", "other"], 0),
        ("storage_directories", ["disk"], 0),
        ("storage_orphans", ["disk"], 0),
        ("storage_uploads", ["disk"], 2),
        ("tahoe_check", ["--storage", "disk"], 4),
        ("tahoe_prune", ["--storage", "disk", "--dry-run"], 2),
        ("tahoe_status", ["disk"], 3),
    ],
)
def test_a_site_s_failing_check_is_no_finding_of_a_command(
    command: str,
    arguments: list[str],
    status: int,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(**given: Any) -> list[Error]:
        return [Error("something else is wrong")]

    monkeypatch.setattr(registry, "registered_checks", {failing})
    assert run(command, *arguments, skip_checks=False).status == status
    assert run(command, *arguments, "--skip-checks").status == status


def test_what_is_said_is_there_at_once_and_harms_nothing_where_it_cant_be() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw) as stream:
        StoreCommand(stderr=stream).say("on the way")
        assert raw.getvalue() == b"on the way\n"
    with (
        open("/dev/full", "wb", buffering=0) as full,
        io.TextIOWrapper(full, write_through=True) as stream,
    ):
        StoreCommand(stderr=stream).say("on the way")


def test_a_full_disk_keeps_nobody_from_an_end_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        StoreCommand(stdout=Full(), stderr=Full()).exit_at_once()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0s", timedelta()),
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("36525d", timedelta(days=36_525)),
    ],
)
def test_an_age_is_a_number_with_a_unit(text: str, span: timedelta) -> None:
    assert age(text) == span


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "1.5h", "٣d", "36526d", "7d "])
def test_what_is_no_age_is_said(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="such as 90m, 24h or 7d"):
        age(text)


HELPED = [
    path.stem
    for path in sorted(Path(management.__file__).parent.glob("commands/[a-z]*.py"))
    if isinstance(load_command_class("tahoestorage", path.stem), StoreCommand)
]


@pytest.mark.parametrize("name", HELPED)
def test_help_shows_exit_statuses_and_examples_that_can_be_run(name: str) -> None:
    command = load_command_class("tahoestorage", name)
    assert isinstance(command, StoreCommand)
    parser = command.create_parser("manage.py", name)
    statuses = [status for status, _ in command.statuses]
    assert statuses == sorted({0, command.usage_status, *statuses})
    assert command.examples
    for example in command.examples:
        words = shlex.split(example, comments=True)
        assert words[:2] == ["manage.py", name]
        parser.parse_args(words[2:])
    lines = parser.format_help().splitlines()
    assert {f"  {example}" for example in command.examples} <= {*lines}
    assert {f"  {status:<4} {what}" for status, what in command.statuses} <= {*lines}
    assert max(map(len, lines[lines.index("exit status:") :])) <= 80
