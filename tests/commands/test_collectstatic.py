"""collectstatic to a store of objects: compares what is there, uploads what changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.files.base import ContentFile
from django.core.management import CommandError
from pytest_django.fixtures import Settings

from tahoestorage.backends import savingtogether
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.exceptions import StoreUnreachable
from tahoestorage.tahoe.caps import Cap
from tests.conftest import MakeStorage
from tests.support.gcs_servers import GCS
from tests.support.proxy import Proxy, Seen
from tests.support.s3_servers import S3Server
from tests.support.static_site import Site, static_site


class WithManifest(ManifestFilesMixin, S3Storage):  # type: ignore[misc]
    """Static files with names that follow from their content."""


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    with static_site(settings, tmp_path / "static") as site:
        yield site


@pytest.fixture
def on_s3(site: Site, moto: S3Server) -> Site:
    bucket = moto.make_bucket()
    site.on(
        "tahoestorage.backends.s3.S3Storage",
        **moto.options,
        bucket_name=bucket,
        location="assets",
        cache=False,
    )
    return site


def sent_by(storage: S3Storage) -> list[str]:
    """Return a list in which each request is noted."""
    sent: list[str] = []

    def note(model: Any, **rest: Any) -> None:
        sent.append(model.name)

    storage.client.meta.events.register("before-call.s3", note)
    return sent


def text_of(storage: Any, name: str) -> str:
    with storage.open(name) as file:
        return str(file.read().decode())


def test_a_thousand_unchanged_files_are_at_most_two_requests(on_s3: Site) -> None:
    for number in range(1000):
        on_s3.write(f"css/{number}.css", f"/* {number} */")
    assert "1000 static files copied" in on_s3.collect()
    sent = sent_by(on_s3.storage)
    assert "0 static files copied, 1000 unmodified" in on_s3.collect()
    assert 1 <= len(sent) <= 2


def test_on_google_cloud_it_is_one_request_a_page(site: Site, gcs: GCS) -> None:
    site.on(
        "tahoestorage.backends.gcs.GCSStorage",
        **gcs.options,
        bucket_name=gcs.make_bucket(),
        cache=False,
    )
    assert isinstance(site.storage, GCSStorage)
    for number in range(41):
        site.storage.save(f"{number}.css", ContentFile(f"/* {number} */"))
        site.write(f"{number}.css", f"/* {number} */")
    gcs.front.reset()
    gcs.front.page = 20
    assert "0 static files copied, 41 unmodified" in site.collect()
    assert [sent.query["maxResults"] for sent in gcs.front.sent] == ["1000"] * 3


def test_only_what_changed_is_uploaded(on_s3: Site) -> None:
    on_s3.write("same.css", "same")
    on_s3.write("changed.css", "before")
    on_s3.collect()
    on_s3.write("changed.css", "after!")
    on_s3.write("new/one.css", "new")
    # An older file with another content is a change, and a newer one with the same
    # content, as after a fresh clone, is none.
    os.utime(on_s3.folder / "changed.css", (1, 1))
    os.utime(on_s3.folder / "same.css", (2e9, 2e9))
    sent = sent_by(on_s3.storage)
    assert "2 static files copied, 1 unmodified" in on_s3.collect()
    assert sorted(sent) == ["ListObjectsV2", "PutObject", "PutObject"]
    assert text_of(on_s3.storage, "changed.css") == "after!"
    assert text_of(on_s3.storage, "new/one.css") == "new"


def test_a_file_is_never_missing_while_it_is_replaced(on_s3: Site) -> None:
    on_s3.write("a.css", "before")
    on_s3.collect()
    on_s3.write("a.css", "after")
    sent = sent_by(on_s3.storage)
    on_s3.collect()
    assert "DeleteObject" not in sent


def test_several_are_uploaded_at_a_time(
    on_s3: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        on_s3.write(f"{number}.css", str(number))
    together = threading.Barrier(4, timeout=60)
    usual: Callable[..., Any] = S3Storage.put_object

    def put(*arguments: Any, **keywords: Any) -> Any:
        together.wait()
        return usual(*arguments, **keywords)

    monkeypatch.setattr(S3Storage, "put_object", put)
    assert "12 static files copied" in on_s3.collect("--jobs", "4")


def test_what_fails_is_named_and_the_rest_is_uploaded(
    on_s3: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_s3.write("good.css", "good")
    on_s3.write("bad.css", "bad")
    usual: Callable[..., Any] = S3Storage.put_object

    def put(self: S3Storage, key: str, *arguments: Any, **keywords: Any) -> Any:
        if key.endswith("bad.css"):
            time.sleep(0.2)
            raise StoreUnreachable("bad.css: the store hung up")
        return usual(self, key, *arguments, **keywords)

    monkeypatch.setattr(S3Storage, "put_object", put)
    with pytest.raises(CommandError, match=r"bad\.css: the store hung up"):
        on_s3.collect()
    assert text_of(on_s3.storage, "good.css") == "good"
    assert not on_s3.storage.exists("bad.css")


def test_a_dry_run_uploads_nothing(on_s3: Site) -> None:
    on_s3.write("a.css", "a")
    sent = sent_by(on_s3.storage)
    assert "1 static file copied" in on_s3.collect("--dry-run")
    assert sent == ["ListObjectsV2"]


def test_clear_deletes_first(on_s3: Site) -> None:
    on_s3.write("a.css", "a")
    on_s3.collect()
    on_s3.storage.save("old.css", ContentFile("old"))
    on_s3.collect("--clear")
    assert not on_s3.storage.exists("old.css")
    assert text_of(on_s3.storage, "a.css") == "a"


def test_a_manifest_is_made_of_what_was_uploaded(site: Site, moto: S3Server) -> None:
    site.on(
        "tests.commands.test_collectstatic.WithManifest",
        **moto.options,
        bucket_name=moto.make_bucket(),
        cache=False,
        allow_overwrite=True,
        querystring_auth=False,
    )
    site.write("style.css", "body { background: url('img/back.svg') }")
    site.write("img/back.svg", "<svg/>")
    for text in ("2 post-processed", "0 static files copied, 2 unmodified, 1 post"):
        assert text in site.collect()
    hashed = site.storage.stored_name("style.css")
    assert hashed != "style.css"
    assert site.storage.stored_name("img/back.svg").split("/")[1] in text_of(
        site.storage, hashed
    )


@pytest.fixture(params=["s3", "gcs"])
def on_objects(request: pytest.FixtureRequest, site: Site) -> Callable[..., None]:
    """Put the site's static files into a bucket, with options of the storage."""
    kind = request.param
    server = request.getfixturevalue("moto" if kind == "s3" else "gcs")
    backend = f"tahoestorage.backends.{kind}.{'S3' if kind == 's3' else 'GCS'}Storage"
    made = {**server.options, "bucket_name": server.make_bucket(), "cache": False}
    return lambda **options: site.on(backend, **made, **options)


