"""Exit statuses of our own for wrong arguments and for unexpected errors."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

from django.core.management.base import CommandError, CommandParser

from tahoestorage.display import reason


class UsageParser(CommandParser):
    """A parser that ends with ``usage_status`` where the arguments are wrong."""

    usage_status = 2

    def error(self, message: str) -> NoReturn:
        if not self.called_from_command_line:
            raise CommandError(f"Error: {message}", returncode=self.usage_status)
        self.print_usage(sys.stderr)
        self.exit(self.usage_status, f"{self.prog}: error: {message}\n")
        raise AssertionError  # exit() does not return.


def with_usage_status(parser: CommandParser, status: int) -> CommandParser:
    """Return a parser, as Django has made it, with this exit status.

    Django has no way to name a class for it.
    """
    parser.__class__ = UsageParser
    vars(parser)["usage_status"] = status
    return parser


@contextlib.contextmanager
def unexpected_errors_end_with(status: int) -> Iterator[None]:
    """Raise CommandError with ``status`` for each Exception that is none.

    Python's own status is 1.
    """
    try:
        yield
    except CommandError:
        raise
    except Exception as error:
        raise CommandError(reason(error), returncode=status) from error
