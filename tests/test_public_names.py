"""What docs/api publishes: all that the example imports and that storages offer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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
    "write_parameters",
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
