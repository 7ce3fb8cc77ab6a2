"""Storages on Google Cloud Storage that travel, without their credentials."""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.migrations.writer import MigrationWriter
from pytest_django.fixtures import Settings

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.config.secrets import KeyFile
from tests.support.gcs_servers import GCS, wrong_signature
from tests.support.gcs_storages import Make, headers_of, of_cloud_run, read, save
from tests.support.leaks import everything_logged

SECRET = re.compile(r"PRIVATE KEY|secret-token|private_key")


def travelled(storage: GCSStorage) -> GCSStorage:
    """Return what arrives when a storage is sent as a pickle."""
    pickled = pickle.dumps(storage)
    assert SECRET.search(pickled.decode("latin-1")) is None
    arrived: GCSStorage = pickle.loads(pickled)  # noqa: S301
    return arrived


class Labelled(GCSStorage):
    """A subclass that keeps something of its own."""

    def __init__(self, label: str = "none", **options: Any) -> None:
        super().__init__(**options)
        self.label = label


def test_copies_keep_their_credentials(storage: GCSStorage) -> None:
    save(storage, "a")
    for other in (copy.copy(storage), *copy.deepcopy([storage])):
        assert other is not storage
        assert other.credentials is storage.credentials
        assert read(other, "a") == b"content"
        assert other.deconstruct() == storage.deconstruct()


def test_a_pickle_takes_its_credentials_from_the_settings(
    gcs: GCS, make: Make, settings: Settings
) -> None:
    save(make(), "a")
    for each in (make(), travelled_with(settings, gcs, make())):
        settings.GS_CREDENTIALS = gcs.accounts.credentials()
        arrived = travelled(each)
        assert arrived.credentials is settings.GS_CREDENTIALS
        assert read(arrived, "a") == b"content"
        assert arrived.bucket_name == each.bucket_name


def travelled_with(settings: Settings, gcs: GCS, storage: GCSStorage) -> GCSStorage:
    settings.GS_CREDENTIALS = gcs.accounts.credentials()
    return travelled(storage)


def test_credentials_by_hand_that_are_gone_are_missed_when_they_are_needed(
    gcs: GCS, make: Make, settings: Settings
) -> None:
    kind = type(gcs.options["credentials"])
    other = gcs.accounts.key_file() | {"client_email": "other@tests.example"}
    for settings.GS_CREDENTIALS in (None, kind.from_service_account_info(other)):
        arrived = travelled(travelled(make()))
        for ask in (arrived.exists, arrived.url):
            with pytest.raises(ImproperlyConfigured, match="GS_CREDENTIALS"):
                ask("a")


def test_credentials_of_the_settings_are_nobody_s_by_hand(
    gcs: GCS, bucket: str, settings: Settings
) -> None:
    settings.GS_CREDENTIALS = gcs.accounts.credentials()
    storage = GCSStorage(bucket_name=bucket, project_id="tests", cache=False)
    save(storage, "a")
    settings.GS_CREDENTIALS = None
    # The environment's, which are none on an emulator.
    assert read(travelled(storage), "a") == b"content"


def test_the_credentials_of_a_key_file_travel_as_its_path(
    gcs: GCS, make: Make, tmp_path: Path
) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(gcs.accounts.key_file()))
    storage = make(credentials=KeyFile(str(file)))
    url = storage.url("a")
    assert wrong_signature("GET", url, headers_of(url)) is None
    arrived = travelled(storage)
    save(arrived, "a")
    assert read(arrived, "a") == b"content"
    assert "credentials" not in arrived.deconstruct()[2]


def test_a_migration_has_no_credentials(make: Make) -> None:
    storage = make(location="media")
    path, arguments, options = storage.deconstruct()
    assert path == "tahoestorage.backends.gcs.GCSStorage"
    assert arguments == ()
    options.pop("conditional_writes")
    assert options.keys() == {"project_id", "bucket_name", "location", "cache"}
    written, imports = MigrationWriter.serialize(storage)
    assert "location='media'" in written
    assert SECRET.search(written) is None
    assert imports == {"import tahoestorage.backends.gcs"}
    assert SECRET.search(repr(storage)) is None


def test_subclasses_travel(gcs: GCS, make: Make, settings: Settings) -> None:
    settings.GS_CREDENTIALS = gcs.accounts.credentials()
    options = {**gcs.options, "bucket_name": make().bucket_name, "cache": False}
    storage = Labelled("mine", **options)
    for other in (travelled(storage), copy.copy(storage), copy.deepcopy(storage)):
        assert isinstance(other, Labelled)
        assert other.label == "mine"
        assert not other.exists("a")


def test_nothing_secret_is_logged(make: Make) -> None:
    with everything_logged() as lines:
        storage = make(credentials=of_cloud_run())
        save(storage, "a")
        read(storage, "a")
        storage.url("a")
    assert lines
    assert [line for line in lines if SECRET.search(line)] == []
