"""Storages that are made anew from ``deconstruct`` as JSON, as Wagtail's tasks do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db.migrations.writer import MigrationWriter
from django.utils.module_loading import import_string
from pytest_django.fixtures import Settings

from tahoestorage.config.secrets import KeyFile
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support.gcs_servers import GCS
from tests.support.s3_servers import S3Server

BACKENDS = {
    "tahoe": "tahoestorage.storage.TahoeStorage",
    "s3": "tahoestorage.backends.s3.S3Storage",
    "gcs": "tahoestorage.backends.gcs.GCSStorage",
}
on_all = pytest.mark.parametrize("kind", [*BACKENDS])
Options = Callable[[str], dict[str, Any]]


@pytest.fixture
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Options:
    """Return what makes the options of a store of its own, secrets among them."""

    def made(kind: str) -> dict[str, Any]:
        cache = {"directory": tmp_path / "cache", "lifetime": 60}
        if kind == "tahoe":
            grid: LocalGrid = request.getfixturevalue("tahoe_grid")
            cap = grid.create_root().uri
            return {"base_url": grid.base_url, "base_cap": cap, "cache": cache}
        if kind == "s3":
            s3: S3Server = request.getfixturevalue("moto")
            more = {"gzip_content_types": ("text/css",), "client_config": Config()}
            bucket = {"bucket_name": s3.make_bucket()}
            return {**s3.options, **more, **bucket, "cache": cache}
        gcs: GCS = request.getfixturevalue("gcs")
        more = {"expiration": timedelta(hours=2)}
        return {
            **gcs.options,
            **more,
            "bucket_name": gcs.make_bucket(),
            "cache": cache,
        }

    return made


def entries(settings: Settings, **kinds: tuple[str, dict[str, Any]]) -> None:
    settings.STORAGES = {
        alias: {"BACKEND": BACKENDS[kind], "OPTIONS": options}
        for alias, (kind, options) in kinds.items()
    }


def through_json(storage: Storage) -> Storage:
    """Make a storage anew as a task does that got it as JSON."""
    deconstructed = json.loads(json.dumps(storage.deconstruct()))  # type: ignore[attr-defined]
    path, arguments, keywords = deconstructed
    made: Storage = import_string(path)(*arguments, **keywords)
    return made


@on_all
def test_a_task_deletes_the_file_that_it_was_told(
    kind: str, options: Options, settings: Settings
) -> None:
    entries(settings, default=(kind, options(kind)), other=(kind, options(kind)))
    for alias in ("default", "other"):
        storages[alias].save("photo.jpg", ContentFile(b"x" * 99))

    through_json(storages["other"]).delete("photo.jpg")

    assert storages["default"].exists("photo.jpg")
    assert not storages["other"].exists("photo.jpg")


@on_all
def test_no_secret_is_in_it(kind: str, options: Options, settings: Settings) -> None:
    entries(settings, default=(kind, options(kind)))
    text = json.dumps(storages["default"].deconstruct())  # type: ignore[attr-defined]
    for secret in ("URI:", "testkey", "test-secret", "PRIVATE", "secret_key"):
        assert secret not in text
    assert MigrationWriter.serialize(storages["default"])[0]


@on_all
def test_one_that_was_made_anew_is_made_anew_again(
    kind: str, options: Options, settings: Settings
) -> None:
    entries(settings, default=(kind, options(kind)))
    storages["default"].save("a", ContentFile(b"a"))
    again = through_json(through_json(storages["default"]))
    pickled = pickle.loads(pickle.dumps(again))  # noqa: S301
    of_an_entry = pickle.loads(pickle.dumps(storages["default"]))  # noqa: S301
    for storage in (again, pickled, of_an_entry):
        with storage.open("a") as file:
            assert file.read() == b"a"
    storages["default"].delete("a")
    assert not again.exists("a")


@on_all
def test_another_option_is_another_entry(
    kind: str, options: Options, settings: Settings
) -> None:
    given = options(kind)
    entries(settings, default=(kind, given))
    path, _, keywords = storages["default"].deconstruct()  # type: ignore[attr-defined]
    other = import_string(path)(**{**keywords, "allow_overwrite": True})
    if kind == "tahoe":
        with pytest.raises(ImproperlyConfigured, match="No root cap is set"):
            other.exists("a")
    elif kind == "s3":
        assert other.access_key != given["access_key"]
    else:
        assert other.credentials is not given["credentials"]


def test_a_root_of_the_settings_is_not_mistaken_for_that_of_an_entry(
    options: Options, settings: Settings, tahoe_grid: LocalGrid
) -> None:
    given = options("tahoe")
    plain = {key: value for key, value in given.items() if key != "base_cap"}
    settings.TAHOE_STORAGE_BASE_CAP = tahoe_grid.create_root().uri
    entries(settings, default=("tahoe", plain), archive=("tahoe", given))
    for alias in ("default", "archive"):
        storages[alias].save("a", ContentFile(alias.encode()))

    for alias in ("default", "archive"):
        again = through_json(storages[alias])
        with again.open("a") as file:
            assert file.read() == alias.encode()
    through_json(storages["archive"]).delete("a")
    assert storages["default"].exists("a")
    assert "storage_at('archive')" in MigrationWriter.serialize(storages["archive"])[0]


def test_credentials_of_the_environment_stay_where_an_entry_has_them(
    options: Options, settings: Settings
) -> None:
    given = options("s3")
    secrets = {"access_key", "secret_key", "client_config"}
    plain = {key: value for key, value in given.items() if key not in secrets}
    settings.AWS_S3_ACCESS_KEY_ID, settings.AWS_S3_SECRET_ACCESS_KEY = "of", "settings"
    entries(settings, default=("s3", plain), admin=("s3", given))

    assert through_json(storages["default"]).access_key == "of"  # type: ignore[attr-defined]
    admin: Any = through_json(storages["admin"])
    assert admin.access_key == given["access_key"]


def test_paths_and_durations_are_what_they_were(
    options: Options, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "cap"
    given = options("tahoe")
    file.write_text(given.pop("base_cap"))
    storage = TahoeStorage(**given, base_cap_file=file)
    again: Any = through_json(storage)
    assert again.options == storage.options
    assert again.deconstruct()[2]["base_cap_file"] == str(file)
    entries(settings, default=("gcs", options("gcs")))
    again = through_json(storages["default"])
    assert again.expiration == 7200
    assert "X-Goog-Expires=7200" in again.url("a")


def test_no_key_file_is_read_to_tell_entries_apart(
    options: Options, settings: Settings, tmp_path: Path
) -> None:
    given = options("gcs")
    given["credentials"] = KeyFile(str(tmp_path / "none"))
    other = {**given, "credentials": KeyFile(str(tmp_path / "neither"))}
    entries(settings, default=("gcs", given), other=("gcs", other))

    assert through_json(storages["other"]) is storages["other"]
    path, _, keywords = storages["default"].deconstruct()  # type: ignore[attr-defined]
    assert path == "tahoestorage.storage.storage_at"
    del settings.STORAGES["other"]
    path, _, keywords = storages["default"].deconstruct()  # type: ignore[attr-defined]
    made: Any = import_string(path)(**keywords)
    assert made.credentials is given["credentials"]
