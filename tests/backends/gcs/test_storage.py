"""Google Cloud Storage: what is known and listed, and the clients.

What every store promises is tested for all of them; this is what is special here.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile

from tahoestorage.backends.gcs import GCSStorage
from tests.support.costs import costs_counted
from tests.support.gcs_servers import GCS
from tests.support.gcs_storages import Make, read, save

# One request tells all


def test_one_request_tells_existence_size_and_times(
    gcs: GCS, make: Make, bucket: str
) -> None:
    save(make(cache=False), "dir/a", b"12345")
    storage = make()
    gcs.front.reset()
    assert storage.exists("dir/a")
    assert storage.size("dir/a") == 5
    known = gcs.front.object(bucket, "dir/a")
    assert known is not None
    moment = datetime.fromisoformat(known["timeCreated"])
    assert storage.get_created_time("dir/a") == moment
    assert storage.get_modified_time("dir/a") == moment
    assert gcs.front.kinds == ["stat"]


def test_after_a_save_nothing_is_asked(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", b"12345")
    gcs.front.reset()
    assert storage.exists("a")
    assert storage.size("a") == 5
    assert storage.get_modified_time("a") == storage.get_created_time("a")
    assert gcs.front.kinds == []


def test_what_is_missing_is_asked_for_once(gcs: GCS, storage: GCSStorage) -> None:
    assert not storage.exists("none")
    assert not storage.exists("none")
    assert gcs.front.kinds == ["stat"]
    for ask in (storage.size, storage.get_created_time, storage.open):
        with pytest.raises(FileNotFoundError, match="none"):
            ask("none")


@pytest.mark.parametrize("location", ["", "media", "a/b/"])
@pytest.mark.parametrize("root", ["", ".", "a/.."])
def test_the_root_is_a_directory(
    gcs: GCS, make: Make, location: str, root: str
) -> None:
    # An object that has the name of the location is not in it.
    save(make(allow_overwrite=True), "media")
    gcs.front.reset()
    storage = make(location=location)
    assert not storage.exists(root)
    for ask in (storage.size, storage.open, storage.get_modified_time):
        with pytest.raises(IsADirectoryError):
            ask(root)
    with pytest.raises(IsADirectoryError):
        storage.upload_url(root, "text/plain", 1)
    with pytest.raises(IsADirectoryError), storage.open(root, "wb") as file:
        file.write(b"x")
    assert gcs.front.kinds == []


def test_a_location_is_a_part_of_each_key(gcs: GCS, make: Make, bucket: str) -> None:
    storage = make(location="media/x/")
    assert save(storage, "a/b") == "a/b"
    assert gcs.front.object(bucket, "media/x/a/b") is not None
    assert storage.listdir("a") == ([], ["b"])
    assert storage.listdir("") == (["a"], [])
    # Another storage of the bucket learns of it by the same cache.
    gcs.front.reset()
    assert make(location="media").exists("x/a/b")
    assert gcs.front.kinds == []


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "..\\a"])
def test_names_that_climb_are_suspicious(make: Make, name: str) -> None:
    storage = make(location="media")
    for ask in (storage.exists, storage.open, storage.listdir):
        with pytest.raises(SuspiciousFileOperation):
            ask(name)
    if not name.startswith("/"):
        with pytest.raises(SuspiciousFileOperation):
            storage.url(name)


def test_backslashes_are_slashes(storage: GCSStorage) -> None:
    save(storage, "dir/a")
    assert storage.exists("dir\\a")
    assert read(storage, "dir\\a") == b"content"


# Listings


def test_a_block_is_answered_from_pages_of_a_thousand(
    gcs: GCS, make: Make, bucket: str
) -> None:
    storage = make(location="media")
    for number in range(12):
        save(storage, f"dir/{number}", b"x" * number)
    gcs.front.reset()
    gcs.front.page = 5
    with make(location="media", cache=False).prefetch("dir/") as nothing:
        assert nothing is None
    listings = list(gcs.front.sent)
    assert [sent.kind for sent in listings] == ["list"] * 3
    assert all(sent.query["maxResults"] == "1000" for sent in listings)
    assert all(sent.query["prefix"] == "media/dir/" for sent in listings)
    fresh = make(location="media", cache=False)
    with fresh.prefetch("dir/"):
        gcs.front.sent.clear()
        assert [fresh.size(f"dir/{number}") for number in range(12)] == [*range(12)]
        assert not fresh.exists("dir/none")
        known = gcs.front.object(bucket, "media/dir/3")
        assert known is not None
        created = datetime.fromisoformat(known["timeCreated"])
        assert fresh.get_created_time("dir/3") == created
        assert fresh.get_modified_time("dir/3") == created
        assert fresh.has_content("dir/3", ContentFile(b"xxx"))
        assert gcs.front.kinds == []


def test_a_listing_tells_directories_from_files(gcs: GCS, make: Make) -> None:
    storage = make(location="media")
    for name in ("top", "d/one", "d/two", "d/e/three", "f/g/h"):
        save(storage, name)
    # As consoles make them.
    bucket = storage.bucket
    for folder in ("media/", "media/d/", "media/empty/"):
        bucket.blob(folder).upload_from_string(b"")
    gcs.front.reset()
    gcs.front.page = 2
    assert storage.listdir("") == (["d", "empty", "f"], ["top"])
    assert storage.listdir("d") == storage.listdir("d/") == (["e"], ["one", "two"])
    assert storage.listdir("none") == ([], [])
    assert set(gcs.front.kinds) == {"list"}
    with storage.prefetch(""):
        assert storage.exists("d/one")
        assert not storage.exists("d")


# Clients


def test_storages_with_the_same_configuration_share_a_client(
    gcs: GCS, make: Make
) -> None:
    first = make()
    assert make(location="x", bucket_name="other").client is first.client
    assert copy.copy(first).client is first.client
    assert make(project_id="other").client is not first.client
    assert make(credentials=gcs.accounts.credentials()).client is not first.client


def test_threads_make_one_client(gcs: GCS, make: Make) -> None:
    options = {"credentials": gcs.accounts.credentials()}
    barrier = threading.Barrier(8)
    clients: list[Any] = []

    def one() -> None:
        barrier.wait()
        clients.append(make(**options).client)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 8
    assert len({id(client) for client in clients}) == 1


def test_connections_are_used_again(gcs: GCS, make: Make) -> None:
    storage = make(credentials=gcs.accounts.credentials(), cache=False)
    for number in range(5):
        save(storage, f"{number}", b"x" * 10_000)
        assert read(storage, f"{number}") == b"x" * 10_000
    assert len(gcs.front.sent) >= 10
    assert gcs.front.connections == 1


def test_the_bucket_itself_is_not_asked_for(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a")
    read(storage, "a")
    storage.listdir("")
    time.sleep(0.2)
    assert "other" not in gcs.front.kinds


def test_a_child_makes_a_client_of_its_own(gcs: GCS, bucket: str) -> None:
    program = textwrap.dedent("""
        import json, os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        import django; django.setup()
        from django.core.files.base import ContentFile
        from google.oauth2 import service_account
        from tahoestorage.backends.gcs import GCSStorage

        key = json.load(sys.stdin)
        make = service_account.Credentials.from_service_account_info
        storage = GCSStorage(
            bucket_name=sys.argv[1], project_id="tests", credentials=make(key),
            cache=False, conditional_writes=True,
        )
        storage.save("parent", ContentFile(b"of the parent"))
        before = storage.client
        child = os.fork()
        if child == 0:
            assert storage.client is not before
            assert storage.client is storage.client
            assert storage.open("parent").read() == b"of the parent"
            storage.save("child", ContentFile(b"of the child"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert storage.client is before
        assert storage.open("child").read() == b"of the child"
    """)
    connections = gcs.front.connections
    subprocess.run(
        [sys.executable, "-c", program, bucket],
        input=json.dumps(gcs.accounts.key_file()),
        text=True,
        check=True,
        timeout=60,
    )
    assert gcs.front.connections - connections == 2


def test_the_root_package_imports_nothing_of_google() -> None:
    program = "import sys, tahoestorage.storage; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert not any(name.startswith("google") for name in run.stdout.split())


def test_a_url_is_signed_once_and_costs_one_small_read_then(
    gcs: GCS, make: Make
) -> None:
    storage = make(location="media", iam_sign_blob=True)
    names = [f"dir/{number}" for number in range(100)]
    first = [storage.url(name) for name in names]
    assert gcs.accounts.calls["signBlob"] == len(names)
    assert [storage.url(name) for name in names] == first
    with costs_counted() as costs:
        assert [storage.url(name) for name in names] == first
        assert costs.taken() == [len(names), 0, 0]
    assert gcs.accounts.calls["signBlob"] == len(names)