def test_what_is_packed_is_compared_as_it_is_packed(
    on_objects: Callable[..., None], site: Site
) -> None:
    on_objects(gzip=True)
    site.write("a.css", "p { color: teal }" * 5000)
    site.write("b.svg", "<svg/>" * 500)
    site.collect()

    for name in ("a.css", "b.svg"):  # As after a fresh checkout.
        os.utime(site.folder / name, (2e9, 2e9))
    assert "0 static files copied, 2 unmodified" in site.collect()
    site.write("a.css", "p { color: gold }" * 5000)
    os.utime(site.folder / "a.css", (1, 1))
    assert "1 static file copied, 1 unmodified" in site.collect()
    assert text_of(site.storage, "a.css") == "p { color: gold }" * 5000


@pytest.mark.parametrize("is_there", [False, True])
def test_a_store_that_is_away_is_not_asked_for_every_file(
    on_s3: Site, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Each may take minutes to say so."""
    sent = []

    def save(self: S3Storage, name: str, content: object) -> str:
        sent.append(name)
        raise StoreUnreachable(f"{name}: the store can't be reached")

    for number in range(200):
        on_s3.write(f"{number}.css", "p {}")
    if is_there:
        on_s3.collect()
        for number in range(200):
            on_s3.write(f"{number}.css", "p { }")
    monkeypatch.setattr(S3Storage, "save", save)
    monkeypatch.setattr(S3Storage, "open", save)
    with pytest.raises(CommandError, match="can't be reached") as info:
        on_s3.collect("--jobs=4")
    *_, last = str(info.value).splitlines()
    assert len(sent) <= 3 * 4
    assert last == f"{200 - len(sent)} more: not begun, as the store is away"


@pytest.mark.parametrize("part", [None, 5 << 20])
def test_a_file_of_several_parts_is_compared_by_its_parts(
    site: Site, moto: S3Server, part: int | None
) -> None:
    options = {**moto.options, "bucket_name": moto.make_bucket(), "cache": False}
    if part is not None:
        config = TransferConfig(multipart_threshold=part, multipart_chunksize=part)
        options["transfer_config"] = config
    site.on("tahoestorage.backends.s3.S3Storage", **options)
    site.write("large.js", "x" * (17 << 20))
    site.collect()

    os.utime(site.folder / "large.js", (2e9, 2e9))
    assert "0 static files copied, 1 unmodified" in site.collect()
    site.write("large.js", "x" * (17 << 20) + "y")
    assert "1 static file copied" in site.collect()


@pytest.fixture
def on_grid(site: Site, root: Cap, proxy: Proxy, tmp_path: Path) -> Site:
    cache = {"directory": str(tmp_path / "cache")}
    site.on(
        "tahoestorage.storage.TahoeStorage",
        base_url=proxy.url,
        base_cap=root.uri,
        cache=cache,
    )
    for number in range(40):
        site.write(f"css/{number}.css", f"p {{ width: {number}px }}" * 9)
    return site


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


def test_on_a_grid_a_directory_s_new_files_are_linked_together(
    on_grid: Site,
    proxy: Proxy,
    make_storage: MakeStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # However slow the machine is.
    monkeypatch.setattr(savingtogether, "SECONDS", 3600.0)
    assert "40 static files copied" in on_grid.collect()
    # They are in the directory when it is linked.
    assert sum(map(is_link, proxy.seen)) == 1
    assert "0 static files copied, 40 unmodified" in on_grid.collect()
    on_grid.write("css/7.css", "p { color: teal }" * 9)
    on_grid.write("css/new.css", "p { color: gold }" * 9)
    proxy.clear()
    assert "2 static files copied, 39 unmodified" in on_grid.collect()
    assert sum(map(is_link, proxy.seen)) == 2
    other = make_storage(cache=False)
    assert len(other.listdir("css")[1]) == 41
    assert text_of(other, "css/7.css") == "p { color: teal }" * 9
    assert text_of(other, "css/8.css") == "p { width: 8px }" * 9


def test_on_a_grid_a_dry_run_sends_nothing_and_clear_deletes_first(
    on_grid: Site, proxy: Proxy
) -> None:
    assert "40 static files copied" in on_grid.collect("--dry-run")
    assert {seen.method for seen in proxy.seen} == {"GET"}
    on_grid.storage.save("css/old.css", ContentFile("old"))
    assert "40 static files copied" in on_grid.collect("--clear")
    assert not on_grid.storage.exists("css/old.css")
    assert len(on_grid.storage.listdir("css")[1]) == 40


def test_what_somebody_saves_meanwhile_is_replaced(
    on_grid: Site, make_storage: MakeStorage
) -> None:
    other = make_storage(cache=False)
    on_grid.storage.save("css/first.css", ContentFile("first"))
    usual = on_grid.storage.link_together

    def link(caps: Any, *rest: Any) -> Any:
        if not other.exists("css/7.css"):
            other.save("css/7.css", ContentFile("of another"))
        return usual(caps, *rest)

    on_grid.storage.link_together = link
    assert "40 static files copied" in on_grid.collect()
    fresh = make_storage(cache=False)
    assert text_of(fresh, "css/7.css") == "p { width: 7px }" * 9
    assert len(fresh.listdir("css")[1]) == 41


def test_on_a_grid_what_fails_is_named_and_the_rest_is_uploaded(
    on_grid: Site, make_storage: MakeStorage
) -> None:
    on_grid.storage.save("js", ContentFile("a file where a directory must be"))
    on_grid.write("js/a.js", "a();")
    on_grid.write("js/b.js", "b();")
    with pytest.raises(CommandError) as info:
        on_grid.collect()
    first, *failed = str(info.value).splitlines()
    assert first == "These files were not uploaded; run collectstatic again:"
    assert sorted(line.rpartition("/static/")[2][:7] for line in failed) == [
        "js/a.js",
        "js/b.js",
    ]
    fresh = make_storage(cache=False)
    assert len(fresh.listdir("css")[1]) == 40
    assert text_of(fresh, "css/39.css") == "p { width: 39px }" * 9


def test_other_storages_are_collected_to_as_django_does_it(
    site: Site, tmp_path: Path
) -> None:
    target = tmp_path / "collected"
    site.on(
        "django.contrib.staticfiles.storage.StaticFilesStorage", location=str(target)
    )
    site.write("a.css", "a")
    assert "1 static file copied" in site.collect()
    assert (target / "a.css").read_text() == "a"
    assert "0 static files copied" in site.collect()
