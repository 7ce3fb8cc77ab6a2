"""What may go wrong with Google Cloud Storage, and what is said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from google.api_core.exceptions import GoogleAPICallError

from tahoestorage import schemes
from tahoestorage.backends.gcs import GCSStorage, clients
from tahoestorage.exceptions import (
    StoreError,
    StoreForbids,
    StoreUnreachable,
    TahoeStorageError,
)
from tests.support.authority import own_authority
from tests.support.gcs_servers import GCS, HANG_UP, STALL, refusal
from tests.support.gcs_storages import Make, chain, read, save
from tests.support.ports import free_port
from tests.support.proxy import Proxy

ACTS: dict[str, tuple[str, Callable[[GCSStorage], object]]] = {
    "exists": ("stat", lambda s: s.exists("some/file")),
    "size": ("stat", lambda s: s.size("some/file")),
    "open": ("read", lambda s: s.open("some/file")),
    "save": ("upload", lambda s: make_over(s).save("some/file", ContentFile(b"c"))),
    "delete": ("delete", lambda s: s.delete("some/file")),
    "copy": ("rewrite", lambda s: s.copy("there", "some/file")),
    "listdir": ("list", lambda s: s.listdir("some/file")),
    "prefetch": ("list", lambda s: s.prefetch("some/file").__enter__()),
}


def make_over(storage: GCSStorage) -> GCSStorage:
    """Return the storage so that a save asks for nothing but the upload."""
    storage.file_overwrite = True
    return storage


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("play", "expected"),
    [
        (refusal(401, "Invalid Credentials"), StoreForbids),
        (refusal(403, "caller does not have storage.objects access"), StoreForbids),
        (refusal(400, "Invalid argument"), StoreError),
        (refusal(429, "Too Many Requests"), StoreUnreachable),
        (refusal(503, "Backend Error"), StoreUnreachable),
        (HANG_UP, StoreUnreachable),
    ],
    ids=["401", "403", "400", "429", "503", "hang-up"],
)
def test_errors_are_ours_and_name_the_file(
    gcs: GCS,
    make: Make,
    act: str,
    play: Any,
    expected: type[StoreError],
) -> None:
    kind, ask = ACTS[act]
    storage = make(cache=False)
    save(storage, "there")
    gcs.front.play(kind, *[play] * 50)
    if act == "open":  # which looks whether an old entry helps
        gcs.front.play("stat", *[play] * 50)
    with pytest.raises(expected, match="some/file") as caught:
        ask(storage)
    assert type(caught.value) is expected
    assert isinstance(caught.value, OSError)
    # Of the library's error just what the store said: others hold headers with tokens.
    for error in chain(caught.value):
        if isinstance(error, GoogleAPICallError):
            assert (error.response, error.errors, error.details) == (None, [], [])
            assert error.__traceback__ is None
            assert "http" not in str(error)
        else:
            assert isinstance(error, TahoeStorageError)
    if play != HANG_UP and act != "open":
        assert isinstance(caught.value.__cause__, GoogleAPICallError)
    shown = str(caught.value)
    assert "token" not in shown
    assert "http" not in shown
    if play != HANG_UP:  # what Google says of it
        assert json.loads(play.body)["error"]["message"] in shown


@pytest.mark.usefixtures("impatient")
def test_a_store_that_stalls_is_unreachable(
    gcs: GCS, storage: GCSStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clients.CALL, "timeout", 0.3)
    gcs.front.play("stat", STALL, STALL, STALL)
    with pytest.raises(StoreUnreachable, match="a/b"):
        storage.exists("a/b")


@pytest.mark.usefixtures("impatient")
def test_nobody_listening_is_unreachable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    storage = make()
    with pytest.raises(StoreUnreachable, match="a/b"):
        storage.exists("a/b")
    with pytest.raises(ConnectionError):
        storage.save("a/b", ContentFile(b"c"))


@pytest.mark.usefixtures("undaunted")
def test_a_passing_error_is_waited_for(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", b"content")
    for kind in ("stat", "read", "list", "delete"):
        gcs.front.play(kind, refusal(503, "Backend Error"), HANG_UP)
    assert make_fresh(storage).exists("a")
    assert read(make_fresh(storage), "a") == b"content"
    assert storage.listdir("") == ([], ["a"])
    storage.delete("a")
    assert not make_fresh(storage).exists("a")


def make_fresh(storage: GCSStorage) -> GCSStorage:
    """Return a storage of the same bucket that knows nothing yet."""
    fresh = copy.copy(storage)
    fresh._cache_given = False
    return fresh


def test_a_missing_bucket_is_no_missing_file(make: Make) -> None:
    storage = make(bucket_name="there-is-no-such-bucket")
    acts: list[Callable[[], object]] = [
        lambda: storage.exists("a"),
        lambda: storage.open("a"),
        lambda: storage.listdir(""),
        lambda: storage.delete("a"),
        lambda: make_over(storage).save("a", ContentFile(b"a")),
        lambda: storage.conditional(),
    ]
    for act in acts:
        with pytest.raises(StoreError, match="bucket") as caught:
            act()
        assert not isinstance(caught.value, FileNotFoundError)


def test_a_listing_is_of_a_bucket_and_not_of_a_file(
    gcs: GCS, storage: GCSStorage
) -> None:
    gcs.front.play("list", refusal(404, "Not Found"))
    with pytest.raises(StoreError, match="bucket"):
        storage.listdir("a")


def test_no_bucket_at_all_is_a_wrong_configuration(make: Make) -> None:
    with pytest.raises(ImproperlyConfigured, match="GS_BUCKET_NAME"):
        make(bucket_name=None).exists("a")


@pytest.mark.usefixtures("impatient")
def test_a_token_that_is_refused_or_not_to_be_had(gcs: GCS, make: Make) -> None:
    refused = make(credentials=gcs.accounts.credentials(), cache=False)
    gcs.accounts.responses["token"] = refusal(400, "invalid_grant")
    with pytest.raises(StoreForbids, match="credentials"):
        refused.exists("a")
    gcs.accounts.responses["token"] = refusal(503, "unavailable")
    with pytest.raises(StoreUnreachable):
        make(credentials=gcs.accounts.credentials(), cache=False).exists("a")
    unreachable = gcs.accounts.key_file() | {"token_uri": "http://127.0.0.1:1/token"}
    kind = type(gcs.options["credentials"])
    away = make(credentials=kind.from_service_account_info(unreachable), cache=False)
    with pytest.raises(StoreUnreachable):
        away.exists("a")


def test_no_credentials_is_said_so(
    make: Make, gcs: GCS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StoreForbids, match="GOOGLE_APPLICATION_CREDENTIALS"):
        make(credentials=None).exists("a")


def test_the_store_is_asked_whether_it_can_refuse(
    gcs: GCS, storage: GCSStorage
) -> None:
    assert storage.conditional()
    assert gcs.front.kinds == ["list"]
    assert gcs.front.sent[0].query["maxResults"] == "1"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("spoken", ["https", "http"])
def test_the_wrong_one_of_http_and_https_is_told(
    gcs: GCS,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    spoken: str,
) -> None:
    monkeypatch.setattr(schemes, "PROBE_SECONDS", 60.0)
    context = own_authority(tmp_path)[0] if spoken == "https" else None
    other = "http" if spoken == "https" else "https"
    with Proxy(gcs.front.url, context) as server:
        wrong = server.url.replace(spoken, other, 1)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", wrong)
        storage = make(cache=False, conditional_writes=True)
        acts: list[Callable[[], object]] = [
            lambda: storage.exists("a"),
            lambda: storage.open("a"),
            lambda: storage.listdir(""),
            lambda: save(storage, "a"),
        ]
        told = f"not {other}; set STORAGE_EMULATOR_HOST to {server.url}$"
        for act in acts:
            with pytest.raises(StoreUnreachable, match=told):
                act()
