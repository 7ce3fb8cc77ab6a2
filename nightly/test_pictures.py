"""Libraries that make small pictures of large ones."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import default_storage
from easy_thumbnails.files import Thumbnailer
from imagekit import ImageSpec
from imagekit.cachefiles import ImageCacheFile
from imagekit.processors import ResizeToFill
from PIL import Image
from sorl.thumbnail import get_thumbnail

pytestmark = pytest.mark.django_db


def thumbnailer(store: Any, name: str) -> Thumbnailer:
    return Thumbnailer(name=name, source_storage=store, thumbnail_storage=store)


def size_of(store: Any, name: str) -> tuple[int, int]:
    with store.open(name) as file:
        return Image.open(file).size


def test_easy_thumbnails_makes_one_and_finds_it_again(store: Any, picture: Any) -> None:
    name = store.save("photos/a.jpg", picture)
    options = {"size": (64, 48), "crop": True}

    made = thumbnailer(store, name).get_thumbnail(options)
    again = thumbnailer(store, name).get_existing_thumbnail(options)

    assert size_of(store, made.name) == (64, 48)
    assert again is not None
    assert again.name == made.name


def test_sorl_makes_one(store: Any, picture: Any) -> None:
    name = store.save("photos/a.jpg", picture)

    made = get_thumbnail(name, "64x48", crop="center")

    assert size_of(store, made.name) == (64, 48)


class Small(ImageSpec):
    processors = (ResizeToFill(50, 40),)
    format = "JPEG"


def test_imagekit_makes_one(store: Any, picture: Any) -> None:
    name = store.save("photos/a.jpg", picture)
    with store.open(name) as source:
        spec = ImageCacheFile(Small(source=source), storage=default_storage)
        spec.generate(force=True)

    assert size_of(store, spec.name) == (50, 40)
    assert spec.url
