"""The permission matrix: each endpoint answers each caller as the table says.

A figure that is a test: every endpoint and method by eight kinds of caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.signals import request_finished
from django.db import close_old_connections, connection, transaction
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator

from audit import recording
from audit.models import Entry
from tests.application import matrix
from tests.application.callers import KINDS, Caller, Callers
from tests.application.matrix import TABLE, Endpoint
from tests.application.scene import Scene
from tests.application.stores import store_entry

ChooseStore = Callable[[Endpoint], AbstractContextManager[Any]]
METHODS = {"get", "put", "post", "patch", "delete", "head", "options"}


def test_every_endpoint_of_the_schema_is_in_the_matrix() -> None:
    generator: Any = SchemaGenerator
    schema = generator().get_schema(request=None, public=True)
    endpoints = {
        f"{method.upper()} {path}"
        for path, operations in schema["paths"].items()
        for method in operations
        if method in METHODS
    }

    assert endpoints == {str(one) for one in TABLE if one.in_schema}


def test_the_docs_have_the_same_matrix() -> None:
    page = matrix.PAGE.read_text("utf-8")

    assert page == matrix.with_table(page), "python -m tests.application.matrix"


@pytest.fixture
def stored_for(request: pytest.FixtureRequest, tmp_path: Path) -> ChooseStore:
    """Has the tenants' objects in a bucket for an endpoint that needs one."""

    def choose(endpoint: Endpoint) -> AbstractContextManager[Any]:
        if not endpoint.in_bucket:
            return nullcontext()
        default = store_entry("s3", tmp_path, request)
        return override_settings(STORAGES=settings.STORAGES | {"default": default})

    return choose


@pytest.mark.parametrize("endpoint", TABLE + matrix.heads(), ids=str)
def test_each_caller_is_answered_as_the_table_says(
    callers: Callers, endpoint: Endpoint, stored_for: ChooseStore
) -> None:
    cache.clear()
    scene = Scene(callers)
    with stored_for(endpoint):
        path = address(scene, endpoint)
        told = tuple(answer(scene, endpoint, path, callers[kind]) for kind in KINDS)

    assert dict(zip(KINDS, told, strict=True)) == dict(
        zip(KINDS, endpoint.answers, strict=True)
    )


def address(scene: Scene, endpoint: Endpoint) -> str:
    """Return the endpoint's path with the scene's things in it."""
    return re.sub(
        r"{(\w+)}",
        lambda found: str(getattr(scene, endpoint.things.get(found[1], "object"))),
        endpoint.path,
    )


def answer(scene: Scene, endpoint: Endpoint, path: str, caller: Caller) -> str:
    """Return what the caller is told, and undo what was done."""
    thing = getattr(scene, endpoint.lists) if endpoint.lists else None
    body = None if endpoint.body is None else endpoint.body(scene, caller.kind)
    with transaction.atomic():
        last = Entry.objects.order_by("pk").values_list("pk", flat=True).last() or 0
        response = send(endpoint, path, caller, body)
        status = response.status_code
        shown = b"" if response.streaming else response.content
        close(response)
        if status >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"
        entries = list(Entry.objects.filter(pk__gt=last))
        check_entries(endpoint, caller, entries, done=status < 300)
        transaction.set_rollback(True)
    if endpoint.lists and status == 200:
        return "+" if f'"id":{quoted(thing)}' in shown.decode() else "-"
    return str(status)


def send(endpoint: Endpoint, path: str, caller: Caller, body: Any) -> Any:
    send = getattr(caller.api, endpoint.method.lower())
    if endpoint.format in {"json", "multipart"}:
        return send(path, body, format=endpoint.format, headers=endpoint.headers)
    return send(path, body, content_type=endpoint.format, headers=endpoint.headers)


def close(response: Any) -> None:
    """Close a response as the test client does: PostgreSQL's connection stays."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def quoted(thing: Any) -> str:
    return f'"{thing}"' if isinstance(thing, str) else f"{thing},"


def check_entries(
    endpoint: Endpoint, caller: Caller, entries: list[Entry], *, done: bool
) -> None:
    """The audit says what was done, by whom, and nothing where nothing was."""
    if not (done and endpoint.records):
        assert entries == []
        return
    *followed, entry = entries  # The newest is the first.
    assert [(one.action, one.actor_id) for one in followed] == [
        (action, None) for action in (endpoint.follows,) if action
    ]
    assert entry.action.startswith(endpoint.records)
    if not endpoint.anybody:
        assert entry.actor_id == caller.user.pk


def test_what_is_done_and_its_entry_are_of_one_transaction(
    callers: Callers, monkeypatch: pytest.MonkeyPatch, stored_for: ChooseStore
) -> None:
    """No view records on its own: the test's own transaction would hide that."""
    depths: list[int] = []
    add = recording._ADD

    def note_and_add(entry: Entry) -> None:
        depths.append(len(connection.savepoint_ids))
        add(entry)

    scene = Scene(callers)
    around = len(connection.savepoint_ids)
    monkeypatch.setattr(recording, "_ADD", note_and_add)
    # Another store makes all of them anew: what is in memory is gone then.
    for endpoint in sorted(TABLE, key=lambda one: one.in_bucket):
        if not endpoint.records:
            continue
        with stored_for(endpoint):
            path, make = address(scene, endpoint), endpoint.body
            # Before the transaction: the scene keeps what it makes for them.
            bodies = [None if make is None else make(scene, kind) for kind in KINDS]
            depths.clear()
            cache.clear()
            with transaction.atomic():
                for kind, body in zip(KINDS, bodies, strict=True):
                    close(send(endpoint, path, callers[kind], body))
                transaction.set_rollback(True)
        assert depths, endpoint
        assert min(depths) > around + 1, endpoint
