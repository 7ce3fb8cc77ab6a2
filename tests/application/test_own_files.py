"""`storage_orphans` knows which files in a store are the application's."""

from __future__ import annotations

import io
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from objects.models import Version
from pages.models import Thumbnail
from tests.application.stores import put, store_entry
from uploads.models import Upload, UploadPart

pytestmark = pytest.mark.django_db
COMMAND = "tahoestorage.management.commands.storage_orphans"


def test_versions_parts_thumbnails_and_quarantine_are_no_orphans(
    user: User,
    settings: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.STORAGES = {"default": store_entry("files", tmp_path, request)}
    storage = storages["default"]
    version, lost = put(user, b"kept", "a"), put(user, b"lost", "b")
    small = Thumbnail.objects.create(version=version, store="default", key="thumb/a")
    upload = Upload.objects.create(
        kind=Upload.Kind.TUS,
        store="default",
        size=9,
        expires_at=timezone.now() + timedelta(days=1),
    )
    UploadPart.objects.create(upload=upload, start=0, key="uploads/1/0")
    UploadPart.objects.create(upload=upload, start=5, key="uploads/1/not-there")
    nobodys = ["tenants/1/aa/nobody", "thumb/b", "uploads/1/1"]
    for name in (small.key, "uploads/1/0", "quarantine/2026-01-01/x", *nobodys):
        storage.save(name, ContentFile(b"1"))
    storage.delete(lost.key)
    monkeypatch.setattr(f"{COMMAND}.epoch_now", lambda: time.time() + 2 * 86400)

    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("storage_orphans", "--json", stdout=out, stderr=io.StringIO())

    found = json.loads(out.getvalue())
    assert caught.value.returncode == 1
    assert found["orphan_names"] == nobodys
    assert [each["name"] for each in found["missing_names"]] == [lost.key]
    assert found["missing_names"][0]["by"] == "objects.ownfiles.versions"
    assert Version.objects.filter(store="default").count() == 2
