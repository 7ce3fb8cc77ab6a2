"""What tests of Google Cloud Storage share: a storage, and how it tries again."""

from __future__ import annotations

import pytest

from tahoestorage.backends.gcs import GCSStorage, clients, signing, writing
from tests.support.gcs_storages import PIECE, Make


@pytest.fixture
def storage(make: Make) -> GCSStorage:
    return make()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon."""
    _retry_for(0.3, monkeypatch)


@pytest.fixture
def undaunted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    _retry_for(9.0, monkeypatch)


def _retry_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    retry = clients.RETRY.with_timeout(seconds).with_delay(0.05, 0.1, 2.0)
    monkeypatch.setattr(signing, "RETRY", retry)
    for options in (clients.CALL, clients.LONG):
        monkeypatch.setitem(options, "retry", retry)
        monkeypatch.setitem(options, "timeout", 9.0)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return options with which 256 KiB are much."""
    monkeypatch.setattr(writing, "PIECE", PIECE)
    return {"blob_chunk_size": PIECE}
