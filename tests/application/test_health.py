"""What a load balancer asks."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.test import Client

from config import health
from tahoestorage.config.settings import CacheOptions
from tests.application.site import Environment, bare_environment, manage

# By plain HTTP, and by a name that is none of the site's.
ASK = (
    "from django.test import Client;"
    "response = Client().get('/healthz', headers={'Host': '10.0.0.7:8000'});"
    "print(response.status_code, response.content.decode())"
)


def asked(environment: Environment) -> str:
    production = {"HTTPS": "1", "PROXIES": "1"}
    command = ("shell", "--verbosity=0", "--command", ASK)
    return manage(environment | production, *command).strip()


def test_a_site_with_its_database_is_healthy(tmp_path: Path) -> None:
    assert asked(bare_environment(tmp_path)) == '200 {"database": "ok"}'


def test_a_site_without_its_database_is_not_and_says_no_more(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"postgres://site:secret@127.0.0.1:{taken.getsockname()[1]}/site"

    said = asked(bare_environment(tmp_path) | {"DATABASE_URL": url})

    assert said == '503 {"database": "away"}'


@pytest.mark.django_db
def test_no_cache_keeps_the_response_and_nothing_else_is_taken() -> None:
    client = Client()

    assert client.get("/healthz").headers["Cache-Control"] == "no-store"
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 404
    assert client.get("/healthz/").status_code == 404


@pytest.mark.django_db
def test_each_part_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def ask_store() -> None:
        asked.append("store")
        raise OSError("secret-name-of-a-host")

    monkeypatch.setattr(health, "_said", {})
    monkeypatch.setitem(health.PARTS, "store", ask_store)

    responses = [Client().get("/health") for _ in range(3)]

    told = {"database": "ok", "cache": "ok", "store": "away"}
    assert [(found.status_code, found.json()) for found in responses] == [
        (503, told)
    ] * 3
    assert asked == ["store"]
    assert Client().get("/health/database").json() == {"database": "ok"}
    assert Client().get("/health/process").status_code == 200
    assert Client().get("/health/other").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("is_usable", [True, False], ids=["usable", "unusable"])
def test_the_store_s_cache_must_be_written_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_usable: bool
) -> None:
    # Without a CACHE_URL what processes share is in memory, and always answers.
    directory = tmp_path / "disk" / "cache"
    if not is_usable:
        directory.parent.write_text("no directory")
    options = CacheOptions(directory=directory)
    monkeypatch.setattr(health, "_said", {})
    monkeypatch.setattr(storages["default"], "cache_options", options, raising=False)

    response = Client().get("/health/cache")

    assert response.json() == {"cache": "ok" if is_usable else "away"}
    assert list(tmp_path.rglob("cache/*")) == []


@pytest.mark.django_db
@pytest.mark.parametrize(("contents", "said"), [(None, "ok"), (8 << 20, "away")])
def test_with_a_redis_only_contents_need_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: int | None, said: str
) -> None:
    (tmp_path / "disk").write_text("no directory")
    options = CacheOptions(
        directory=tmp_path / "disk" / "cache",
        redis="redis://127.0.0.1:6379/0",
        content_size_limit=contents,
    )
    monkeypatch.setattr(health, "_said", {})
    monkeypatch.setattr(storages["default"], "cache_options", options, raising=False)

    assert Client().get("/health/cache").json() == {"cache": said}


class Asked:
    """How often the store is looked at, by a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.now, self.is_away = 0, 1000.0, False
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        monkeypatch.setattr(health, "_said", {})
        monkeypatch.setattr(health, "monotonic", lambda: self.now)
        monkeypatch.setattr(storages["default"], "size", self.size)

    def size(self, name: str) -> int:
        self.count += 1
        self.begun.set()
        assert self.go_on.wait(60)
        raise OSError("away") if self.is_away else FileNotFoundError(name)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def said_of_store() -> tuple[int, str]:
    response = Client().get("/health/store")
    return response.status_code, response.json()["store"]


def test_the_store_is_asked_once_in_some_seconds(store: Asked) -> None:
    assert {said_of_store() for _ in range(20)} == {(200, "ok")}
    assert store.count == 1

    store.is_away = True
    store.now += health.KEPT
    assert {said_of_store() for _ in range(20)} == {(503, "away")}
    assert store.count == 2


def test_one_thread_waits_for_the_store(store: Asked) -> None:
    said_of_store()
    store.now += health.KEPT
    store.is_away = True
    store.begun.clear()
    store.go_on.clear()

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(said_of_store)
        assert store.begun.wait(60)
        meanwhile = {said_of_store() for _ in range(8)}
        store.go_on.set()

    assert meanwhile == {(200, "ok")}
    assert looking.result() == (503, "away")
    assert store.count == 2


def test_those_who_are_first_share_one_look(store: Asked) -> None:
    store.go_on.clear()

    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(said_of_store) for _ in range(4)]
        assert store.begun.wait(60)
        store.go_on.set()

    assert {one.result() for one in looking} == {(200, "ok")}
    assert store.count == 1
