"""What the commands on a store have in common: options, output, exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)

from tahoestorage.backends.reservednames import grid_path
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.config.settings import storage_of_alias
from tahoestorage.display import ReadableError, reason
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.usage import with_usage_status
from tahoestorage.moving.resolve import label
from tahoestorage.progress import Progress, shown_on

USAGE, INTERRUPTED = 2, 130
CTRL_C = (INTERRUPTED, "ended by Ctrl-C")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=36_525)


class _Help(DjangoHelpFormatter):
    """Leaves text of several lines as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class StoreCommand(BaseCommand):
    """A command whose exit statuses mean what its help says, and nothing else.

    Standard output has the result; standard error has progress, what is said on the
    way, and why the command failed.
    """

    # A check that fails ends with 1, which has a meaning of its own here. What is wrong
    # with a storage is told when it is made.
    requires_system_checks = ()
    usage_status = USAGE
    """The exit status where the arguments are wrong."""
    examples: Sequence[str] = ()
    """Lines for a shell that ``--help`` shows, each with what it does after a #."""
    statuses: Sequence[tuple[int, str]] = ()
    """The exit statuses and their meanings, for ``--help``."""

    def create_parser(self, *arguments: Any, **options: Any) -> CommandParser:
        """Return Django's parser, with this command's status for wrong arguments."""
        options = {"formatter_class": _Help, "epilog": self._epilog(), **options}
        parser = super().create_parser(*arguments, **options)
        # Django has this option where there are checks. Who gives it may go on so.
        parser.add_argument("--skip-checks", action="store_true", help=SUPPRESS)
        return with_usage_status(parser, self.usage_status)

    def _epilog(self) -> str:
        statuses = [f"  {status:<4} {what}" for status, what in self.statuses]
        examples = [f"  {example}" for example in self.examples]
        return "\n".join(["exit status:", *statuses, "", "examples:", *examples])

    def say(self, text: str) -> None:
        """Print a line on standard error at once, if that can be written to.

        What a command does matters more than what it tells on the way.
        """
        with contextlib.suppress(OSError):
            # The style of errors is for errors only.
            self.stderr.write(text, str)
            self.stderr.flush()

    def progress(self, verbosity: int, *, times: int = 1) -> Progress:
        """Return what shows progress on standard error; with ``-v 0`` nothing does.

        It is a bar in a terminal, and else a line every few seconds. For ``times`` see
        Progress.
        """
        if not verbosity:
            return Progress(self.say, times=times, seconds=float("inf"))
        return shown_on(self.stderr._out, self.say, times=times)

    def put(self, document: dict[str, Any], *lines: str, as_json: bool) -> None:
        """Print the result: these lines, or the document as JSON instead."""
        text = json.dumps(document, indent=2) if as_json else "\n".join(lines)
        self.stdout.write(text)

    def exit_at_once(self) -> NoReturn:
        """End the process as interrupted, whatever its threads do.

        Python itself would wait for threads that do not end.
        """
        for stream in (self.stdout, self.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(INTERRUPTED)


# Options


def add_alias(
    parser: CommandParser, option: str | None = None, *, or_url: bool = False
) -> None:
    """Add the storage: as the argument ALIAS, or by this option."""
    how: dict[str, Any] = {"nargs": "?"} if option is None else {}
    ways = "by its alias in STORAGES" + (" or a URL" if or_url else "")
    parser.add_argument(
        option or "alias",
        default="default",
        metavar="ALIAS",
        help=f"the storage, {ways} (default: default)",
        **how,
    )


def add_json(parser: CommandParser) -> None:
    """Add --json."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document on standard output, and nothing else there",
    )


def add_jobs(parser: CommandParser, text: str, *, default: int, most: int) -> None:
    """Add --jobs, a number from 1 to ``most``."""
    parser.add_argument(
        "--jobs",
        type=number_of("jobs", 1, most),
        default=default,
        metavar="N",
        help=f"{text}, 1 to {most} (default: {default})",
    )


def number_of(things: str, least: int, most: int) -> Callable[[str], int]:
    """Return what reads a number within these, and else raises ArgumentTypeError."""

    def read(text: str) -> int:
        digits = re.fullmatch("[0-9]{1,9}", text)
        if digits is None or not least <= int(text) <= most:
            raise ArgumentTypeError(
                f"{text!r} is not a number of {things} from {least} to {most}"
            )
        return int(text)

    return read


def age(text: str) -> timedelta:
    """Return the time span of a text such as 90m, 24h or 7d, a century at most.

    Raises ArgumentTypeError.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if span is None or span > _LONGEST:
        raise ArgumentTypeError(
            f"{text!r} is no time span; give one such as 90m, 24h or 7d"
        )
    return span


# Storages


@contextlib.contextmanager
def errors_of(argument: str, status: int) -> Iterator[None]:
    """Turn errors of a storage into CommandErrors with this exit status.

    ``argument`` is its alias or URL, which stands before the reason without secrets.
    """
    try:
        yield
    except (ImproperlyConfigured, TahoeStorageError, ReadableError, OSError) as error:
        raise CommandError(
            f"{label(argument)}: {reason(error)}", returncode=status
        ) from None


def storage_on_grid(alias: str, status: int, *, has_root: bool = True) -> TahoeStorage:
    """Return the storage on a grid with this alias, whose root cap could be read.

    With ``has_root=False`` that is not read. Raises CommandError with this status.
    """
    with errors_of(alias, status):
        storage = storage_of_alias(alias)
        if not isinstance(storage, TahoeStorage):
            raise ImproperlyConfigured("it is not on a grid")
        if has_root:
            storage.options.root  # noqa: B018 - read now, for its errors
    return storage


def path_on_grid(text: str, status: int) -> tuple[str, ...]:
    """Return the parts of a path. Raises CommandError with this status."""
    try:
        return grid_path(text.rstrip("/"))
    except (SuspiciousFileOperation, ValueError, TahoeStorageError) as error:
        raise CommandError(reason(error), returncode=status) from None
