"""Code that is copied from site to site, and a library that parks uploads."""

from __future__ import annotations

from typing import Any

from django.core.files.base import ContentFile
from import_export.tmp_storages import MediaStorage

ROWS = b"name,size\n" + b"a,1\n" * 1000


def test_import_export_parks_an_upload(store: Any) -> None:
    parked = MediaStorage()
    parked.save(ROWS)
    again = MediaStorage(name=parked.name)

    assert again.read() == ROWS
    again.remove()
    assert store.listdir("django-import-export") == ([], [])


def test_the_upload_loop_that_everybody_copies(store: Any) -> None:
    upload = ContentFile(ROWS, "rows.csv")

    with store.open("uploads/rows.csv", "wb+") as destination:
        for chunk in upload.chunks(100):
            destination.write(chunk)

    with store.open("uploads/rows.csv") as file:
        assert file.read() == ROWS
