"""Static files in our stores, under names that follow from their content."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.test import Client
from django.urls import path
from pytest_django.fixtures import Settings

from tahoestorage.backends.s3 import S3ManifestStaticStorage
from tahoestorage.serving import Download
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.commands.test_collectstatic import sent_by
from tests.conftest import requests_sent
from tests.support.gcs_servers import GCS
from tests.support.proxy import Proxy
from tests.support.s3_servers import S3Server
from tests.support.static_site import Site, static_site

STYLE = "@import 'other.css'; body { background: url('img/back.svg#x') }"
FILES = {
    "style.css": STYLE,
    "other.css": "p { background: url(img/back.svg) }",
    "img/back.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "js/a.js": 'import { b } from "./b.js";\nb();\n',
    "js/b.js": "export const b = () => 1;\n",
}
urlpatterns = [
    path("static/<path:name>", Download.as_view(storage="staticfiles", trusted=True))
]


class WithModules(S3ManifestStaticStorage):
    """A site's own class, with an option of Django's mixin."""

    support_js_module_import_aggregation = True


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    with static_site(settings, tmp_path / "static") as site:
        yield site


@pytest.fixture(params=["s3", "gcs", "tahoe"])
def hashed(request: pytest.FixtureRequest, site: Site, settings: Settings) -> Site:
    """A site whose static files are kept under hashed names in one of the stores."""
    settings.DEBUG = False
    for name, text in FILES.items():
        site.write(name, text)
    if request.param == "s3":
        moto: S3Server = request.getfixturevalue("moto")
        made = {**moto.options, "bucket_name": moto.make_bucket(), "cache": False}
        site.on("tahoestorage.backends.s3.S3ManifestStaticStorage", **made)
    elif request.param == "gcs":
        gcs: GCS = request.getfixturevalue("gcs")
        made = {**gcs.options, "bucket_name": gcs.make_bucket(), "cache": False}
        site.on("tahoestorage.backends.gcs.GCSManifestStaticStorage", **made)
    else:
        grid: LocalGrid = request.getfixturevalue("tahoe_grid")
        tmp_path: Path = request.getfixturevalue("tmp_path")
        site.on(
            "tahoestorage.staticfiles.TahoeManifestStaticStorage",
            base_url=grid.base_url,
            base_cap=grid.create_root().uri,
            cache={"directory": str(tmp_path / "cache")},
        )
    return site


@pytest.fixture(params=["s3", "gcs", "tahoe"])
def on_host(request: pytest.FixtureRequest, site: Site) -> Callable[[str], Site]:
    """Return what starts the site on a host: each has a cache of its own."""
    tmp_path: Path = request.getfixturevalue("tmp_path")
    backend, made = "tahoestorage.staticfiles.TahoeManifestStaticStorage", {}
    if request.param == "tahoe":
        grid: LocalGrid = request.getfixturevalue("tahoe_grid")
        made = {"base_url": grid.base_url, "base_cap": grid.create_root().uri}
    else:
        server = request.getfixturevalue("moto" if request.param == "s3" else "gcs")
        made = {**server.options, "bucket_name": server.make_bucket()}
        kind = f"{request.param.upper()}ManifestStaticStorage"
        backend = f"tahoestorage.backends.{request.param}.{kind}"

    def start(host: str) -> Site:
        # Contents are kept, too: none of an old manifest may be taken for the new one.
        cache = {"directory": str(tmp_path / host), "content_size_limit": 8 << 20}
        site.on(backend, **made, cache=cache)
        return site

    return start


def text_of(storage: Any, name: str) -> str:
    with storage.open(name) as file:
        return str(file.read().decode())


def as_django_names_them(site: Site, folder: Path) -> dict[str, str]:
    """Return the names that Django's own storage gives the same files in a folder."""
    django = ManifestStaticFilesStorage(location=str(folder))
    here = FileSystemStorage(location=str(site.folder))
    source = {name: (here, name) for name in FILES}
    for name in FILES:
        with here.open(name) as file:
            django.save(name, file)
    assert all(done is True for *_, done in django.post_process(source))
    return dict(django.hashed_files)


def test_names_and_contents_are_those_that_django_makes(
    hashed: Site, tmp_path: Path
) -> None:
    assert "5 post-processed" in hashed.collect()

    django = as_django_names_them(hashed, tmp_path / "django")
    storage = storages["staticfiles"]
    assert json.loads(text_of(storage, "staticfiles.json"))["paths"] == django
    for plain, name in django.items():
        assert (tmp_path / "django" / name).read_text() == text_of(storage, name)
        assert storage.exists(plain)


