"""Caps, passwords and keys appear nowhere but where they must: every operation and
every failure is looked at, in logs, errors, variables, pages, pickles, migrations,
outputs and files, for any part of any of them.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.checks import run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from google.oauth2 import service_account
from pytest_django.fixtures import Settings

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.config.keywords import TahoeKeywords
from tahoestorage.config.settings import hide_secrets
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import gateway as gateways
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.support.marks import (
    Marks,
    SeenRecords,
    command_lines,
    everything_seen,
    quoted,
)
from tests.support.ports import free_port
from tests.support.proxy import (
    Action,
    CutBody,
    LoseResponse,
    Proxy,
    Refuse,
    SendResponse,
    Stall,
)
from tests.support.redis_server import running
from tests.support.s3_servers import S3Server

# Most time goes into what others print and search; other tests reach the same lines.
pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]

LONG = b"more than a cap can hold " * 100
PASSWORD = "Pas5wordOfTheRedisThatNobodyMaySee"
S3_KEY = "S3cretKeyOfTheStoreThatNobodyMaySee"
GATEWAY_AWAY = "http://127.0.0.1:9"


@pytest.fixture
def marks(root: Cap, tahoe_grid: LocalGrid) -> Marks:
    """The root's keys, and those of the directories and files that are below it."""
    return fill(root, tahoe_grid)


@pytest.fixture(scope="module")
def kept(tahoe_grid: LocalGrid) -> tuple[Cap, Marks]:
    """A root and its marks, for tests that send no request that could change it."""
    root = tahoe_grid.create_root()
    return root, fill(root, tahoe_grid)


def fill(root: Cap, grid: LocalGrid) -> Marks:
    """Put ``dir/kept.txt`` and ``other/dir/kept.txt`` there, in few requests."""
    with contextlib.closing(Gateway(grid.base_url)) as gateway:
        put = functools.partial(gateway.upload, label="the marks")
        make = functools.partial(gateway.make_directory, label="the marks")
        files = [
            put(UploadBody(lambda text=text: [text], repeatable=True))  # type: ignore[misc]
            for text in (LONG, LONG + b"!")
        ]
        first, deep = (make({"kept.txt": Link(file)}) for file in files)
        other = make({"dir": Link(deep)})
        children = {"dir": Link(first), "other": Link(other)}
        gateway.set_children(root, children, label="the marks")
    marks = Marks()
    marks.add_cap("write cap of the root", root)
    marks.add_cap("read cap of the root", root.read_only)
    for directory in (first, other, deep):
        marks.add_cap("write cap of a child", directory)
        marks.add_cap("read cap of a child", directory.read_only)
    marks.add_cap("read cap of a child", *files)
    return marks


@pytest.fixture
def seen() -> Iterator[SeenRecords]:
    with everything_seen() as seen:
        yield seen


@pytest.fixture
def proxy(tahoe_grid: LocalGrid) -> Iterator[Proxy]:
    with Proxy(tahoe_grid.base_url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "PAUSE", 0.01)


def read(storage: Any, name: str) -> bytes:
    with storage.open(name) as file:
        file.seek(10)
        return bytes(file.read())


