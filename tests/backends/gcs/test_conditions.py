"""Stores that speak as Google's does, and ignore what they are asked to refuse.

The two emulators are the real ones: nothing stands before them here.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.core.checks import ERROR, run_checks
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage import env
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.gcs.conditions import AT_ONCE, is_google_s_own
from tahoestorage.exceptions import NotConditional, StoreForbids, StoreUnreachable
from tests.support.gcs_servers import GCS, LOSE, refusal, running_fake_gcs
from tests.support.gcs_storages import PIECE, Make, read, save

MARK = ".tahoestorage-trial"


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fake-gcs-server for all tests."""
    with running_fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as port:
        yield f"http://127.0.0.1:{port}"


def at(url: str, gcs: GCS, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Return a storage at a server that the environment names, in a new bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    name = f"bucket-{threading.get_native_id()}-{len(options)}"
    body = {"name": name}
    requests.post(f"{url}/storage/v1/b?project=tests", json=body, timeout=60)
    defaults = {**gcs.options, "conditional_writes": False, "cache": False}
    return GCSStorage(**{**defaults, "bucket_name": name, **options})


def everything(storage: GCSStorage) -> list[str]:
    """Return the names of all objects in the bucket, also of those that are hidden."""
    return sorted(blob.name for blob in storage.client.list_blobs(storage.bucket_name))


def untrusting(make: Make, **options: Any) -> GCSStorage:
    """Return a storage that tries its store, as if nobody had yet."""
    storage = make(conditional_writes=False, **options)
    storage._connection.honoured.clear()
    return storage


# Who is tried


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://storage.googleapis.com", True),
        ("https://storage.me-central2.rep.googleapis.com", True),
        ("https://storage-mine.p.googleapis.com", True),
        ("https://storage.cloud.example", True),
        ("https://googleapis.com.example", False),
        ("https://notgoogleapis.com", False),
        ("http://127.0.0.1:4443", False),
        ("", False),
    ],
)
def test_google_s_own_servers_are_known(url: str, expected: bool) -> None:
    client = SimpleNamespace(api_endpoint=url, universe_domain="cloud.example")
    assert is_google_s_own(client) is expected