def test_urls_are_the_same_for_all_and_not_signed(hashed: Site) -> None:
    hashed.collect()

    url = storages["staticfiles"].url("style.css")

    assert re.search(r"/style\.[0-9a-f]{12}\.css$", url)
    assert "URI" not in url
    # As FileSystemStorage takes it.
    assert storages["staticfiles"].url("/style.css") == url
    assert storages["staticfiles"].url("//style.css#x") == f"{url}#x"
    with pytest.raises(ValueError, match="Missing staticfiles manifest entry"):
        storages["staticfiles"].url("/none.css")


def test_nothing_is_sent_again_and_nothing_is_deleted(hashed: Site) -> None:
    hashed.collect()
    writes: list[str] = []
    storage: Any = hashed.storage
    count(storage, writes)
    # As after a fresh checkout.
    for name in FILES:
        os.utime(hashed.folder / name, (time.time() + 60,) * 2)

    assert "0 static files copied, 5 unmodified, 5 post-processed" in hashed.collect()
    assert writes == []

    hashed.write("other.css", "p { color: teal }")
    os.utime(hashed.folder / "other.css", (time.time() + 60,) * 2)
    before = dict(storage.hashed_files)
    hashed.collect()

    changed = {n for n in FILES if storage.hashed_files[n] != before[n]}
    assert changed == {"style.css", "other.css"}
    expected = ["other.css", *(storage.hashed_files[n] for n in changed)]
    assert sorted(writes) == sorted([*expected, "staticfiles.json"])
    assert all(storage.exists(name) for name in before.values())


def count(storage: Any, writes: list[str]) -> None:
    """Note each name that is written, and fail where one is deleted."""

    def delete(name: str) -> None:
        raise AssertionError(f"{name} was deleted")

    before_each(storage, writes.append)
    storage.delete = delete


def before_each(storage: Any, call: Callable[[str], None]) -> None:
    """Call with the name of each file before its content is sent."""
    verb = "upload" if isinstance(storage, TahoeStorage) else "write"
    usual: Callable[..., Any] = getattr(storage, verb)

    def send(name: str, *rest: Any, **options: Any) -> Any:
        call(name)
        return usual(name, *rest, **options)

    setattr(storage, verb, send)


def test_the_manifest_comes_last_and_not_where_something_failed(hashed: Site) -> None:
    storage: Any = hashed.storage
    is_broken = True

    def fail(name: str) -> None:
        if is_broken and re.search(r"back\.[0-9a-f]{12}\.svg", name):
            raise OSError("the store hung up")

    before_each(storage, fail)
    with pytest.raises(OSError, match=r"img/back\.[0-9a-f]{12}\.svg.*hung up"):
        hashed.collect()
    assert not storage.exists("staticfiles.json")

    is_broken = False
    hashed.collect()
    assert storage.exists("staticfiles.json")


def test_a_reference_to_nothing_sends_nothing(hashed: Site) -> None:
    hashed.write("bad.css", "p { background: url(nothing.png) }")

    with pytest.raises(Exception, match=r"nothing\.png"):
        hashed.collect()

    assert not hashed.storage.exists("staticfiles.json")


def test_a_site_s_own_class_processes_as_it_says(site: Site, moto: S3Server) -> None:
    for name, text in FILES.items():
        site.write(name, text)
    made = {**moto.options, "bucket_name": moto.make_bucket(), "cache": False}
    site.on("tests.backends.test_manifest.WithModules", **made)

    site.collect()

    storage: Any = site.storage
    script = text_of(storage, storage.hashed_files["js/a.js"])
    assert storage.hashed_files["js/b.js"].split("/")[1] in script


def test_making_the_storage_asks_nobody(site: Site, moto: S3Server) -> None:
    made = {**moto.options, "bucket_name": moto.make_bucket(), "cache": False}
    site.on("tahoestorage.backends.s3.S3ManifestStaticStorage", **made)
    sent = sent_by(site.storage)
    assert sent == []
    with pytest.raises(ValueError, match="Missing staticfiles manifest entry"):
        site.storage.stored_name("style.css")
    assert sent == ["GetObject"]