def write(storage: Any, name: str, mode: str) -> None:
    with storage.open(name, mode) as file:
        file.write(LONG)


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "exists": lambda storage: storage.exists("dir/kept.txt"),
    "exists not": lambda storage: storage.exists("dir/no/such"),
    "listdir": lambda storage: storage.listdir("dir"),
    "listdir of the root": lambda storage: storage.listdir(""),
    "listdir of a file": lambda storage: storage.listdir("dir/kept.txt"),
    "size": lambda storage: storage.size("other/dir/kept.txt"),
    "times": lambda storage: storage.get_modified_time("dir/kept.txt"),
    "url of none": lambda storage: storage.url("dir/missing"),
    "url of a directory": lambda storage: storage.url("dir"),
    "read": lambda storage: read(storage, "dir/kept.txt"),
    "read none": lambda storage: read(storage, "dir/missing"),
    "read a directory": lambda storage: read(storage, "dir"),
    "append": lambda storage: write(storage, "dir/kept.txt", "ab"),
    "write": lambda storage: write(storage, "dir/written.txt", "wb"),
    "write a directory": lambda storage: write(storage, "dir", "wb"),
    "create": lambda storage: write(storage, "dir/created.txt", "xb"),
    "create again": lambda storage: write(storage, "dir/kept.txt", "xb"),
    "save": lambda storage: storage.save("dir/new.txt", ContentFile(LONG)),
    "save little": lambda storage: storage.save("dir/new.txt", ContentFile(b"little")),
    "save deep": lambda storage: storage.save("a/b/c.txt", ContentFile(LONG)),
    "save below a file": lambda storage: storage.save(
        "dir/kept.txt/x", ContentFile(LONG)
    ),
    "save outside": lambda storage: storage.save("../x", ContentFile(LONG)),
    "another name": lambda storage: storage.get_available_name("dir/kept.txt"),
    "prefetch": lambda storage: prefetched(storage),
    "copy": lambda storage: storage.copy("dir/kept.txt", "other/copy.txt"),
    "move": lambda storage: storage.move("dir/kept.txt", "other/moved.txt"),
    "move back": lambda storage: storage.move("other/moved.txt", "dir/kept.txt"),
    "delete": lambda storage: storage.delete("dir/new.txt"),
    "delete a directory": lambda storage: storage.delete("dir"),
}


def prefetched(storage: Any) -> bool:
    with storage.prefetch("dir/"):
        return bool(storage.exists("dir/kept.txt"))


def shown(storage: Any) -> list[object]:
    """What a storage shows of itself, in a shell and on its way elsewhere."""
    options = getattr(storage, "options", None)
    return [
        repr(storage),
        # Those of django-storages have what they were given there.
        vars(storage) if isinstance(storage, TahoeStorage) else None,
        options,
        vars(options) if options else None,
        storage.deconstruct(),
        # Bytes are shown as they are written.
        pickle.dumps(storage).decode("latin-1"),
        copy.copy(storage),
        copy.deepcopy(storage),
        MigrationWriter.serialize(models.FileField(storage=storage)),
    ]


# Every operation


def test_no_operation_on_the_grid_lets_a_secret_out(
    tahoe_grid: LocalGrid,
    root: Cap,
    marks: Marks,
    seen: SeenRecords,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("cwd", "temp", "static", "disk"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    (tmp_path / "static" / "a.css").write_text("css")
    apps = [*settings.INSTALLED_APPS, "django.contrib.staticfiles"]
    settings.INSTALLED_APPS = apps
    settings.STATIC_URL = "/static/"
    settings.STATICFILES_DIRS = [str(tmp_path / "static")]
    settings.TAHOE_STORAGE_BASE_CAP = root.uri
    settings.TAHOE_STORAGE_BASE_URL = tahoe_grid.base_url
    settings.TAHOE_PUBLIC_BASE_URL = "http://files.example"
    settings.TAHOE_STORAGE_CACHE = {"directory": str(tmp_path / "cache")}
    settings.STORAGES = {
        "default": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
        "staticfiles": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
        "given": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {"base_cap": root.uri},
        },
        "disk": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "disk")},
        },
    }
    hide_secrets()
    for alias in ("default", "given"):
        storage = storages[alias]
        for _ in range(2):  # With a cold cache, and with a warm one.
            for operation in OPERATIONS.values():
                seen.attempt(operation, storage)
        seen.add(*shown(storage))
        # This alone may show the read cap of a file.
        assert "/named/URI%3ACHK" in storage.url("dir/kept.txt")
    for command in (
        ["collectstatic", "--noinput", "-v3"],
        ["storage_copy", "default", "disk", "--verify", "-v3"],
        ["storage_copy", "disk", "given", "--json", "--delete-extra"],
        ["storage_cache", "stats"],
        ["storage_cache", "warm", "given", "--json"],
        ["storage_cache", "clear"],
        ["check", "--deploy"],
        ["diffsettings", "--all"],
    ):
        seen.attempt(call_command, *command)
    seen.add(*run_checks(include_deployment_checks=True))
    assert len(seen.errors) > 20
    seen.add_files(tmp_path)
    text = seen.text
    assert b"cache.db-wal" in text
    assert b"GET /uri/<Cap DIR2 write" in text
    assert marks.in_(text) == set()


