"""``manage.py tahoe_check`` where what fails is not the files that it checks."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tahoestorage.care import examiner
from tahoestorage.care.record import default_record
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tests.support.checked_sites import cap_of, states
from tests.support.commands import Made, run
from tests.support.proxy import ChangeBody, Proxy, Seen, SendResponse

TOTAL = 4  # the root, a directory and two files


@pytest.fixture
def site(
    proxy: Proxy,
    root: Cap,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TahoeStorage:
    """A site with a few files, whose gateway is behind the proxy."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(examiner, "PAUSE", 0.05)
    monkeypatch.setattr(examiner, "RETRY_PAUSES", (0.05, 0.05))
    given: dict[str, Any] = {
        "base_url": proxy.url,
        "base_cap": root.uri,
        "cache": False,
    }
    entry = {"BACKEND": "tahoestorage.storage.TahoeStorage", "OPTIONS": given}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    storage = TahoeStorage(**given)
    for name in ("d/one", "d/two"):
        storage.save(
            name, ContentFile(f"{name} is longer than a cap can hold".encode() * 9)
        )
    proxy.clear()
    return storage


def check(*arguments: str) -> Made:
    return run("tahoe_check", "--json", *arguments)


def record_of(site: TahoeStorage) -> Path:
    path = default_record(site.directories.root.best.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE runs (x)"],
        ["UPDATE runs SET ended = NULL, started = 'x'"],
        [
            "CREATE TRIGGER full BEFORE INSERT ON runs "
            "BEGIN SELECT RAISE(FAIL, 'full'); END"
        ],
        ["UPDATE found SET state = 'x'"],
        ["UPDATE found SET done = 'x', at = 'x'"],
    ],
    ids=["tables", "time", "full", "state", "done"],
)
def test_a_check_goes_on_without_a_record_that_is_of_no_use(
    statements: list[str], site: TahoeStorage
) -> None:
    path = record_of(site)
    if "CREATE TABLE" not in statements[0]:
        assert check().status == 0
    execute(path, *statements)

    made = check("--since", "1h")

    assert (made.status, made.json["whole"]) == (0, TOTAL)
    assert "Not noted what was checked: " in made.err


@pytest.mark.usefixtures("site")
def test_a_result_that_cant_be_printed_is_not_taken_for_a_repair() -> None:
    for command, status in (("tahoe_check", 4), ("tahoe_status", 3)):
        with (
            open("/dev/full", "wb", buffering=0) as full,
            io.TextIOWrapper(full, write_through=True) as stdout,
            pytest.raises(CommandError, match="No space left") as raised,
        ):
            call_command(command, stdout=stdout, stderr=io.StringIO())
        assert raised.value.returncode == status


def test_a_gateway_that_fails_at_the_end_costs_no_result(
    site: TahoeStorage, proxy: Proxy
) -> None:
    def is_at_the_end(seen: Seen) -> bool:
        return seen.target == "/?t=json" and any(
            "check" in s.target for s in proxy.seen
        )

    proxy.rule(is_at_the_end, SendResponse(502, body=b"Bad Gateway"), None, guards=True)

    made = check()
    proxy.clear()
    again = check()

    assert (made.status, made.json["whole"]) == (0, TOTAL)
    assert made.json["servers"]["start"]
    assert made.json["servers"]["end"] is None
    # It has come to its end.
    assert "Going on" not in again.err


DISTURBED = SendResponse(500, body=b"UncoordinatedWriteError: somebody else wrote")
TOO_FEW = SendResponse(410, body=b"NotEnoughSharesError: no shares could be found")


def seeing(**found: Any) -> ChangeBody:
    """Change what the gateway says that a check found."""

    def change(body: bytes) -> bytes:
        document = json.loads(body)
        document["results"].update(found)
        return json.dumps(document).encode()

    return ChangeBody(change)


NONE_SEEN = seeing(recoverable=False, healthy=False, **{"count-shares-good": 0})
ONE_STALE = seeing(healthy=False, **{"count-wrong-shares": 1})
FIRST_LOOKS = {
    "disturbed": DISTURBED,
    "too-few": TOO_FEW,
    "none-seen": NONE_SEEN,
    "one-stale": ONE_STALE,
}
# With --verify each object of a directory is checked by a request of its own.
FILE = (["d/one"], "CHK")
DIRECTORY = (["d", "--verify"], "DIR2")
OBJECTS = pytest.mark.parametrize(
    ("arguments", "kind"), [FILE, DIRECTORY], ids=["file", "directory"]
)


def checks_of(kind: str, *, repair: bool = False) -> Callable[[Seen], bool]:
    """Match checks of the objects of a kind; with ``repair`` those that repair."""
    return lambda seen: (
        seen.path.startswith(f"/uri/URI:{kind}:")
        and "?t=check&" in seen.target
        and ("repair=true" in seen.target) == repair
    )


def count(proxy: Proxy, matches: Callable[[Seen], bool]) -> int:
    return sum(matches(seen) for seen in proxy.seen)


