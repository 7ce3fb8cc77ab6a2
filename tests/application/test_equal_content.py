"""What equal content of two tenants has in common on a grid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Tenant, User
from objects.models import Version
from tahoestorage.testing.grid import LocalGrid
from tests.application.stores import put, read
from tests.application.test_tenant_move import move

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def grid(tahoe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    """A grid with two gateways, each with a convergence secret of its own."""
    directory = tmp_path_factory.mktemp("grid")
    with LocalGrid(directory, servers=1, gateways=2, tahoe=tahoe) as grid:
        yield grid


@pytest.fixture(autouse=True)
def stores(grid: LocalGrid, settings: Any, tmp_path: Path) -> None:
    """Two stores at the first gateway, and one at the second."""
    settings.STORAGES = {
        alias: {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {
                "base_url": grid.base_urls[gateway],
                "base_cap": grid.create_root().uri,
                "cache": {"directory": str(tmp_path / alias)},
            },
        }
        for alias, gateway in (("default", 0), ("beside", 0), ("new", 1))
    }


def tenant_of(store: str) -> User:
    tenant = Tenant.objects.create(name=store, slug=store, store=store)
    return User.objects.create_user(store, tenant=tenant)


def cap_of(version: Version) -> str:
    """Return the read cap by which the store has the version's bytes."""
    storage: Any = version.storage
    return str(storage.file_entry(version.key).reference)


def test_the_gateways_have_secrets_of_their_own(grid: LocalGrid) -> None:
    secrets = [
        (grid.log_path(number).parent / "private" / "convergence").read_bytes()
        for number in range(2)
    ]

    assert len(set(secrets)) == 2


def test_a_gateway_of_its_own_gives_a_tenant_caps_of_its_own() -> None:
    content = os.urandom(3000)
    first, beside, apart = (
        put(tenant_of(store), content) for store in ("default", "beside", "new")
    )

    # At one gateway a root of one's own does not help.
    assert cap_of(first) == cap_of(beside)
    assert cap_of(apart) != cap_of(first)
    assert read(apart) == read(first) == content


def test_a_tenant_who_moves_to_a_gateway_of_its_own_leaves_the_others_caps(
    user: User,
) -> None:
    content = os.urandom(3000)
    stays, moves = put(tenant_of("beside"), content), put(user, content)
    assert cap_of(stays) == cap_of(moves)

    assert move()["moved"] == 1

    moves.refresh_from_db()
    assert moves.store == "new"
    assert cap_of(moves) != cap_of(stays)
    assert read(moves) == content
