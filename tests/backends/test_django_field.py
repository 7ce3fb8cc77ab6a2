"""FileField and ImageField on the grid, with a database, as a site has them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from django.apps import AppConfig
from django.core.cache import cache
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.images import ImageFile, get_image_dimensions
from django.core.files.storage import Storage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, models
from django.http import FileResponse
from PIL import Image
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent
from tests.support.proxy import Proxy

ALTERNATIVE = "[A-Za-z0-9]{7}"
LONG = b"longer than a cap can hold " * 4

# As in a models.py: nothing is configured when it is imported.
ts = TahoeStorage()


def chosen_when_needed() -> Storage:
    return ts


def the_default() -> Storage:
    return default_storage


def beside_the_day(instance: Document, filename: str) -> Path:
    return Path("2024") / filename


class Document(models.Model):
    """A model with a field for each way to say where its files go."""

    objects: ClassVar[models.Manager[Document]] = models.Manager()

    file = models.FileField(storage=ts, upload_to="files")
    limited = models.FileField(storage=ts, upload_to="files", max_length=20)
    photo = models.ImageField(
        storage=ts, upload_to="photos", width_field="width", height_field="height"
    )
    width = models.IntegerField(null=True)
    height = models.IntegerField(null=True)
    called = models.FileField(storage=chosen_when_needed, upload_to=beside_the_day)
    kind = models.FileField(storage=TahoeStorage)
    default = models.FileField(storage=the_default, default="files/default.txt")

    class Meta:
        app_label = "documents"


@pytest.fixture(scope="module", autouse=True)
def table(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(Document)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(Document)


@pytest.fixture(autouse=True)
def site(
    db: None, settings: Settings, tahoe_grid: LocalGrid, root: Cap, tmp_path: Path
) -> Settings:
    """The settings of a site with a root of its own."""
    settings.TAHOE_STORAGE_BASE_URL = tahoe_grid.base_url
    settings.TAHOE_STORAGE_BASE_CAP = root.uri
    settings.TAHOE_PUBLIC_BASE_URL = "http://files.example"
    settings.TAHOE_STORAGE_CACHE = {"directory": str(tmp_path / "cache")}
    settings.STORAGES = {
        "default": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
    }
    return settings


def test_the_fields_have_the_storages_that_they_were_given() -> None:
    storages = {
        name: Document._meta.get_field(name).storage  # type: ignore[union-attr]
        for name in ("file", "called", "kind", "default")
    }
    assert storages["file"] is storages["called"] is ts
    assert type(storages["kind"]) is TahoeStorage
    assert storages["default"] == default_storage
    *_, keywords = Document._meta.get_field("called").deconstruct()
    assert keywords["storage"] is chosen_when_needed


def test_a_file_is_saved_with_its_object() -> None:
    document = Document(file=SimpleUploadedFile("a b.txt", LONG))
    assert not ts.exists("files")
    document.save()
    assert document.file.name == "files/a_b.txt"
    again = Document.objects.get()
    assert again.file.read() == LONG
    again.file.close()
    assert again.file.size == len(LONG)
    assert re.fullmatch(
        r"http://files\.example/named/URI%3ACHK[^/]+/a_b\.txt", again.file.url
    )
    with pytest.raises(NotImplementedError):
        print(again.file.path)


def test_a_field_file_can_do_what_it_can_on_a_disk() -> None:
    document = Document.objects.create()
    document.file.save("f.txt", ContentFile(LONG))
    with document.file.open() as file:
        assert file.read(3) == LONG[:3]
        assert file.read() == LONG[3:]
        assert b"".join(file.chunks(chunk_size=10)) == LONG
    with document.file.open("r") as file:
        assert file.readline() == LONG.decode()

    other = Document.objects.create()
    other.file.save("f.txt", ContentFile(b"other"))
    assert re.fullmatch(rf"files/f_{ALTERNATIVE}\.txt", str(other.file.name))

    document.file.delete()
    assert not document.file
    assert not ts.exists("files/f.txt")
    document.refresh_from_db()
    assert document.file.name == ""
    assert ts.exists(str(other.file.name))


def test_a_name_keeps_to_the_fields_max_length() -> None:
    names = []
    for _ in range(2):
        document = Document.objects.create()
        document.limited.save("filename.ext", ContentFile(LONG))
        names.append(str(document.limited.name))
    assert names[0] == "files/filename.ext"
    assert re.fullmatch(rf"files/fi_{ALTERNATIVE}\.ext", names[1])
    document.limited.save("short.longext", ContentFile(LONG))
    with pytest.raises(SuspiciousFileOperation, match="available filename"):
        document.limited.save("short.longext", ContentFile(LONG))


def test_every_field_saves_where_it_says() -> None:
    ts.save("files/default.txt", ContentFile(b"the default"))
    document = Document()
    document.called.save("c.txt", ContentFile(b"called"), save=False)
    document.kind.save("k.txt", ContentFile(b"kind"), save=False)
    document.save()
    assert document.called.name == "2024/c.txt"
    assert document.kind.name == "k.txt"
    assert document.default.read() == b"the default"
    document.default.close()
    assert ts.listdir("") == (["2024", "files"], ["k.txt"])


def test_one_field_is_saved_from_another() -> None:
    document = Document.objects.create(file=ContentFile(LONG, "f.txt"))
    copy = Document.objects.create(called=document.file.file)
    assert str(copy.called.name) == "2024/files/f.txt"
    with copy.called.open() as file:
        assert file.read() == LONG
    document.file.close()


def test_a_field_is_rewritten_when_its_block_ends_well() -> None:
    document = Document.objects.create(file=SimpleUploadedFile("f.txt", LONG))
    with document.file as file:
        file.open("wb")
        file.write(b"updated")
    with document.file.open() as file:
        assert file.read() == b"updated"
    assert document.file.size == 7


def test_a_field_is_not_rewritten_when_its_block_raises() -> None:
    document = Document.objects.create(file=SimpleUploadedFile("f.txt", LONG))
    document.refresh_from_db()

    def fail() -> None:
        with document.file.open("wb") as file:
            file.write(b"half of it")
            raise ZeroDivisionError

    with requests_sent() as sent, pytest.raises(ZeroDivisionError):
        fail()
    assert not {"PUT", "POST"} & set(sent.verbs)
    with document.file.open() as file:
        assert file.read() == LONG


class DocumentsConfig(AppConfig):
    """The application of the model, for what finds models by their names."""

    name = "tests"
    label = "documents"
    path = str(Path(__file__).parents[1])


def test_an_object_with_files_is_pickled_into_djangos_cache(site: Settings) -> None:
    site.INSTALLED_APPS = [*site.INSTALLED_APPS, f"{__name__}.DocumentsConfig"]
    document = Document.objects.create(file=SimpleUploadedFile("f.txt", LONG))
    cache.set("document", document)
    found = cache.get("document")
    assert found.file.name == "files/f.txt"
    assert found.file.read() == LONG
    found.file.close()


def test_a_view_streams_a_field() -> None:
    content = os.urandom(300_000)
    document = Document.objects.create(file=SimpleUploadedFile("f.bin", content))
    response = FileResponse(document.file.open(), as_attachment=True)
    assert response["Content-Length"] == "300000"
    assert response["Content-Disposition"] == 'attachment; filename="f.bin"'
    assert b"".join(response) == content
    response.close()


# Images


def picture(width: int, height: int) -> bytes:
    held = io.BytesIO()
    noise = Image.frombytes("RGB", (width, height), os.urandom(3 * width * height))
    noise.save(held, "PNG")
    return held.getvalue()


def test_an_image_field_knows_its_dimensions() -> None:
    document = Document.objects.create(
        photo=SimpleUploadedFile("p.png", picture(30, 20), "image/png")
    )
    assert (document.width, document.height) == (30, 20)
    again = Document.objects.get()
    with requests_sent() as sent:
        assert (again.width, again.height) == (30, 20)
    assert sent == []
    assert (again.photo.width, again.photo.height) == (30, 20)
    with again.photo.open() as file, Image.open(file) as image:
        image.load()
        assert image.size == (30, 20)


def test_a_large_image_is_not_fetched_whole_for_its_dimensions(site: Settings) -> None:
    ts.save("large.png", ImageFile(io.BytesIO(picture(1100, 900))))
    with Proxy(site.TAHOE_STORAGE_BASE_URL) as proxy:
        site.TAHOE_STORAGE_BASE_URL = proxy.url
        with ts.open("large.png") as file:
            assert file.size > 2_500_000
            assert get_image_dimensions(file) == (1100, 900)
        proxy.settle()
        assert sum(seen.received for seen in proxy.seen) < 1_000_000


def test_a_thumbnail_is_written_beside_its_image() -> None:
    document = Document.objects.create(
        photo=SimpleUploadedFile("p.png", picture(300, 200), "image/png")
    )
    with document.photo.open() as source, Image.open(source) as image:
        image.thumbnail((30, 30))
        with ts.open("photos/p.thumb.png", "wb") as target:
            image.save(target, "PNG")
    with ts.open("photos/p.thumb.png") as file, Image.open(file) as image:
        assert image.size == (30, 20)
