"""Others write to an SQLite database while a long piece of work waits for a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from objects import sweeping
from objects.defects import Defect, SweepResult
from objects.models import StoredObject, Version
from pages import thumbnails
from pages.models import Thumbnail
from tests.application.callers import client_of
from tests.application.stores import put, read
from tests.application.test_tus import create, patch
from uploads import finishing
from uploads.models import Upload
from uploads.sweeping import sweep_all

pytestmark = pytest.mark.django_db(transaction=True)
WRITES = (
    "UPDATE pages_thumbnail SET state = state",
    "UPDATE uploads_upload SET size = size",
    "UPDATE uploads_uploadpart SET size = size",
    "UPDATE objects_version SET size = size",
)


Watch = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def watch(own_store: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Returns the list of calls of a store's method; before each, somebody else writes.

    An iterator over rows fetches one of them at a time, and not 2,000.
    """
    other = connection.copy()
    iterator = QuerySet.iterator
    store = type(storages["default"])

    def one_by_one(rows: QuerySet[Any], chunk_size: int | None = None) -> Iterator[Any]:
        return iterator(rows, chunk_size=1)

    def watch(name: str) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []
        method = getattr(store, name)

        def writing_first(storage: Any, *arguments: Any) -> Any:
            with other.cursor() as cursor:
                for write in WRITES:
                    cursor.execute(write)
            calls.append(arguments)
            return method(storage, *arguments)

        monkeypatch.setattr(store, name, writing_first)
        return calls

    monkeypatch.setattr(QuerySet, "iterator", one_by_one)
    yield watch
    other.close()


def test_while_thumbnails_are_deleted(user: User, watch: Watch) -> None:
    for number in range(3):
        storages["default"].save(f"thumbnails/{number}", ContentFile(b"small"))
        Thumbnail.objects.create(store="default", key=f"thumbnails/{number}")
    deletions = watch("delete")

    assert thumbnails.delete_left() == 3

    assert len(deletions) == 3
    assert not Thumbnail.objects.exists()


def test_while_uploads_are_ended(user: User, watch: Watch) -> None:
    for _ in range(3):
        patch(create(client_of(user), 10), 0, b"half")
    Upload.objects.update(expires_at=timezone.now())
    deletions = watch("delete")

    assert sweep_all() == {"given up": 3}

    assert len(deletions) >= 3
    assert not Upload.objects.exists()


def test_while_the_parts_of_an_upload_are_read(
    user: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "BATCH", 2)
    openings = watch("_open")
    url = create(client_of(user), 10)
    for at in range(0, 10, 2):
        patch(url, at, b"0123456789"[at : at + 2])

    assert sum(name.startswith("uploads/") for name, mode in openings) == 5
    version = StoredObject.objects.get().current
    assert version is not None
    assert read(version) == b"0123456789"


def test_while_rows_without_a_directory_are_looked_for(
    user: User, watch: Watch
) -> None:
    for number in range(3):
        put(user, b"content", f"{number}.txt")
    for version in Version.objects.all():
        version.storage.delete(version.key)
        key = f"{version.pk}/{version.key}"
        Version.objects.filter(pk=version.pk).update(key=key)
    looks = watch("exists")

    found = list(sweeping.find("default", timezone.now(), SweepResult()))

    assert [one.defect for one in found] == [Defect.MISSING] * 3
    assert len(looks) == 3
