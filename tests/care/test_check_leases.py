"""``manage.py tahoe_check --add-lease`` beside checks that do something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tahoestorage.care.examiner import Examiner
from tahoestorage.care.record import CheckRecord
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support.checked_sites import (
    TOTAL,
    cap_of,
    lease_ends,
    shares,
)
from tests.support.commands import Made


def ends(grid: LocalGrid, checked_site: TahoeStorage) -> dict[Path, float]:
    caps = [cap_of(checked_site, name) for name in ("one", "one/0", "two/deep/2")]
    return {share: lease_ends(share) for cap in caps for share in shares(grid, cap)}


def test_leases_are_renewed_while_a_check_reads_all_shares(
    grid: LocalGrid,
    checked_site: TahoeStorage,
    check: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading each share of a large site takes weeks, and leases end after 31 days."""
    before, made = ends(grid, checked_site), list[Made]()
    put = CheckRecord.put

    def put_beside(*given: Any) -> None:
        if not made:
            monkeypatch.setattr(CheckRecord, "put", put)
            made.append(check("--add-lease"))
        put(*given)

    time.sleep(1.1)  # leases end at whole seconds
    monkeypatch.setattr(CheckRecord, "put", put_beside)
    verified = check("--verify", "--jobs", "1")

    assert (verified.status, verified.json["checked"]) == (0, TOTAL)
    assert [(each.status, each.json["checked"]) for each in made] == [(0, TOTAL)]
    assert [s for s, end in ends(grid, checked_site).items() if end <= before[s]] == []


def test_a_killed_check_goes_on_after_one_of_another_kind(
    checked_site: TahoeStorage,
    check: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put, done = CheckRecord.put, list[int]()

    def put_some(*given: Any) -> None:
        if len(done) == TOTAL // 2:
            raise RuntimeError("killed")
        put(*given)
        done.append(1)

    with monkeypatch.context() as patch:
        patch.setattr(CheckRecord, "put", put_some)
        killed = check("--verify", "--jobs", "1")
    leased = check("--add-lease")
    again = check("--verify")

    assert (killed.status, leased.status) == (4, 0)
    assert "Going on with the check" in again.err
    # What is literal is not recorded.
    assert (again.status, again.json["checked"]) == (0, TOTAL)
    assert again.json["reused"] == len(done)


def test_a_lease_is_renewed_on_a_server_that_comes_before_the_repair(
    grid: LocalGrid,
    checked_site: TahoeStorage,
    check: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share, *_ = shares(grid, cap_of(checked_site, "one/0"))
    before, away = lease_ends(share), share.with_suffix(".away")
    repair = Examiner._repair

    def repair_later(*given: Any) -> Any:
        away.rename(share)
        return repair(*given)

    time.sleep(1.1)  # leases end at whole seconds
    share.rename(away)
    monkeypatch.setattr(Examiner, "_repair", repair_later)
    made = check("--add-lease", "--repair", "one/0")

    assert (made.status, made.json["whole"]) == (0, 1)
    assert lease_ends(share) > before
