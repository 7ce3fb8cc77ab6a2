"""Management commands in this process, and what they have done."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

from django.core.management import CommandError, call_command

from tests.support.leaks import assert_no_cap


class Made(NamedTuple):
    """What one run has done."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


def run(command: str, *arguments: str, **options: Any) -> Made:
    """Run a command, which must not say any cap; with options of call_command."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command(command, *arguments, stdout=out, stderr=err, **options)
    except CommandError as error:
        status = error.returncode
        err.write(f"CommandError: {error}\n")
    assert_no_cap(out.getvalue() + err.getvalue())
    return Made(status, out.getvalue(), err.getvalue())
