"""A new file for a secret that a command prints nowhere else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.core.management.base import CommandError


@contextmanager
def new_secret_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Make a file of mode 0600, and yield a function that writes to it.

    A file that exists is refused before anything else happens. The file appears when
    the block has ended, and is whole then; a killed process leaves ``.NAME.new-*``.
    """
    if os.path.lexists(path):
        raise _exists(path)
    try:
        prefix = f".{path.name[:200]}.new-"
        descriptor, beside = tempfile.mkstemp(prefix=prefix, dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error

    def write(secret: str) -> None:
        try:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(path, error) from error

    try:
        with open(descriptor, "w", encoding="ascii") as file:
            yield write
        _publish(beside, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


def _publish(beside: str, path: Path) -> None:
    """Give a file its name, which nothing has."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        # Some network disks have no links.
        if os.path.lexists(path):
            raise _exists(path) from None
        try:
            os.rename(beside, path)
        except OSError:
            raise _unwritable(path, error) from error


def _exists(path: Path) -> CommandError:
    return CommandError(
        f"{path} exists, and is not overwritten: the cap in it may be the only key to "
        "files. Give another name."
    )


def _unwritable(path: Path, error: OSError) -> CommandError:
    return CommandError(f"Cannot write {path}: {error.strerror}.")