def test_the_marks_would_be_found(root: Cap, marks: Marks, tmp_path: Path) -> None:
    key = root.uri.split(":")[2]
    part = key[5:19]
    raw = base64.b32decode(key.upper() + "=" * 6)
    for form in (
        part,
        part.upper(),
        quoted(root.uri),
        part.encode().hex(),
        raw.hex(),
        repr(raw[2:12]) if raw[2:12].isascii() else raw.hex().upper(),
        base64.b64encode(root.uri.encode()).decode(),
        base64.b64encode(b"x" + raw).decode(),
        "".join(f"\\u{ord(each):04x}" for each in part),
        "".join(f"%{ord(each):02X}" for each in part),
    ):
        assert "write cap of the root" in marks.in_(f"x{form}x"), form
    (tmp_path / "file").write_bytes(b"\xff\0" + raw)
    with everything_seen() as seen:
        seen.add_files(tmp_path)
    assert marks.in_(seen.text) == {"write cap of the root"}
    assert marks.in_("nothing of that") == set()


# Every failure

FAILURES: dict[str, Callable[[Cap], Action]] = {
    "500": lambda root: SendResponse(500, {}, told(root)),
    "a trace": lambda root: SendResponse(
        500, {}, b"Traceback (most recent call last):\n  x\n" + told(root)
    ),
    "read-only": lambda root: SendResponse(
        500, {}, b"NotWriteableError: " + told(root)
    ),
    "no servers": lambda root: SendResponse(500, {}, b"NoServersError: " + told(root)),
    "410": lambda root: SendResponse(410, {}, told(root)),
    "404": lambda root: SendResponse(404, {}, b"No such child: " + told(root)),
    "409": lambda root: SendResponse(409, {}, told(root)),
    "503": lambda root: SendResponse(503, {}, told(root)),
    "a redirect": lambda root: SendResponse(
        302, {"Location": f"http://x/uri/{root.uri}"}, told(root)
    ),
    "a cut body": lambda root: CutBody(200),
    "a lost answer": lambda root: LoseResponse(),
    "refused": lambda root: Refuse(),
    "silence": lambda root: Stall(30),
    "silence in the body": lambda root: Stall(30, after=100),
    "another cap": lambda root: SendResponse(200, {}, root.uri.encode()),
    "no JSON": lambda root: SendResponse(200, {}, b'["dirnode", {' + told(root)),
    "a wrong listing": lambda root: SendResponse(
        200, {}, b'["dirnode", {"children": {"a": "' + told(root) + b'"}}]'
    ),
    "a wrong length": lambda root: SendResponse(
        200, {"Content-Length": "100000", "X-Cap": root.uri}, told(root)
    ),
    "two lengths": lambda root: SendResponse(
        200, {"Content-Length": f"5, {root.uri}"}, told(root)
    ),
}


def told(root: Cap) -> bytes:
    """A gateway may say what it was asked, or a part of it."""
    key = root.uri.split(":")[2]
    return f"{root.uri} {quoted(root.uri)} <b>{key}</b> {key.upper()}".encode()


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ["GET", "P"], ids=["reads", "writes"])
def test_no_failure_of_a_gateway_lets_a_secret_out(
    proxy: Proxy,
    root: Cap,
    marks: Marks,
    seen: SeenRecords,
    failure: str,
    method: str,
) -> None:
    proxy.rule(
        lambda seen: seen.method.startswith(method), FAILURES[failure](root), None
    )
    storage = TahoeStorage(
        base_url=proxy.url,
        base_cap=root.uri,
        public_base_url="http://files.example",
        cache=False,
        read_timeout=0.1,
        retries=1,
    )
    slow = "silence" in failure
    for name, operation in OPERATIONS.items():
        if not slow or name in ("listdir", "read", "save deep", "delete"):
            seen.attempt(operation, storage)
    storage.directories.gateway.close()
    # What answers a write is too short to be held up.
    assert seen.errors or (method, failure) == ("P", "silence in the body")
    assert marks.in_(seen.text) == set()