@pytest.mark.usefixtures("site")
@OBJECTS
@pytest.mark.parametrize("first", FIRST_LOOKS.values(), ids=FIRST_LOOKS)
def test_what_a_second_look_does_not_see_is_not_told(
    first: SendResponse | ChangeBody, arguments: list[str], kind: str, proxy: Proxy
) -> None:
    proxy.rule(checks_of(kind), first)

    made = check(*arguments)

    assert (made.status, made.json["findings"]) == (0, [])
    assert count(proxy, checks_of(kind)) == 2


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("looks", "is_readable", "state", "status"),
    [
        (DISTURBED, True, "failed", 4),
        (TOO_FEW, False, "lost", 3),
        (NONE_SEEN, False, "lost", 3),
        (TOO_FEW, True, "hurt", 2),
        (NONE_SEEN, True, "hurt", 2),
        (ONE_STALE, True, "hurt", 2),
    ],
    ids=["disturbed", "too-few", "none", "too-few-read", "none-read", "one-stale"],
)
def test_what_two_looks_see_is_told_and_only_what_cant_be_read_as_lost(
    looks: SendResponse | ChangeBody,
    is_readable: bool,
    state: str,
    status: int,
    proxy: Proxy,
) -> None:
    proxy.rule(checks_of("CHK"), looks, 2)
    if not is_readable:
        proxy.rule(lambda s: s.method == "GET" and "CHK" in s.target, TOO_FEW, None)

    made = check("d/one")

    assert (made.status, states(made)) == (status, {"d/one": state})
    assert count(proxy, checks_of("CHK")) == 2


@pytest.mark.usefixtures("site")
def test_of_two_looks_the_one_that_saw_more_is_believed(proxy: Proxy) -> None:
    for look in (ONE_STALE, NONE_SEEN):
        proxy.rule(checks_of("CHK"), look)
    # Nobody asks whether it can be read, for its shares were seen.
    proxy.rule(lambda s: s.method == "GET" and "CHK" in s.target, TOO_FEW, None)

    made = check("d/one")

    assert (made.status, states(made)) == (2, {"d/one": "hurt"})


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("first", "status", "looks"),
    [(ONE_STALE, 2, 1), (NONE_SEEN, 0, 2), (TOO_FEW, 0, 2)],
    ids=["one-stale", "none-seen", "too-few"],
)
def test_after_many_surprises_only_what_looks_lost_is_looked_at_twice(
    first: SendResponse | ChangeBody,
    status: int,
    looks: int,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examiner, "FIRST_SURPRISES", 0)
    proxy.rule(checks_of("CHK"), first)

    assert check("d/one").status == status
    assert count(proxy, checks_of("CHK")) == looks


@pytest.mark.usefixtures("site")
@OBJECTS
@pytest.mark.parametrize("failure", [DISTURBED, TOO_FEW], ids=["disturbed", "too-few"])
@pytest.mark.parametrize(("times", "status"), [(1, 1), (2, 2)], ids=["once", "twice"])
def test_a_repair_that_fails_is_tried_once_more(
    times: int,
    status: int,
    failure: SendResponse,
    arguments: list[str],
    kind: str,
    proxy: Proxy,
) -> None:
    def repaired(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "repair-attempted": True}).encode()

    proxy.rule(checks_of(kind), ONE_STALE, 2)
    proxy.rule(checks_of(kind, repair=True), failure, times)
    proxy.rule(checks_of(kind, repair=True), ChangeBody(repaired))

    made = check("--repair", *arguments)

    state = {1: "repaired", 2: "hurt"}[status]
    assert (made.status, states(made)) == (status, {arguments[0]: state})
    assert count(proxy, checks_of(kind, repair=True)) == 2
    told = made.json["findings"][0]["reason"]
    assert ("not repaired: " in told) == (times == 2)


def is_stream(seen: Seen) -> bool:
    return "?t=stream-deep-check" in seen.target


def with_an_error(body: bytes) -> bytes:
    """Have a stream end as a gateway ends it where it gives up: by a traceback."""
    first, _ = body.split(b"\n", 1)
    return first + (
        b"\nERROR: NotEnoughSharesError(no shares could be found)\n"
        b"Traceback (most recent call last):\n"
        b'  File "checker.py", line 1, in check\n'
        b"allmydata.interfaces.NotEnoughSharesError: no shares could be found\n"
    )


def without_an_end(body: bytes) -> bytes:
    """Leave out a stream's last line, which has the statistics."""
    return body[: body.rindex(b"\n", 0, -1) + 1]


@pytest.mark.parametrize(
    ("change", "is_lost"),
    [(with_an_error, False), (with_an_error, True), (without_an_end, False)],
    ids=["error", "error-and-lost", "no-end"],
)
def test_what_a_stream_leaves_out_is_checked_by_itself_and_the_rest_goes_on(
    is_lost: bool, change: Callable[[bytes], bytes], site: TahoeStorage, proxy: Proxy
) -> None:
    site.save("e/three", ContentFile(b"three is longer than a cap can hold" * 9))
    lost = cap_of(site, "d/two")
    directory = site.directories.fetch((), "d").child
    assert directory is not None
    place = directory.write_reference or ""
    proxy.clear()
    proxy.rule(lambda seen: is_stream(seen) and place in seen.path, ChangeBody(change))
    if is_lost:
        # As it is for the stream: its check, and all that reads it.
        proxy.rule(lambda seen: lost.uri in seen.path, TOO_FEW, None)

    made = check()

    expected = {"d/two": "lost"} if is_lost else {}
    assert (made.status, states(made)) == (3 if is_lost else 0, expected)
    assert made.json["checked"] == TOTAL + 2
    alone = [seen.path for seen in proxy.seen if "?t=check&" in seen.target]
    assert all(alone.count(path) == 1 or lost.uri in path for path in alone)
    # The root, whose children are directories, and what the stream did not tell: with
    # an error both files, for its first line is the directory's.
    assert len(set(alone)) == (3 if change is with_an_error else 1)
    assert count(proxy, is_stream) == 2
