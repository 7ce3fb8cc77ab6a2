"""manage.py storage_uploads: what killed uploads left behind."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from tests.support.s3_servers import S3Server
from tests.support.s3_storages import unfinished


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("storage_uploads", *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def storage(settings: Settings, weed: S3Server) -> Any:
    from django.core.files.storage import storages

    options = {**weed.options, "bucket_name": weed.make_bucket(), "location": "media"}
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.backends.s3.S3Storage",
            "OPTIONS": {**options, "cache": False},
        },
        "memory": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    client = weed.client()
    for key in ("media/a", "media/b\nc", "elsewhere"):
        client.create_multipart_upload(Bucket=options["bucket_name"], Key=key)
    client.close()
    return storages["default"]


def test_uploads_are_listed_and_those_of_the_location_ended(storage: Any) -> None:
    assert run() == "0 unfinished uploads.\n"
    text = run("--older-than", "0s")
    assert "2 unfinished uploads." in text
    assert "b\\nc" in text
    document = json.loads(run("default", "--older-than", "0s", "--abort", "--json"))
    assert document["aborted"] is True
    assert sorted(each["name"] for each in document["uploads"]) == ["a", "b\nc"]
    assert [each["Key"] for each in unfinished(storage)] == ["elsewhere"]
    assert run("--older-than", "0s", "--abort") == "0 unfinished uploads, ended.\n"


def test_what_is_wrong_is_said(storage: Any) -> None:
    with pytest.raises(CommandError, match="is not on S3"):
        run("memory")
    with pytest.raises(CommandError, match="such as 90m"):
        run("--older-than", "soon")
    with pytest.raises(CommandError, match="no-such"):
        run("no-such")


def test_ctrl_c_says_what_is_done_and_what_is_not(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tahoestorage.backends.s3.unfinished.abort", interrupted)
    with pytest.raises(CommandError, match="run it again for the rest") as caught:
        run("--older-than", "0s", "--abort")
    assert caught.value.returncode == 130
    assert len(unfinished(storage)) == 3