def test_on_a_grid_the_site_serves_them(
    site: Site, tahoe_grid: LocalGrid, settings: Settings, tmp_path: Path
) -> None:
    settings.DEBUG = False
    settings.ROOT_URLCONF = __name__
    site.write("style.css", "p { color: teal }" * 10)
    site.on(
        "tahoestorage.staticfiles.TahoeManifestStaticStorage",
        base_url=tahoe_grid.base_url,
        base_cap=tahoe_grid.create_root().uri,
        cache={"directory": str(tmp_path / "cache")},
    )
    site.collect()

    url = site.storage.url("style.css")
    response: Any = Client().get(url)

    assert re.fullmatch(r"/static/style\.[0-9a-f]{12}\.css", url)
    assert response["Content-Type"] == "text/css"
    assert b"".join(response.streaming_content).startswith(b"p { color: teal }")
    with requests_sent() as requests:
        site.storage.url("style.css")
    assert requests == []


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_plain_ones_have_unsigned_urls_and_replace(
    kind: str, site: Site, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("moto" if kind == "s3" else "gcs")
    name = "S3StaticStorage" if kind == "s3" else "GCSStaticStorage"
    made = {**server.options, "bucket_name": server.make_bucket(), "cache": False}
    site.on(f"tahoestorage.backends.{kind}.{name}", **made)
    site.write("a.css", "before")
    site.collect()
    site.write("a.css", "after!")
    site.collect()

    assert text_of(site.storage, "a.css") == "after!"
    assert "?" not in site.storage.url("a.css")


OnHost = Callable[[str], Site]


def test_a_release_that_comes_back_from_another_host_is_the_current_one(
    on_host: OnHost,
) -> None:
    on_host("a").write("a.css", "p { color: red }")
    on_host("a").collect()
    first = on_host("a").storage.url("a.css")
    on_host("b").write("a.css", "p { color: turquoise }")
    on_host("b").collect()
    assert on_host("b").storage.url("a.css") != first

    on_host("a").write("a.css", "p { color: red }")
    on_host("a").collect()

    for host in ("a", "b", "c"):
        assert on_host(host).storage.url("a.css") == first
    assert text_of(on_host("c").storage, "a.css") == "p { color: red }"


@pytest.mark.parametrize("start", ["", "css", "css/deep"])
def test_what_another_host_has_deleted_is_sent_again(
    on_host: OnHost, start: str
) -> None:
    names = ["a.css", "css/b.css", "css/deep/c.css"]
    for name in names:
        on_host("a").write(name, f"p {{ content: '{name}' }}")
    on_host("a").collect()
    assert "0 static files copied, 3 unmodified" in on_host("b").collect()
    gone = delete_below(on_host("a").storage, start)

    said = on_host("b").collect()

    copied = sum(name in gone for name in names)
    assert copied
    assert f"{copied} static file{'s' * (copied != 1)} copied" in said
    storage = on_host("c").storage
    for name in names:
        assert name in text_of(storage, name)
        assert name in text_of(storage, storage.stored_name(name))


def delete_below(storage: Any, path: str) -> list[str]:
    """Delete all that is there, but for empty directories."""
    directories, files = storage.listdir(path)
    found = [f"{path}/{name}".lstrip("/") for name in files]
    for name in found:
        storage.delete(name)
    below = [f"{path}/{name}".lstrip("/") for name in directories]
    return sum((delete_below(storage, each) for each in below), found)


@pytest.mark.parametrize("made_again", [True, False])
def test_a_directory_that_another_host_has_replaced_is_looked_into(
    site: Site, tahoe_grid: LocalGrid, tmp_path: Path, made_again: bool
) -> None:
    kind = "tahoestorage.staticfiles.TahoeManifestStaticStorage"
    made = {"base_url": tahoe_grid.base_url, "base_cap": tahoe_grid.create_root().uri}

    def start(host: str) -> Any:
        site.on(kind, **made, cache={"directory": str(tmp_path / host)})
        return site.storage

    start("b")
    site.write("css/deep/c.css", "p { color: red }")
    site.collect()
    # So that the way is known, by what no write has touched since.
    assert "1 unmodified" in site.collect()
    other = start("a")
    delete_below(other, "css")
    root = other.directories.root
    other.directories.gateway.unlink(root.best, "css", label="css")
    if made_again:
        on_a_new_host = start("new")
        on_a_new_host.save("css/deep/other.css", ContentFile(b"p {}"))
    start("b")
    assert "1 static file copied" in site.collect()
    start("b")
    assert "1 unmodified" in site.collect()
    storage = start("c")
    assert text_of(storage, storage.stored_name("css/deep/c.css"))


def test_a_new_worker_knows_what_another_host_has_just_sent(on_host: OnHost) -> None:
    on_host("a").write("a.css", "p { color: red }")
    on_host("a").collect()
    assert on_host("b").storage.url("a.css")
    on_host("a").write("new.css", "p { color: teal }")
    on_host("a").collect()

    url = on_host("b").storage.url("new.css")

    assert url == on_host("a").storage.url("new.css")


def test_on_a_grid_each_directory_is_asked_for_once(
    site: Site, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    for number in range(9):
        site.write(f"css/{number}.css", f"p {{ width: {number}px }}")
    site.on(
        "tahoestorage.staticfiles.TahoeManifestStaticStorage",
        base_url=tahoe_grid.base_url,
        base_cap=tahoe_grid.create_root().uri,
        cache={"directory": str(tmp_path / "cache")},
    )
    site.collect()
    with requests_sent() as requests:
        assert "0 static files copied, 9 unmodified" in site.collect()
    # The root and css, then the root once more for the manifest, and the manifest.
    assert len(requests) == 4


def test_on_a_grid_a_directory_s_files_are_linked_together(
    site: Site, tahoe_grid: LocalGrid, proxy: Proxy, tmp_path: Path
) -> None:
    for number in range(40):
        site.write(f"css/{number}.css", f"p {{ width: {number}px }}" * 9)
    site.on(
        "tahoestorage.staticfiles.TahoeManifestStaticStorage",
        base_url=proxy.url,
        base_cap=tahoe_grid.create_root().uri,
        cache={"directory": str(tmp_path / "cache")},
    )
    assert "40 static files copied, 40 post-processed" in site.collect()
    # The directory with the 40, the hashed ones, and the manifest.
    assert sum("t=set_children" in seen.target for seen in proxy.seen) == 3
    for number in range(40):
        site.write(f"css/{number}.css", f"p {{ height: {number}px }}" * 9)
    proxy.clear()
    assert "40 static files copied, 40 post-processed" in site.collect()
    assert sum("t=set_children" in seen.target for seen in proxy.seen) == 3
    for number in range(40):
        text = f"p {{ height: {number}px }}" * 9
        assert text_of(site.storage, f"css/{number}.css") == text
        hashed = site.storage.stored_name(f"css/{number}.css")
        assert text_of(site.storage, hashed) == text


def test_what_another_release_sends_at_the_same_time_is_there_once(
    hashed: Site,
) -> None:
    (stored,) = settings.STORAGES.values()
    hashed.on(stored["BACKEND"], **stored["OPTIONS"], allow_overwrite=False)
    other: Any = storages.create_storage(stored)
    sent: list[str] = []

    def send(name: str) -> None:
        if re.fullmatch(r"[a-z/]+\.[0-9a-f]{12}\.[a-z]+", name):
            sent.append(name)
            other.save(name, ContentFile(b"the same"))

    before_each(hashed.storage, send)
    hashed.collect()

    assert len(sent) == 5
    names = sorted(hashed.storage.listdir("img")[1])
    assert names == sorted(["back.svg", *(n[4:] for n in sent if n.startswith("img/"))])


def test_releases_beside_each_other_read_lists_of_their_own(on_host: OnHost) -> None:
    def release(name: str, host: str) -> Site:
        made = on_host(host)
        (stored,) = settings.STORAGES.values()
        manifest = f"staticfiles-{name}.json"
        made.on(stored["BACKEND"], **stored["OPTIONS"], manifest_name=manifest)
        return made

    release("1", "a").write("old.css", "p { color: red }")
    release("1", "a").collect()
    first = release("1", "a").storage.url("old.css")
    site = release("2", "b")
    (site.folder / "old.css").rename(site.folder / "new.css")
    site.collect()

    # An instance that starts now, with nothing that it remembers.
    cold = release("1", "c").storage
    assert cold.url("old.css") == first
    assert text_of(cold, cold.stored_name("old.css")) == "p { color: red }"
    new = release("2", "d").storage
    assert text_of(new, new.stored_name("new.css")) == "p { color: red }"
    with pytest.raises(ValueError, match="Missing staticfiles manifest entry"):
        new.url("old.css")
    # Nobody left one for all.
    assert not new.exists("staticfiles.json")
