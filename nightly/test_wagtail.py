"""Wagtail's images and documents."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.test import Client
from wagtail.documents import get_document_model
from wagtail.images import get_image_model

TEXT = b"Kept by servers that cannot read it. " * 9

pytestmark = pytest.mark.django_db


Commits = Any
"""pytest-django's fixture that runs what waits for a commit."""


def test_an_image_has_renditions_and_both_go_with_it(
    store: Any, picture: Any, django_capture_on_commit_callbacks: Commits
) -> None:
    image = get_image_model().objects.create(title="a picture", file=picture)
    rendition = image.get_rendition("fill-100x80")

    assert (rendition.width, rendition.height) == (100, 80)
    assert store.exists(image.file.name)
    assert store.exists(rendition.file.name)
    assert image.get_file_hash()
    assert rendition.url

    names = image.file.name, rendition.file.name
    with django_capture_on_commit_callbacks(execute=True):
        image.delete()

    assert [store.exists(name) for name in names] == [False, False]


def test_a_document_is_served_and_deleted_by_its_task(
    store: Any, django_capture_on_commit_callbacks: Commits
) -> None:
    file = ContentFile(TEXT, "report.txt")
    document = get_document_model().objects.create(title="a report", file=file)

    response: Any = Client().get(document.url)
    if response.status_code == 302:  # Wagtail's own way of a store with URLs.
        assert "report" in response["Location"]
    else:
        assert b"".join(response.streaming_content) == TEXT
    assert document.get_file_size() == len(TEXT)

    name = document.file.name
    with django_capture_on_commit_callbacks(execute=True):
        document.delete()

    assert not store.exists(name)


def test_two_of_one_name_are_both_there(store: Any) -> None:
    model = get_document_model()
    two = [
        model.objects.create(title=str(number), file=ContentFile(TEXT, "same.txt"))
        for number in range(2)
    ]

    assert len({each.file.name for each in two}) == 2
    assert all(store.size(each.file.name) == len(TEXT) for each in two)
