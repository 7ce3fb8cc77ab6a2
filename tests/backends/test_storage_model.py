"""The storage against Django's own InMemoryStorage, step by step.

Two storages share a cache directory and nothing else, as two processes do; a third
has no cache at all. Whatever one of them does, all must tell the same afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

# Some of them can be files, directories, or in the way of each other.
NAMES = ["f", "g.tar.gz", "d", "d/f", "d/e", "d/e/f", "ö/ø"]
DIRECTORIES = ["", "d", "d/e", "ö", "f"]

names = st.sampled_from(NAMES)
contents = st.binary(max_size=20) | st.binary(min_size=50, max_size=200)
writers = st.sampled_from([0, 1])
readers = st.sampled_from([0, 1, 2])


class Model:
    """InMemoryStorage, made to refuse what a grid refuses."""

    def __init__(self) -> None:
        self.storage = InMemoryStorage(location="/model")

    def is_file(self, name: str) -> bool:
        directory, _, last = name.rpartition("/")
        return (
            self.is_directory(directory) and last in self.storage.listdir(directory)[1]
        )

    def is_directory(self, name: str) -> bool:
        try:
            self.storage.listdir(name)
        except (OSError, ValueError):
            # It stumbles over itself (ValueError) well below a file.
            return False
        return True

    def is_blocked(self, name: str) -> bool:
        """Whether a file is where a directory of ``name`` must be."""
        parts = name.split("/")
        return any(self.is_file("/".join(parts[:n])) for n in range(1, len(parts)))

    def put(self, name: str, content: bytes) -> None:
        # Its own open("wb") leaves what was there behind a shorter content.
        if self.is_file(name):
            self.storage.delete(name)
        assert self.storage.save(name, ContentFile(content)) == name


class Machine(RuleBasedStateMachine):
    grid: LocalGrid

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.model = Model()
        root = self.grid.create_root().uri

        def storage(cache: Any) -> TahoeStorage:
            return TahoeStorage(
                base_url=self.grid.base_url,
                base_cap=root,
                public_base_url="http://files.example",
                cache=cache,
            )

        shared = {"directory": self.folder.name}
        self.storages = [
            # Caches of other options are other caches, on one disk.
            storage({**shared, "memory_entries": 10_000}),
            storage({**shared, "memory_entries": 10_001}),
            storage(False),
        ]
        caches = [each.directories.cache for each in self.storages]
        assert len({id(cache) for cache in caches}) == 3

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    # Writing

    @rule(who=writers, name=names, content=contents)
    def save(self, who: int, name: str, content: bytes) -> None:
        storage, model = self.storages[who], self.model
        if model.is_blocked(name):
            with pytest.raises(NotADirectoryError):
                storage.save(name, ContentFile(content))
            return
        saved = storage.save(name, ContentFile(content))
        taken = model.is_file(name) or model.is_directory(name)
        assert (saved != name) is taken
        model.put(saved, content)

    @rule(who=writers, name=names, content=contents, mode=st.sampled_from(["wb", "xb"]))
    def write(self, who: int, name: str, content: bytes, mode: str) -> None:
        storage, model = self.storages[who], self.model

        def write() -> None:
            with storage.open(name, mode) as file:
                file.write(content)

        refused = (
            NotADirectoryError
            if model.is_blocked(name)
            else IsADirectoryError
            if model.is_directory(name)
            else FileExistsError
            if mode == "xb" and model.is_file(name)
            else None
        )
        if refused:
            with pytest.raises(refused):
                write()
        else:
            write()
            model.put(name, content)

    @rule(who=writers, name=names)
    def write_in_vain(self, who: int, name: str) -> None:
        with pytest.raises((ZeroDivisionError, IsADirectoryError, NotADirectoryError)):
            self._fail(self.storages[who], name)

    @staticmethod
    def _fail(storage: TahoeStorage, name: str) -> None:
        with storage.open(name, "w") as file:
            file.write("half")
            raise ZeroDivisionError

    @rule(who=writers, name=names)
    def delete(self, who: int, name: str) -> None:
        storage, model = self.storages[who], self.model
        if model.is_directory(name):
            with pytest.raises(IsADirectoryError):
                storage.delete(name)
            return
        storage.delete(name)
        if model.is_file(name):
            model.storage.delete(name)

    # Reading

    @rule(who=readers, name=names)
    def look(self, who: int, name: str) -> None:
        storage, model = self.storages[who], self.model
        questions: list[Callable[[str], object]] = [
            storage.size,
            storage.url,
            lambda name: storage.open(name).close(),
        ]
        if model.is_file(name):
            content = model.storage.open(name).read()
            assert storage.exists(name)
            assert storage.size(name) == len(content)
            with storage.open(name) as file:
                assert file.read() == content
            assert storage.url(name).endswith("/" + quote(name.split("/")[-1]))
            created = storage.get_created_time(name)
            modified = storage.get_modified_time(name)
            assert created <= modified
            age = model.storage.get_modified_time(name) - modified
            assert abs(age.total_seconds()) < 60
            return
        directory = model.is_directory(name)
        assert storage.exists(name) is directory
        for question in questions:
            with pytest.raises(IsADirectoryError if directory else FileNotFoundError):
                question(name)

    @rule(who=readers, path=st.sampled_from(DIRECTORIES))
    def listing(self, who: int, path: str) -> None:
        storage, model = self.storages[who], self.model
        if model.is_directory(path):
            directories, files = model.storage.listdir(path)
            assert storage.listdir(path) == (sorted(directories), sorted(files))
        else:
            error = FileNotFoundError
            if model.is_file(path) or model.is_blocked(path):
                error = NotADirectoryError, FileNotFoundError  # type: ignore[assignment]
            with pytest.raises(error):
                storage.listdir(path)

    @rule()
    def everything(self) -> None:
        for storage in self.storages:
            assert dict(walk(storage)) == dict(walk(self.model.storage))


def walk(storage: Any, path: str = "") -> Iterator[tuple[str, int | None]]:
    """Yield every name with its size; None for directories."""
    directories, files = storage.listdir(path)
    for name in files:
        yield f"{path}{name}", storage.size(f"{path}{name}")
    for name in directories:
        yield f"{path}{name}", None
        yield from walk(storage, f"{path}{name}/")


def test_it_behaves_as_djangos_in_memory_storage(tahoe_grid: LocalGrid) -> None:
    class OnThisGrid(Machine):
        grid = tahoe_grid

    run_state_machine_as_test(
        OnThisGrid,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Shrinking would outlast the time limit: each try costs a second.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