def test_a_move_that_ends_half_way_lets_no_secret_out(
    proxy: Proxy, root: Cap, marks: Marks, seen: SeenRecords
) -> None:
    proxy.rule(lambda seen: seen.method == "DELETE", SendResponse(500), None)
    storage = TahoeStorage(
        base_url=proxy.url, base_cap=root.uri, cache=False, retries=0
    )
    seen.attempt(OPERATIONS["move"], storage)
    assert len(seen.errors) == 1
    assert marks.in_(seen.text) == set()


def test_a_gateway_that_is_away_lets_no_secret_out(
    root: Cap, marks: Marks, seen: SeenRecords, tmp_path: Path
) -> None:
    storage = TahoeStorage(
        base_url=GATEWAY_AWAY,
        base_cap=root.uri,
        retries=1,
        cache={"directory": str(tmp_path / "cache")},
    )
    for operation in OPERATIONS.values():
        seen.attempt(operation, storage)
    assert len(seen.errors) > 10
    seen.add_files(tmp_path)
    assert marks.in_(seen.text) == set()


def test_a_root_that_is_read_only_lets_no_secret_out(
    tahoe_grid: LocalGrid, root: Cap, marks: Marks, seen: SeenRecords
) -> None:
    storage = TahoeStorage(
        base_url=tahoe_grid.base_url, base_cap=root.read_only.uri, cache=False
    )
    for operation in OPERATIONS.values():
        seen.attempt(operation, storage)
    seen.add(*shown(storage))
    assert {"ReadOnly"} <= {type(error).__name__ for error in seen.errors}
    assert marks.in_(seen.text) == set()


WRONG_OPTIONS: dict[str, Callable[[Cap, Path], dict[str, Any]]] = {
    "a character less": lambda root, file: {"base_cap": root.uri[:-1]},
    "a character more": lambda root, file: {"base_cap": root.uri + "x"},
    "without its beginning": lambda root, file: {"base_cap": root.uri[9:]},
    "only the key": lambda root, file: {"base_cap": root.uri.split(":")[2]},
    "in bytes": lambda root, file: {"base_cap": root.uri.encode()},
    "in a list": lambda root, file: {"base_cap": [root.uri]},
    "in a mapping": lambda root, file: {"base_cap": {"cap": root.uri}},
    "of a file": lambda root, file: {"base_cap": root.uri.replace("DIR2", "SSK")},
    "by a wrong name": lambda root, file: {"base_kap": root.uri},
    "as a name": lambda root, file: {root.uri: 5},
    "twice": lambda root, file: {"base_cap": root.uri, "base_cap_file": str(file)},
    "as an address": lambda root, file: {"base_cap": root, "base_url": root.uri},
    "in an address": lambda root, file: {
        "base_cap": root,
        "base_url": f"http://x/uri/{quoted(root.uri)}",
    },
    "as a path": lambda root, file: {"base_cap_file": root.uri},
    "as a number": lambda root, file: {"base_cap": root, "retries": root.uri},
    "as a host": lambda root, file: {"base_cap": root, "trusted_hosts": [root.uri]},
    "as a cache": lambda root, file: {"base_cap": root, "cache": root.uri},
    "in the cache": lambda root, file: {"base_cap": root, "cache": {"redis": root.uri}},
    "a damaged file": lambda root, file: damaged(file, root.uri[:-3]),
    "a file of two": lambda root, file: damaged(file, f"{root.uri}\n{root.uri}"),
    "a file without its beginning": lambda root, file: damaged(file, root.uri[9:]),
    "a file of another kind": lambda root, file: damaged(
        file, f'BASE_CAP = "{root.uri}"'
    ),
}


def damaged(file: Path, text: str) -> dict[str, Any]:
    file.write_text(text)
    return {"base_cap_file": str(file)}


class Urls:
    """What a site answers in these tests."""

    @staticmethod
    def use(request: HttpRequest, name: str) -> HttpResponse:
        result = OPERATIONS[name](storages["default"])
        return HttpResponse(repr(result))

    urlpatterns = [path("use/<str:name>", use)]  # noqa: RUF012


