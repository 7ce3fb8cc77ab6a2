"""What docs/api publishes: all that the example imports and that storages offer."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.files.storage import Storage
from django.utils.module_loading import import_string

from tahoestorage.backends.objectstore import ObjectStore

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))

# A directive of mkdocstrings, and the lines of its options.
_SHOWN = re.compile(r"^::: (\S+)\n((?: +.*\n)*)", re.MULTILINE)
_IN_BRACKETS = re.compile(r" members: \[(.+)\]")
_IN_LINES = re.compile(r" members:\n((?: +- \w+\n)+)")

# Methods without an underscore that are for the other modules of the package.
OF_THE_PACKAGE = {
    *("directories", "links", "options", "cache_options", "link", "link_together"),
    *("upload", "prepare_file", "publish_file", "file_entry", "entry", "fill_cache"),
    *("listed", "key_prefix", "whole_entry", "write", "always_tells_packing"),
    *("content_hashes", "address", "call", "head_if_there", "head_object"),
    *("write_parameters", "reader_of"),
    *("compared_checksums", "whole_address"),
}


def published() -> Iterator[tuple[str, list[str]]]:
    """Yield each name in docs/api, with the members that are shown; none means all."""
    for page in PAGES:
        for path, options in _SHOWN.findall(page.read_text("utf-8")):
            if inline := _IN_BRACKETS.search(options):
                yield path, inline[1].split(", ")
            elif lines := _IN_LINES.search(options):
                yield path, re.findall(r"- (\w+)", lines[1])
            else:
                yield path, []


def imported(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports from the package."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_the_example_imports_only_what_is_published() -> None:
    whole, single = set[str](), set[str]()
    for path, members in published():
        single |= {f"{path}.{name}" for name in members} | {path}
        whole |= set() if members else {path}
    used = {
        name
        for file in (ROOT / "example").rglob("*.py")
        for name in imported(file)
        if name.startswith("tahoestorage.")
    }

    assert len(used) > 10
    assert {
        name
        for name in used - single
        if name.rpartition(".")[0] not in whole or "._" in name
    } == set()


def test_the_index_names_every_module_that_is_published() -> None:
    index = (ROOT / "docs" / "api" / "index.md").read_text("utf-8")
    named = re.findall(r"`(tahoestorage\.[\w.]+)`", index)
    paths = [path for path, members in published()]

    assert [path for path in paths if not path.startswith(tuple(named))] == []


STORAGES = [(p, members) for p, members in published() if len(members) > 10]


@pytest.mark.parametrize(
    ("path", "members"), STORAGES, ids=[path for path, members in STORAGES]
)
def test_the_methods_of_a_storage_are_those_that_there_are(
    path: str, members: list[str]
) -> None:
    storage = import_string(path)
    of_stores = {name for name in vars(ObjectStore) if name[0] != "_"}
    there = {
        name
        for name in dir(storage)
        if name[0] != "_" and owner(storage, name).startswith("tahoestorage.")
    }
    options = {"get_default_settings", "bucket", "client", "connection"}
    options |= {"unsigned_connection"}  # django-storages'

    assert len(STORAGES) == 3
    assert [name for name in members if not hasattr(storage, name)] == []
    assert there - {*members} - of_stores - OF_THE_PACKAGE - options == set()


def owner(storage: type, name: str) -> str:
    """Return the module whose class defines an attribute."""
    return next(each.__module__ for each in storage.__mro__ if name in vars(each))


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_a_store_of_objects_overrides_public_methods_alone(store: str) -> None:
    private = {name for name in vars(ObjectStore) if re.match("_(?!_)", name)}
    storage: Any = import_string(
        f"tahoestorage.backends.{store}.storage.{store.upper()}Storage"
    )
    own = {
        name
        for each in storage.__mro__
        if each.__module__.startswith(f"tahoestorage.backends.{store}.")
        for name in vars(each)
    }

    assert len(own) > 10
    assert own & private == set()


# Django looks for them by these names, or has put them there.
OF_DJANGO = {"app_name", "media", "urlpatterns"}


def explained(source: str) -> set[str]:
    """Return the attributes and constants in a source that a string follows."""
    bodies = [getattr(node, "body", ()) for node in ast.walk(ast.parse(source))]
    return {
        ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        for body in bodies
        if isinstance(body, list)
        for node, after in pairwise(body)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


def defined_in(module: ModuleType) -> set[str]:
    """Return the public names of a module that are neither imported nor left out."""
    names = set[str]()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            names.add(ast.unparse(target))
    public = {name for name in names if name[0] != "_"} - {"logger"}
    return public & set(getattr(module, "__all__", public))


def without_docstring(found: Any, path: str, members: Iterable[str]) -> Iterator[str]:
    """Yield what is published of a module, class or function, and is not explained."""
    if isinstance(found, ModuleType):
        known = explained(inspect.getsource(found)) | OF_DJANGO
        for name in members or defined_in(found) - known:
            value = getattr(found, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                yield from without_docstring(value, f"{path}.{name}", ())
            elif name not in known:
                yield f"{path}.{name}"
    elif inspect.isclass(found):
        yield from [] if found.__doc__ else [path]
        for name in members or members_of(found):
            if not inspect.getdoc(inspect.getattr_static(found, name)):
                yield f"{path}.{name}"
        # The options of a storage are explained in a table, members of an enum by it.
        if not issubclass(found, Storage | enum.Enum):
            yield from (f"{path}.{name}" for name in fields_without(found))
    elif not inspect.getdoc(found):
        yield path


def members_of(found: type) -> set[str]:
    """Return the public methods and properties that a class itself defines."""
    return {
        name
        for name, value in vars(found).items()
        if name[0] != "_" and (isinstance(value, property) or inspect.isroutine(value))
    } - {*OF_THE_PACKAGE, *OF_DJANGO}


def fields_without(found: type) -> set[str]:
    """Return the public fields of a class that neither it nor a string explains.

    Those that a class of Django's has, too, are explained there.
    """
    names = {*vars(found), *found.__annotations__} - members_of(found)
    names -= explained(textwrap.dedent(inspect.getsource(found)))
    inherited = {name for each in found.__mro__[1:] for name in vars(each)}
    return {
        name
        for name in names - inherited
        if name[0] != "_" and f"``{name}``" not in (found.__doc__ or "")
    }


@pytest.mark.parametrize(("path", "members"), list(published()))
def test_all_that_is_published_has_a_docstring(path: str, members: list[str]) -> None:
    try:
        found: Any = import_module(path)
    except ModuleNotFoundError:
        found = import_string(path)
    assert sorted(without_docstring(found, path, members)) == []
