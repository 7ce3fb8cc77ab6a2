"""Which files an application has in a store, where no FileField names them.

``manage.py storage_orphans`` takes what nothing names for nobody's. It looks at every
FileField by itself; what an application names elsewhere, in fields of other kinds or in
a history of rows, it has to say by a function. Register that in a module which
``AppConfig.ready`` imports::

    from tahoestorage.filenames import names_files

    @names_files()
    def versions(alias):
        rows = Version.objects.filter(store=alias)
        return rows.values_list("key", flat=True).iterator()

    @names_files(required=False)
    def uploads(alias):
        yield "uploads/"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

NamesFiles = Callable[[str], Iterable[str]]
"""Takes an alias of STORAGES, and returns names of files in that storage.

A name that ends with a slash stands for all that is below it; there should be few.
"""


class NamingFunction(NamedTuple):
    """A ``function`` that names files; ``required``: whether these must be there."""

    function: NamesFiles
    required: bool

    @property
    def label(self) -> str:
        """Where it stands, for people."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


_functions: list[NamingFunction] = []


def names_files(*, required: bool = True) -> Callable[[NamesFiles], NamesFiles]:
    """Register a function that names an application's files in a store.

    With ``required`` a name that no file has is reported. Without it the files may be
    there or not: uploads under way, or what is made when somebody asks for it.

    The function is called for each alias whose files may be in the store, more than
    once in a run. Where it raises, nothing is taken for an orphan.
    """

    def register(function: NamesFiles) -> NamesFiles:
        _functions.append(NamingFunction(function, required))
        return function

    return register


def naming_functions() -> list[NamingFunction]:
    """Return all that are registered."""
    return list(_functions)
