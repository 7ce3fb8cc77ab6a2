"""S3Storage and its cache: one request a name, none twice, the same for everybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.files.base import ContentFile
from django.test import override_settings
from django.utils import timezone

from tahoestorage.backends.s3 import S3Storage
from tests.support.costs import costs_counted
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, s3_requests
from tests.support.s3_storages import MakeS3, keys, read, save

WORKER = """
import json, os, sys
import django
from django.conf import settings
from django.core.files.base import ContentFile

settings.configure(SECRET_KEY="of-the-tests", USE_TZ=True)
django.setup()
from tahoestorage.backends.s3 import S3Storage

storage = S3Storage(**json.loads(os.environ["TEST_OPTIONS"]))

def save(name, content):
    return storage.save(name, ContentFile(content))

def read(name):
    with storage.open(name, "r") as file:
        return file.read()

for line in sys.stdin:
    act, *arguments = json.loads(line)
    do = {"save": save, "read": read}.get(act) or getattr(storage, act)
    try:
        answer = do(*arguments)
    except FileNotFoundError:
        answer = "missing"
    print(json.dumps(answer), flush=True)
"""


class Worker:
    """Another process with a storage like this one."""

    def __init__(self, storage: S3Storage, cache: Path) -> None:
        options = {
            "bucket_name": storage.bucket_name,
            "endpoint_url": storage.endpoint_url,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "region_name": "us-east-1",
            "addressing_style": "path",
            "signature_version": "s3v4",
            "allow_overwrite": storage.file_overwrite,
            "cache": {"directory": str(cache)},
        }
        environment = {
            **os.environ,
            "TEST_OPTIONS": json.dumps(options),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate(timeout=30)


def asked(storage: S3Storage, *actions: Callable[[], object]) -> list[str]:
    """The requests that these actions need."""
    with s3_requests(storage) as sent:
        for action in actions:
            action()
    return [str(each) for each in sent]


# One request


@pytest.mark.parametrize("first", ["exists", "size", "get_modified_time"])
def test_one_request_answers_all_of_a_name(make_s3: MakeS3, first: str) -> None:
    save(make_s3(cache=False), "dir/a", b"12345")
    storage = make_s3()
    assert asked(storage, lambda: getattr(storage, first)("dir/a")) == ["HEAD dir/a"]
    nothing = asked(
        storage,
        lambda: storage.exists("dir/a"),
        lambda: storage.size("dir/a"),
        lambda: storage.get_modified_time("dir/a"),
        lambda: storage.url("dir/a"),
    )
    assert nothing == []
    assert (storage.exists("dir/a"), storage.size("dir/a")) == (True, 5)


def test_what_is_missing_is_asked_once_by_exists(s3: S3Storage) -> None:
    assert asked(s3, *[lambda: s3.exists("a")] * 3) == ["HEAD a"]


def test_a_save_by_a_free_name_is_one_request_and_is_known(s3: S3Storage) -> None:
    save(s3, "warm")
    assert asked(s3, lambda: save(s3, "a", b"12345")) == ["PUT a"]
    assert asked(s3, lambda: s3.exists("a"), lambda: s3.size("a")) == []
    # When it was saved only the store knows.
    asked_for = asked(s3, *[lambda: s3.get_modified_time("a")] * 2)
    assert asked_for == ["HEAD a"]


def test_a_name_that_another_process_took_is_refused_once(make_s3: MakeS3) -> None:
    storage, other = make_s3(), make_s3(cache=False)
    save(storage, "warm")
    save(other, "a", b"of the other")
    saved: list[str] = []

    requests = asked(storage, lambda: saved.append(save(storage, "a", b"mine")))

    # Refused for its own, the response lost? The mark tells.
    assert requests == ["PUT a", "HEAD a", f"PUT {saved[0]}"]
    assert (read(other, "a"), read(other, saved[0])) == (b"of the other", b"mine")
    assert saved[0] != "a"


def test_a_name_that_is_known_to_be_taken_costs_nothing(s3: S3Storage) -> None:
    save(s3, "a", b"first")
    saved: list[str] = []
    requests = asked(s3, lambda: saved.append(save(s3, "a", b"second")))
    assert requests == [f"PUT {saved[0]}"]


def test_a_large_file_is_not_sent_to_a_taken_name(make_s3: MakeS3) -> None:
    storage, other = make_s3(), make_s3(cache=False)
    save(storage, "warm")
    save(other, "a", b"of the other")
    large = bytes(storage.transfer_config.multipart_threshold)
    requests = asked(storage, lambda: save(storage, "a", large))
    assert "PUT a" not in requests
    assert requests[0] == "HEAD a"


def test_a_subclass_s_own_exists_is_asked(make_s3: MakeS3) -> None:
    class Reserved(S3Storage):
        def exists(self, name: str) -> bool:
            return name == "reserved" or super().exists(name)

    assert save(make_s3(Reserved), "reserved") != "reserved"


def test_where_a_subclass_saves_its_own_way_the_store_is_asked(make_s3: MakeS3) -> None:
    class Own(S3Storage):
        def _save(self, name: str, content: Any) -> str:
            self.write(name, content, replace=True)
            return name

    save(make_s3(cache=False), "a", b"of the other")
    storage = make_s3(Own)
    assert save(storage, "a", b"mine") != "a"
    assert read(storage, "a") == b"of the other"


def test_a_save_that_overwrites_needs_one(make_s3: MakeS3) -> None:
    storage = make_s3(allow_overwrite=True)
    assert asked(storage, lambda: save(storage, "a")) == ["PUT a"]
    assert asked(storage, lambda: storage.delete("a")) == ["DELETE a"]


def test_warm_lookups_of_many_names_ask_nothing(make_s3: MakeS3) -> None:
    storage = make_s3()
    names = [f"dir/{number}" for number in range(250)]
    for name in names:
        storage.exists(name)

    def look() -> None:
        for name in names:
            assert not storage.exists(name)
            storage.url(name)

    look()
    look()
    with costs_counted() as costs:
        assert asked(storage, look) == []
        assert costs.taken() == [2 * len(names), 0, 0]


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_follow_use_tz(s3: S3Storage, use_tz: bool) -> None:
    with override_settings(USE_TZ=use_tz, TIME_ZONE="Asia/Kolkata"):
        save(s3, "a")
        modified = s3.get_modified_time("a")
        assert timezone.is_aware(modified) is use_tz
        now = timezone.now() if use_tz else datetime.now()
        assert abs(now - modified) < timedelta(seconds=60)
        for ask in (s3.get_accessed_time, s3.get_created_time):
            with pytest.raises(NotImplementedError):
                ask("a")


# Many names


@pytest.fixture(scope="module")
def full(moto: S3Server) -> str:
    """A bucket with 1,001 objects below static/, and two others."""
    bucket, client = moto.make_bucket(), moto.client()
    names = [f"static/{number:04}.txt" for number in range(1001)]

    def put(name: str) -> None:
        client.put_object(Bucket=bucket, Key=name, Body=name.encode())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, [*names, "static2/a", "ü/é.txt"]))
    client.close()
    return bucket


def test_a_page_of_a_listing_answers_for_a_thousand(make_s3: MakeS3, full: str) -> None:
    storage = make_s3(bucket_name=full, cache=False)

    def look() -> None:
        with storage.prefetch("static/"):
            for number in range(1001):
                name = f"static/{number:04}.txt"
                assert storage.exists(name)
                assert storage.size(name) == len(name)
                storage.get_modified_time(name)
                assert not storage.exists(f"{name}.gz")
            assert storage.size("static//0001.txt") == len("static/0001.txt")

    sent = asked(storage, look)
    assert sent == ["GET ", "GET "]
    assert asked(storage, lambda: storage.exists("static/0001.txt")) != []


def test_a_prefix_is_that_of_names_in_the_location(make_s3: MakeS3, full: str) -> None:
    storage = make_s3(bucket_name=full, cache=False, location="static")
    with storage.prefetch("000"):
        assert asked(storage, lambda: storage.size("0001.txt")) == []
        assert asked(storage, lambda: storage.exists("0010.txt")) != []
    root = make_s3(bucket_name=full, cache=False)
    with root.prefetch():
        assert asked(root, lambda: root.exists("static2/a")) == []
        assert root.exists("ü/é.txt")
        assert not root.exists("none")


def test_what_is_written_is_seen_while_it_is_prefetched(make_s3: MakeS3) -> None:
    storage = make_s3()
    save(storage, "dir/a", b"1")
    with storage.prefetch("dir/"):
        save(storage, "dir/b", b"22")
        assert storage.size("dir/b") == 2
        storage.delete("dir/a")
        assert not storage.exists("dir/a")
        storage.copy("dir/b", "dir/c")
        assert storage.exists("dir/c")
        with storage.prefetch("dir/c"):
            assert asked(storage, lambda: storage.size("dir/c")) == []


def test_listings_are_the_parent_s(make_s3: MakeS3, full: str) -> None:
    storage = make_s3(bucket_name=full)
    assert storage.listdir("") == (["static", "static2", "ü"], [])
    assert len(storage.listdir("static")[1]) == 1001
    assert storage.listdir("ü") == ([], ["é.txt"])
    assert storage.listdir("none") == ([], [])
    assert make_s3(bucket_name=full, location="ü").listdir("") == ([], ["é.txt"])


def test_content_is_compared_by_what_the_store_knows(make_s3: MakeS3) -> None:
    storage = make_s3()
    save(storage, "a", b"content")
    big = os.urandom(9 << 20)
    save(storage, "big", big)
    assert storage.has_content("a", ContentFile(b"content")) is True
    assert storage.has_content("a", ContentFile(b"another")) is False
    assert storage.has_content("none", ContentFile(b"another")) is False
    # What was sent in parts is compared by its parts.
    assert storage.has_content("big", ContentFile(big)) is True
    assert storage.has_content("big", ContentFile(big[:-1])) is False
    assert make_s3(gzip=True).has_content("a", ContentFile(b"content")) is True


# Together


def test_storages_of_one_bucket_know_of_each_other(make_s3: MakeS3) -> None:
    whole, part = make_s3(), make_s3(location="media")
    assert not whole.exists("media/a")
    save(part, "a", b"12345")
    assert whole.size("media/a") == 5
    whole.delete("media/a")
    assert not part.exists("a")


def test_two_processes_see_each_other_s_writes_at_once(
    make_strict_s3: MakeS3, tmp_path: Path
) -> None:
    storage = make_strict_s3(allow_overwrite=True)
    with Worker(storage, tmp_path / "cache") as other:
        for number in range(20):
            content = f"of round {number}"
            assert not storage.exists("a")
            assert other("exists", "a") is False
            assert other("save", "a", content) == "a"
            assert storage.exists("a")
            assert storage.size("a") == len(content)
            assert read(storage, "a") == content.encode()
            url = storage.url("a")
            assert other("url", "a") == url
            save(storage, "a", content * 2)
            assert other("size", "a") == 2 * len(content)
            assert other("read", "a") == content * 2
            storage.delete("a")
            assert other("exists", "a") is False
            assert other("size", "a") == "missing"
            save(storage, "a")
            assert other("exists", "a") is True
            other("delete", "a")


def test_a_failed_write_leaves_nothing_known(make_s3: MakeS3) -> None:
    storage = make_s3(allow_overwrite=True)
    save(storage, "a", b"1")
    assert storage.size("a") == 1

    class Failing(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield b"x"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        storage.save("a", Failing(b""))
    assert asked(storage, lambda: storage.size("a")) == ["HEAD a"]
    assert storage.size("a") == 1


def test_without_a_cache_each_lookup_is_a_request(make_s3: MakeS3) -> None:
    storage = make_s3(cache=False)
    save(storage, "a")
    assert asked(storage, *[lambda: storage.exists("a")] * 2) == ["HEAD a"] * 2


# Django's own


def test_names_are_saved_in_nfc(s3: S3Storage) -> None:
    name = save(s3, "e\u0301.txt")
    assert name == "\u00e9.txt"
    assert keys(s3) == [name]
    # What somebody else has put there is found as it is called.
    client = s3.connection.meta.client
    client.put_object(Bucket=s3.bucket_name, Key="o\u0308", Body=b"12")
    assert s3.size("o\u0308") == 2
    assert not s3.exists("\u00f6")


def test_static_files_with_a_manifest(make_s3: MakeS3) -> None:
    class Static(ManifestFilesMixin, S3Storage):  # type: ignore[misc]
        pass

    options = {"querystring_auth": False, "allow_overwrite": True}
    storage = make_s3(Static, **options)
    save(storage, "a.css", "body {}")
    with override_settings(DEBUG=False):
        done = [*storage.post_process({"a.css": (storage, "a.css")})]
        assert [each[0] for each in done] == ["a.css"]
        url = make_s3(Static, **options).url("a.css")
    assert url.endswith(f"/{done[0][1]}")
    assert read(storage, done[0][1]) == b"body {}"


def test_a_directory_is_listed_once_however_many_pages_have_it(s3: S3Storage) -> None:
    names = [str(number) for number in range(5)]
    for name in ("below/a", *names):
        save(s3, f"dir/{name}")

    def by_pages(params: dict[str, Any], **others: object) -> None:
        params["MaxKeys"] = 2

    events = s3.client.meta.events
    events.register("before-parameter-build.s3", by_pages)
    try:
        # moto tells a prefix on each page that has a name of it.
        directories, files = s3.listdir("dir")
        assert (directories, sorted(files)) == (["below"], names)
    finally:
        events.unregister("before-parameter-build.s3", by_pages)
