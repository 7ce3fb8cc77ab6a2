"""What a load balancer, and Cloud Run, ask of a process: whether it can serve."""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from django.core.cache import cache
from django.core.files.storage import storages
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

logger = logging.getLogger(__name__)


def ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def ask_cache() -> None:
    """Write to what processes share and read it again; write to the store's cache.

    Without CACHE_URL the first is a process's own memory, which always answers.
    """
    key = f"health:{secrets.token_hex(8)}"
    cache.set(key, 1, 10)
    if cache.get(key) != 1:
        raise OSError("it does not keep what is put into it")
    cache.delete(key)
    # Storages of other packages have none.
    options = getattr(storages["default"], "cache_options", None)
    if options is None or options.directory is None:
        return
    # With a Redis only contents are on disk.
    if options.redis is None or options.content_size_limit is not None:
        options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It has no name, so that whoever counts the cache's files does not find it.
        with tempfile.TemporaryFile(dir=options.directory) as file:
            file.write(b"1")


def ask_store() -> None:
    """Ask the default store for a name that nothing has, which no cache answers.

    On a grid `exists` may say no from a directory that the cache knows.
    """
    storage: Any = storages["default"]
    try:
        storage.size(f"health/{secrets.token_hex(8)}")
    except FileNotFoundError:
        return


PARTS = {"database": ask_database, "cache": ask_cache, "store": ask_store}
KEPT = 5.0
"""For so many seconds a process says what it said of its cache and of its store.

Anybody who reaches it may ask, and each look costs a request to the store, a write to
the cache and a thread that waits for them.
"""
_asking = {name: threading.Lock() for name in ("cache", "store")}
_said: dict[str, tuple[float, str]] = {}
"""When each was asked, and what is said of it."""
# Some of Google's fronts keep paths that end in z for themselves: hence /health, too.
PATHS = {
    "/healthz": ["database"],
    "/health": list(PARTS),
    "/health/process": [],
    **{f"/health/{name}": [name] for name in PARTS},
}


class Health:
    """Answers 200 ``{"database": "ok"}``, or 503 where something does not respond.

    ``/healthz`` asks the database only: where the store is away, no other process could
    do better. ``/health`` asks the database, the caches (what processes share, and the
    store's directory on disk) and the store, each by itself;
    ``/health/database``, ``/health/cache`` and ``/health/store`` one of them, and
    ``/health/process`` nothing: it tells that this process still takes requests. What a
    process says of the cache and of the store is up to `KEPT` seconds old, or older by
    as long as a look at them takes.

    It stands before what checks the host and redirects to https. What was answered is
    in the log, and only whether something was, in the response.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        names = PATHS.get(request.path_info)
        if names is None or request.method not in {"GET", "HEAD"}:
            return self.get_response(request)
        said = {name: asked(name) for name in names} or {"process": "ok"}
        return JsonResponse(
            said,
            status=200 if set(said.values()) == {"ok"} else 503,
            headers={"Cache-Control": "no-store"},
        )


def asked(name: str) -> str:
    lock = _asking.get(name)
    if lock is None:
        return ask(name)
    last = _said.get(name)
    if last is not None and monotonic() - last[0] < KEPT:
        return last[1]
    # One thread looks. The others need not wait where something was said before.
    if last is not None and lock.locked():
        return last[1]
    with lock:
        if _said.get(name) == last:
            said = ask(name)
            _said[name] = (monotonic(), said)
        return _said[name][1]


def ask(name: str) -> str:
    try:
        PARTS[name]()
    except Exception as error:  # Stores and caches have errors of no common kind.
        logger.error("The %s does not respond: %s", name, error)
        return "away"
    return "ok"