def pages(settings: Settings, options: dict[str, Any], name: str) -> list[str]:
    """Return Django's technical pages for an operation that fails, for both readers."""
    settings.DEBUG = True
    settings.ROOT_URLCONF = Urls
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": options,
        },
    }
    hide_secrets()
    client = Client(raise_request_exception=False)
    found = []
    for accepted in ("text/html", "text/plain"):
        response = client.get(f"/use/{name}", headers={"accept": accepted})
        assert response.status_code == 500
        assert accepted in response["Content-Type"]
        found.append(response.content.decode())
    return found


@pytest.mark.parametrize("wrong", WRONG_OPTIONS)
def test_wrong_options_let_no_secret_out(
    kept: tuple[Cap, Marks],
    seen: SeenRecords,
    settings: Settings,
    tmp_path: Path,
    wrong: str,
) -> None:
    root, marks = kept
    options = WRONG_OPTIONS[wrong](root, tmp_path / "cap")
    for each in pages(settings, options, "listdir"):
        # Somebody's own names of options are shown; a cap is none.
        seen.add(each)
    storage = seen.attempt(lambda: storages["default"])
    seen.attempt(lambda: storages["default"].listdir(""))
    seen.add(storage, vars(storage) if storage else None)
    seen.attempt(call_command, "check", "--deploy")
    seen.attempt(call_command, "storage_cache", "stats")
    seen.attempt(call_command, "storage_copy", "default", "default")
    assert seen.errors
    assert marks.in_(seen.text) == set()


@pytest.mark.parametrize(
    "wrong", [each for each in WRONG_OPTIONS if "file" not in each]
)
def test_wrong_settings_let_no_secret_out(
    kept: tuple[Cap, Marks],
    seen: SeenRecords,
    settings: Settings,
    tmp_path: Path,
    wrong: str,
) -> None:
    root, marks = kept
    for name, value in WRONG_OPTIONS[wrong](root, tmp_path / "cap").items():
        if name.isidentifier():
            setattr(settings, f"TAHOE_STORAGE_{name.upper()}", value)
    seen.add(*pages(settings, {}, "listdir"))
    seen.attempt(call_command, "check", "--deploy")
    seen.attempt(call_command, "diffsettings", "--all")
    assert marks.in_(seen.text) == set()


@pytest.mark.parametrize(
    "name", ["read none", "delete a directory", "save below a file"]
)
@pytest.mark.parametrize("cap", ["given", "set"])
def test_the_page_of_a_failure_lets_no_secret_out(
    tahoe_grid: LocalGrid,
    root: Cap,
    marks: Marks,
    seen: SeenRecords,
    settings: Settings,
    name: str,
    cap: str,
) -> None:
    options = {"base_url": tahoe_grid.base_url, "base_cap": root.uri, "cache": False}
    if cap == "set":
        settings.TAHOE_STORAGE_BASE_CAP = options.pop("base_cap")
    for each in pages(settings, options, name):
        assert "tahoestorage" in each
        seen.add(each)
    assert marks.in_(seen.text) == set()


# Other secrets


def test_a_redis_s_password_is_let_out_nowhere(
    tahoe_grid: LocalGrid,
    root: Cap,
    marks: Marks,
    seen: SeenRecords,
    settings: Settings,
    tmp_path: Path,
) -> None:
    marks.add("the password of the Redis", PASSWORD)
    (tmp_path / "redis").mkdir()
    with running(tmp_path / "redis") as server:
        with contextlib.closing(server.client()) as client:
            client.config_set("requirepass", PASSWORD)
        for given in (PASSWORD, PASSWORD[::-1], PASSWORD[:-1]):
            url = f"redis://:{given}@127.0.0.1:{server.port}"
            options: TahoeKeywords = {
                "base_url": tahoe_grid.base_url,
                "base_cap": root.uri,
                "cache": {"redis": url},
            }
            seen.add(*pages(settings, {**options, "base_url": GATEWAY_AWAY}, "listdir"))
            storage = TahoeStorage(**options)
            for operation in OPERATIONS.values():
                seen.attempt(operation, storage)
            seen.add(*shown(storage))
            seen.attempt(call_command, "storage_cache", "stats")
        server.stop()
        for operation in OPERATIONS.values():
            seen.attempt(operation, storage)
    text = seen.text
    marks.add("the wrong password", PASSWORD[::-1])
    assert marks.in_(text) == set()