def test_google_s_own_servers_are_not_tried(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "tahoestorage.backends.gcs.writing"
    monkeypatch.setattr(f"{module}.is_google_s_own", lambda client: True)
    storage = make(conditional_writes=False)
    assert storage.conditional(thorough=True)
    storage.copy(save(storage, "a"), "b")
    assert "delete" not in gcs.front.kinds


def test_the_operator_s_word_is_enough(gcs: GCS, make: Make) -> None:
    storage = make(conditional_writes=True)
    assert storage.conditional(thorough=True)
    assert gcs.front.kinds == ["list"]


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_url_may_say_it(scheme: str) -> None:
    url = f"{scheme}://media?conditional_writes=true"
    storage: Any = env.storage_from_url(url)
    assert storage.conditional_writes is True


# The trial


def test_a_store_is_tried_once_for_each_kind_of_request(
    gcs: GCS, make: Make, small_pieces: dict[str, int]
) -> None:
    storage = untrusting(make, location="media", **small_pieces)
    gcs.front.reset()
    name = save(storage, "dir/a")
    trial, own = gcs.front.sent[:-1], gcs.front.sent[-1]
    assert own.kind == "upload"
    kinds = collections.Counter(sent.kind for sent in trial)
    assert kinds == {"upload": AT_ONCE + 1, "stat": 1, "list": 1, "delete": 1}
    for sent in trial:
        assert MARK in sent.path + str(sent.query) + str(sent.body)
        where = sent.path + str(sent.query) + str(sent.body)
        # Beside the file: nowhere else may the credentials be good for anything.
        assert f"media/dir/{MARK}" in where.replace("%2F", "/")
    gcs.front.sent.clear()
    save(storage, "dir/b")
    save(make(conditional_writes=False, cache=False, location="media"), "c")
    assert gcs.front.kinds == ["upload"] * 2
    gcs.front.sent.clear()
    save(storage, "long", b"x" * (PIECE + 1))
    assert gcs.front.kinds.count("session") == AT_ONCE + 2
    gcs.front.sent.clear()
    storage.move(name, "moved")
    # Its own is one more, and the last request deletes the old name.
    assert gcs.front.kinds.count("rewrite") == AT_ONCE + 2
    assert gcs.front.kinds[-1] == "delete"
    assert everything(storage) == [
        "media/c",
        "media/dir/b",
        "media/long",
        "media/moved",
    ]


def test_what_visitors_upload_themselves_is_tried_as_they_send_it(
    gcs: GCS, make: Make
) -> None:
    storage = untrusting(make)
    gcs.front.reset()
    upload = storage.upload_url("dir/a", "text/plain", 7)
    assert gcs.front.kinds == ["other"] * (AT_ONCE + 1) + ["stat", "list", "delete"]
    assert everything(storage) == []
    sent = requests.put(upload.url, b"content", headers=upload.headers, timeout=60)
    assert sent.status_code == 200
    assert read(storage, "dir/a") == b"content"


def test_threads_that_save_at_once_share_a_trial(gcs: GCS, make: Make) -> None:
    storage = untrusting(make)
    gcs.front.reset()
    threads = [
        threading.Thread(target=save, args=(storage, f"{number}"))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gcs.front.kinds.count("upload") == AT_ONCE + 1 + 6
    assert everything(storage) == [str(number) for number in range(6)]


def test_what_a_trial_left_is_hidden(make: Make) -> None:
    # As by a process that was killed in one.
    storage = make(location="media")
    save(storage, "dir/a")
    for key in (f"media/{MARK}-1", f"media/dir/{MARK}-1-copy"):
        storage.bucket.blob(key).upload_from_string(b"x")
    assert storage.listdir("") == (["dir"], [])
    assert storage.listdir("dir") == ([], ["a"])
    assert [name for name, _ in storage.listed("")] == ["dir/a"]


def test_a_server_that_looks_first_and_writes_later_is_found_out(
    gcs: GCS, make: Make
) -> None:
    storage = untrusting(make)
    gcs.front.hasty.add("upload")
    with pytest.raises(NotConditional, match="upload"):
        save(storage, "a")
    assert everything(storage) == []
    gcs.front.reset()
    storage = untrusting(make)
    save(storage, "a")
    gcs.front.hasty.add("rewrite")
    with pytest.raises(NotConditional, match="rewrite"):
        storage.copy("a", "b")
    assert everything(storage) == ["a"]


def test_what_was_believed_is_tried_again_by_a_thorough_trial(
    gcs: GCS, make: Make
) -> None:
    storage = untrusting(make)
    assert storage.conditional()
    gcs.front.hasty.add("rewrite")
    assert storage.conditional()
    assert not storage.conditional(thorough=True)
    assert everything(storage) == []


@pytest.mark.usefixtures("undaunted")
def test_a_lost_response_is_not_held_against_a_store(gcs: GCS, make: Make) -> None:
    storage = untrusting(make)
    gcs.front.play("upload", *[LOSE] * AT_ONCE)
    assert save(storage, "a") == "a"
    assert everything(storage) == ["a"]


@pytest.mark.usefixtures("impatient")
def test_a_trial_that_fails_is_no_response(gcs: GCS, make: Make) -> None:
    storage = untrusting(make)
    gcs.front.play("upload", *[refusal(503, "Backend Error")] * 200)
    with pytest.raises(StoreUnreachable):
        save(storage, "a")
    gcs.front.reset()
    gcs.front.play("upload", *[refusal(403, "Denied")] * AT_ONCE)
    with pytest.raises(StoreForbids, match="Storage Object User"):
        save(storage, "a")
    gcs.front.reset()
    assert save(storage, "a") == "a"


# Two emulators, as they are


@pytest.mark.parametrize("content", [b"short", b"x" * (PIECE + 1)], ids=len)
def test_nothing_is_saved_where_every_condition_is_ignored(
    gcs: GCS,
    monkeypatch: pytest.MonkeyPatch,
    small_pieces: dict[str, int],
    content: bytes,
) -> None:
    url = f"http://127.0.0.1:{gcs.front.emulator}"
    storage = at(url, gcs, monkeypatch, **small_pieces)
    over = at(url, gcs, monkeypatch, allow_overwrite=True, **small_pieces)
    over.bucket_name = storage.bucket_name
    save(over, "there", b"theirs")
    with pytest.raises(NotConditional, match=r"a: http://.* \(ifGenerationMatch: "):
        save(storage, "a", content)
    with (
        pytest.raises(NotConditional, match="or set allow_overwrite"),
        storage.open("a", "xb") as file,
    ):
        file.write(content)
    with pytest.raises(NotConditional, match="ifGenerationMatch: rewrite"):
        storage.copy("there", "a")
    with pytest.raises(NotConditional, match="ifGenerationMatch: signed upload"):
        storage.upload_url("a", "text/plain", 5)
    reference = next(entry.reference for _, entry in storage.listed(""))
    with pytest.raises(NotConditional, match="ifGenerationMatch: delete"):
        storage._discard("there", only=reference)
    assert not storage.conditional()
    assert everything(storage) == ["there"]
    # Whoever says that files may be overwritten needs no condition.
    assert save(over, "there", content) == "there"
    with pytest.raises(NotConditional) as caught:
        over.upload_url("a", "text/plain", 5)
    # Nor the advice to say so.
    assert "set conditional_writes" in str(caught.value)
    assert "allow_overwrite" not in str(caught.value)
    assert read(over, "there") == content
    over.delete("there")
    assert everything(storage) == []


def test_what_one_kind_of_request_heeds_is_relied_upon_there_alone(
    gcs: GCS,
    fake_gcs: str,
    monkeypatch: pytest.MonkeyPatch,
    small_pieces: dict[str, int],
) -> None:
    storage = at(fake_gcs, gcs, monkeypatch, **small_pieces)
    names: dict[str, bytes] = {}

    def one(number: int) -> None:
        content = b"content %d" % number
        names[save(storage, "dir/a.txt", content)] = content

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: read(storage, name) for name in names} == names
    assert everything(storage) == sorted(names)
    assert len(names) == 16
    with pytest.raises(NotConditional, match="resumable upload"):
        save(storage, "long", b"x" * (PIECE + 1))
    with pytest.raises(NotConditional, match="rewrite"):
        storage.move("dir/a.txt", "b")
    with pytest.raises(NotConditional, match="delete"):
        storage._discard("dir/a.txt", only="generation=1")
    with pytest.raises(NotConditional, match="signed upload"):
        storage.upload_url("b", "text/plain", 5)
    assert everything(storage) == sorted(names)


@pytest.mark.parametrize("which", ["fake-gcs-server", "gcp-storage-emulator"])
def test_check_deploy_finds_them_out(
    gcs: GCS,
    fake_gcs: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    which: str,
) -> None:
    here = f"http://127.0.0.1:{gcs.front.emulator}"
    url = fake_gcs if which == "fake-gcs-server" else here
    storage = at(url, gcs, monkeypatch)
    options = {**gcs.options, "bucket_name": storage.bucket_name, "cache": False}
    backend = "tahoestorage.backends.gcs.GCSStorage"

    def found(**more: Any) -> list[str | None]:
        default = {"BACKEND": backend, "OPTIONS": {**options, **more}}
        settings.STORAGES = {"default": default}
        checks = run_checks(tags=["files"], include_deployment_checks=True)
        return [message.id for message in checks if message.level >= ERROR]

    assert found(conditional_writes=False) == ["tahoestorage.E007"]
    # What was learnt of it does not end the matter: it may be another by now.
    for known in storage._connection.honoured:
        storage._connection.honoured[known] = True
    assert found(conditional_writes=False) == ["tahoestorage.E007"]
    assert found(conditional_writes=True) == []
    assert found(conditional_writes=False, file_overwrite=True) == []
    assert everything(storage) == []
    assert storage.save("a", ContentFile(b"")) if which == "fake-gcs-server" else True
