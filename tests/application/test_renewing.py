"""Leases that are renewed while their holder works."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError

from config.renewing import renewed

PATIENCE = 60  # seconds; only an error takes so long


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError, ImproperlyConfigured])
def test_a_database_that_fails_is_asked_again(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[None] = []
    is_renewed = threading.Event()

    def renew() -> None:
        calls.append(None)
        if len(calls) == 1:
            raise error("away")
        is_renewed.set()

    with renewed(renew, 0.001, "An upload"):
        assert is_renewed.wait(PATIENCE)

    assert "An upload: the lease was not renewed: away" in caplog.text


def test_a_lease_that_is_lost_is_not_renewed_any_more() -> None:
    threads = []
    is_called = threading.Event()

    def renew() -> bool:
        threads.append(threading.current_thread())
        is_called.set()
        return False

    with renewed(renew, 0.001, "An upload"):
        assert is_called.wait(PATIENCE)
        threads[0].join(PATIENCE)
        assert not threads[0].is_alive()

    assert len(threads) == 1
