"""Storages travel: copied, pickled, written into migrations; root caps do not."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.db.migrations.writer import MigrationWriter
from django.utils.deconstruct import deconstructible
from pytest_django.fixtures import Settings

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage

CAP = (
    "URI:DIR2:2zgsvo63fldyrs2gntpdpeekve:"
    "3auxwfs5izzhdjftw6wgqp34omrvpfu6aqkambcbih5ppucyw54a"
)
SECRETS = re.compile(r"URI|2zgsvo63fldyrs2gntpdpeekve|3auxwfs5izzhdjftw6wgqp34o")


def travelled(storage: Any, protocol: int | None = None) -> Any:
    """Return what arrives when a storage is sent as a pickle."""
    return pickle.loads(pickle.dumps(storage, protocol))  # noqa: S301


class Labelled(TahoeStorage):
    """A subclass that keeps something of its own."""

    def __init__(self, label: str = "none") -> None:
        super().__init__(base_cap=CAP, allow_overwrite=True)
        self.label = label


@deconstructible
class Decorated(TahoeStorage):
    """A subclass as Django's documentation asks for."""


@deconstructible(path="tests.backends.test_pickling.Decorated")
class DecoratedTwice(Decorated):
    """A subclass of that."""


# Copies


def test_copies_keep_the_cap_within_the_process(
    storage: TahoeStorage, tahoe_grid: LocalGrid
) -> None:
    storage.save("f", ContentFile(b"content"))
    for copied in (
        copy.copy(storage),
        copy.deepcopy(storage),
        *copy.deepcopy([storage]),
    ):
        assert copied is not storage
        assert copied.listdir("") == ([], ["f"])


def test_copies_keep_what_a_subclass_added() -> None:
    for copied in (
        copy.copy(Labelled("mine")),
        copy.deepcopy(Labelled("mine")),
        travelled(Labelled("mine")),
    ):
        assert type(copied) is Labelled
        assert copied.label == "mine"
        assert copied._given["allow_overwrite"] is True


def test_copies_follow_the_settings(settings: Settings) -> None:
    settings.TAHOE_STORAGE_RETRIES = 1
    original = TahoeStorage()
    assert original.options.retries == 1
    for copied in (
        copy.copy(original),
        copy.deepcopy(original),
        travelled(original),
    ):
        assert copied.options.retries == 1
        settings.TAHOE_STORAGE_RETRIES = 2
        assert copied.options.retries == 2
        settings.TAHOE_STORAGE_RETRIES = 1


def test_a_storage_that_is_dropped_is_gone() -> None:
    # Listening to the settings does not keep it.
    gone = weakref.ref(copy.copy(TahoeStorage()))
    gc.collect()
    assert gone() is None


# Pickles


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_no_secret(protocol: int) -> None:
    storage = TahoeStorage(base_cap=CAP, retries=5)
    assert not SECRETS.search(pickle.dumps(storage, protocol).decode("latin-1"))
    assert travelled(storage, protocol)._given == {"retries": 5}


def test_a_pickle_does_not_ask_for_settings_that_are_not_there() -> None:
    assert travelled(TahoeStorage())._given == {}


def test_unpickled_it_takes_the_setting_of_the_same_root(
    storage: TahoeStorage, settings: Settings, root: Cap, make_storage: MakeStorage
) -> None:
    storage.save("f", ContentFile(b"content"))
    unpickled = travelled(storage)
    with pytest.raises(ImproperlyConfigured, match="No root cap is set"):
        unpickled.exists("f")
    settings.TAHOE_STORAGE_BASE_CAP = root.uri
    assert unpickled.exists("f")
    # A read cap of that root will do; what it may is what this site may.
    settings.TAHOE_STORAGE_BASE_CAP = root.read_only.uri
    assert unpickled.exists("f")
    with pytest.raises(PermissionError):
        unpickled.save("g", ContentFile(b""))


@pytest.mark.parametrize("times", [1, 2])
def test_unpickled_it_does_not_take_another_root(
    storage: TahoeStorage, settings: Settings, tahoe_grid: LocalGrid, times: int
) -> None:
    settings.TAHOE_STORAGE_BASE_CAP = tahoe_grid.create_root().uri
    for _ in range(times):
        storage = travelled(storage)
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="another root"):
            storage.exists("f")


# Migrations


def test_deconstruction_gives_what_was_given_but_for_the_cap() -> None:
    options: dict[str, Any] = {
        "allow_overwrite": True,
        "cache": {"lifetime": 9},
        "retries": 1,
    }
    for cap in (CAP, Cap.parse(CAP), None, ""):
        storage = TahoeStorage(base_cap=cap, **options)
        path, arguments, keywords = storage.deconstruct()
        assert path == "tahoestorage.storage.TahoeStorage"
        assert arguments == ()
        assert keywords == options
    assert Labelled().deconstruct()[0] == "tests.backends.test_pickling.Labelled"


@pytest.mark.parametrize("kind", [TahoeStorage, Labelled, Decorated, DecoratedTwice])
def test_what_is_written_shows_no_secret(kind: type[TahoeStorage]) -> None:
    storage = Labelled("x") if kind is Labelled else kind(base_cap=CAP, retries=5)
    written, _ = MigrationWriter.serialize(storage)
    assert kind.__name__.removesuffix("Twice") in written
    assert ("retries=5" in written) is (kind is not Labelled)
    for text in (written, repr(storage), str(storage), f"{vars(storage)}"):
        assert not SECRETS.search(text.replace("'URI:***'", ""))


MODELS = """
from django.db import models
from django.utils.deconstruct import deconstructible
from tahoestorage.storage import TahoeStorage

@deconstructible
class Decorated(TahoeStorage):
    pass

def chosen():
    return TahoeStorage(base_cap={cap!r})

class Document(models.Model):
    literal = models.FileField(storage=TahoeStorage(base_cap={cap!r}, retries=5))
    decorated = models.FileField(storage=Decorated(base_cap={cap!r}))
    bare = models.FileField(storage=TahoeStorage())
    called = models.FileField(storage=chosen)
    kind = models.FileField(storage=TahoeStorage)
"""
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["tahoestorage", "documents"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""


def manage(site: Path, *arguments: str) -> str:
    """Run a management command of a site, as its developer does."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"}
    run = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=site,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_makemigrations_writes_no_cap_and_is_content_afterwards(
    tmp_path: Path,
) -> None:
    app = tmp_path / "documents"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "models.py").write_text(MODELS.format(cap=CAP), "utf-8")
    (tmp_path / "site_settings.py").write_text(SETTINGS, "utf-8")
    said = manage(tmp_path, "makemigrations", "documents")
    written = (app / "migrations" / "0001_initial.py").read_text("utf-8")
    assert not SECRETS.search(said + written)
    assert "tahoestorage.storage.TahoeStorage(retries=5)" in written
    assert "documents.models.Decorated()" in written
    assert "storage=documents.models.chosen" in written
    assert "No changes" in manage(tmp_path, "makemigrations", "--check")
    manage(tmp_path, "migrate")


# Forks


# Newer Pythons warn of every fork beside threads.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_fork_while_options_are_read_takes_no_lock_along(
    tmp_path: Path, make_storage: MakeStorage
) -> None:
    pipe = tmp_path / "cap"
    os.mkfifo(pipe)
    slow = TahoeStorage(base_cap_file=pipe)
    thread = threading.Thread(target=lambda: slow.options.root)
    thread.start()
    other = make_storage()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if other.options.root.is_writable else 1)
    pipe.write_text(CAP)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert slow.options.root.uri == CAP