def test_the_keys_of_other_stores_are_let_out_nowhere(
    moto: S3Server, seen: SeenRecords, settings: Settings, tmp_path: Path
) -> None:
    marks = Marks()
    marks.add("the secret key", S3_KEY)
    options = {
        **moto.options,
        "secret_key": S3_KEY,
        "bucket_name": moto.make_bucket(),
        "cache": {"directory": str(tmp_path / "cache")},
    }
    away = {**options, "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    gone = {**options, "bucket_name": "no-such-bucket"}
    for each in (options, away, gone):
        storage = S3Storage(**each)
        for operation in OPERATIONS.values():
            seen.attempt(operation, storage)
        seen.add(*shown(storage))
        if each is not options:
            settings.DEBUG = True
            settings.ROOT_URLCONF = Urls
            settings.STORAGES = {
                "default": {
                    "BACKEND": "tahoestorage.backends.s3.S3Storage",
                    "OPTIONS": each,
                },
            }
            client = Client(raise_request_exception=False)
            seen.add(client.get("/use/size").content.decode())
    assert seen.errors
    seen.add_files(tmp_path)
    assert marks.in_(seen.text) == set()


def test_the_key_of_a_service_account_is_let_out_nowhere(seen: SeenRecords) -> None:
    pem = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )
    marks = Marks()
    marks.add("the private key", pem.splitlines()[10])
    credentials = service_account.Credentials.from_service_account_info(
        {
            "client_email": "a@b.example",
            "project_id": "p",
            "token_uri": GATEWAY_AWAY,
            "private_key": pem,
        }
    )
    storage = GCSStorage(
        bucket_name="bucket",
        project_id="p",
        credentials=credentials,
        cache=False,
        blob_chunk_size=None,
    )
    seen.add(*shown(storage))
    for name in ("url of none", "save outside"):
        seen.attempt(OPERATIONS[name], storage)
    assert marks.in_(seen.text) == set()


# Processes


def watched(
    command: list[str], directory: Path, **environment: str
) -> tuple[str, set[str]]:
    """Run a command; return what it says, and the command lines seen meanwhile."""
    lines: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            lines.update(command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        done.set()
        watcher.join()
    assert run.returncode == 0, run.stdout
    return run.stdout, lines


def test_a_new_root_s_cap_is_in_its_file_and_nowhere_else(
    tahoe_grid: LocalGrid, seen: SeenRecords, tmp_path: Path
) -> None:
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\n"
        "LOGGING = {'version': 1, 'disable_existing_loggers': False, 'handlers': "
        "{'all': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['all'], "
        "'level': 'DEBUG'}}\n"
        f"TAHOE_STORAGE_BASE_URL = {tahoe_grid.base_url!r}\n"
    )
    file = tmp_path / "root.cap"
    manage = [sys.executable, "-m", "django"]
    environment = {"DJANGO_SETTINGS_MODULE": "site_settings"}
    said, lines = watched(
        [*manage, "tahoe_create_root", "--output", str(file)], tmp_path, **environment
    )
    cap = Cap.parse(file.read_text().strip())
    file.unlink()
    marks = Marks()
    marks.add_cap("the new root", cap, cap.read_only)
    assert any("tahoe_create_root" in line for line in lines)
    assert "POST /uri?t=mkdir" in said
    seen.add(said, *lines)
    seen.add_files(tmp_path)
    assert marks.in_(seen.text) == set()


def test_the_secrets_of_a_private_grid_are_let_out_nowhere(
    seen: SeenRecords, tmp_path: Path
) -> None:
    lines: set[str] = set()
    with LocalGrid(tmp_path / "grid", servers=2) as grid:
        cap = grid.create_root()
        lines.update(command_lines())
        seen.add(grid, vars(grid))
    marks = Marks()
    marks.add_cap("the new root", cap)
    found = 0
    for file in (tmp_path / "grid").rglob("private/*"):
        if file.is_file() and file.name in ("convergence", "api_auth_token"):
            marks.add(file.name, file.read_text().strip())
            found += 1
    assert found
    assert any(str(tmp_path / "grid") in line for line in lines)
    seen.add(*lines)
    assert marks.in_(seen.text) == set()
