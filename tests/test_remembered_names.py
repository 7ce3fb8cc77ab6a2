"""What is remembered by name holds as many names as memory does by default."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path

import tahoestorage
from tahoestorage.config.options import CacheOptions

HOME = Path(tahoestorage.__file__).parent
# By directory, and by the kind of URL.
OF_FEW = {"Directory.of", "_known_text_of"}


def remembering() -> Iterator[tuple[str, int]]:
    """Yield all functions with an ``lru_cache`` in the package, and its size."""
    for path in HOME.rglob("*.py"):
        text = path.read_text()
        if "lru_cache" not in text:
            continue
        where = path.relative_to(HOME.parent).with_suffix("").parts
        module = import_module(".".join(where))
        for name in _names(ast.parse(text)):
            function = reduce(getattr, name.split("."), module)
            yield name, function.cache_parameters()["maxsize"]


def _names(tree: ast.AST, above: str = "") -> Iterator[str]:
    """Yield the names below which an ``lru_cache`` is kept."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _names(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            if "lru_cache" in "".join(map(ast.unparse, node.decorator_list)):
                yield above + node.name
        elif isinstance(node, ast.Assign) and "lru_cache(" in ast.unparse(node.value):
            yield above + ast.unparse(node.targets[0])


def test_as_many_names_are_remembered_as_memory_has() -> None:
    found = list(remembering())
    sizes = {name: size for name, size in found if name not in OF_FEW}
    room = CacheOptions().memory_entries
    assert len(found) == len(sizes) + len(OF_FEW) >= 11
    assert {name: size for name, size in sizes.items() if size < room} == {}
