"""manage.py tahoe_prune: empty directories go, and nothing that is saved."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from pytest_django.fixtures import Settings

from tahoestorage.cache import WriteLock
from tahoestorage.cache.entrycache import EntryCache
from tahoestorage.care import pruner
from tahoestorage.exceptions import GatewayTimeout
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import literal_cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.quorum import Quorum
from tests.conftest import MakeStorage
from tests.support import commands
from tests.support.commands import Made
from tests.support.moves import contents

NOW = ("--no-writers", "--watch", "0", "--older-than", "0s")


def run(*arguments: str) -> Made:
    return commands.run("tahoe_prune", *arguments)


@pytest.fixture
def site(make_storage: MakeStorage, settings: Settings) -> TahoeStorage:
    """A site with two empty directories, one in the other, and a full one."""
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": dict(make_storage()._given),
        },
        "memory": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    storage = storages["default"]
    assert isinstance(storage, TahoeStorage)
    for name in ("a/b/c/file", "a/kept/file", "e/file"):
        storage.save(name, ContentFile(name.encode() * 10))
    for name in ("a/b/c/file", "e/file"):
        storage.delete(name)
    return storage


def directories_of(storage: TahoeStorage, path: str = "") -> list[str]:
    found, _ = storage.listdir(path)
    base = f"{path}/" if path else ""
    below = (directories_of(storage, base + name) for name in found)
    return sorted([base + name for name in found] + [p for b in below for p in b])


def test_empty_directories_go_the_innermost_first(site: TahoeStorage) -> None:
    looked = run("--dry-run", "--older-than", "0s", "--json")
    assert looked.json["pruned"] == ["e", "a/b/c", "a/b"]
    assert directories_of(site) == ["a", "a/b", "a/b/c", "a/kept", "e"]

    made = run("a", *NOW)
    assert made.status == 0
    assert "by your word" in made.out
    assert "by the cache" in made.out
    assert directories_of(site) == ["a", "a/kept", "e"]

    assert sorted(run(*NOW, "--json").json["pruned"]) == ["e"]
    assert contents(site) == {"a/kept/file": b"a/kept/file" * 10}
    # The names are free, and the cache knows.
    assert site.save("a/b/c/file", ContentFile(b"again")) == "a/b/c/file"
    assert site.save("e", ContentFile(b"a file")) == "e"
    assert TahoeStorage(**{**site._given, "cache": False}).exists("a/b/c/file")


def test_it_asks_for_the_word_and_leaves_the_young(site: TahoeStorage) -> None:
    refused = run()
    assert refused.status == 2
    assert "--no-writers" in refused.err
    young = run("--no-writers", "--watch", "0", "--json").json
    assert (young["pruned"], young["young"]) == ([], 2)
    assert run("memory", *NOW).status == 1
    assert run("--storage", "memory", *NOW).status == 2
    assert "number of seconds" in run("--watch", "soon").err


def test_who_writes_meanwhile_is_seen_by_the_cache(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TahoeStorage(**site._given)
    listed = Gateway.list

    def slow(self: Gateway, *arguments: Any, **options: Any) -> Any:
        # Another process saves while this one looks.
        monkeypatch.setattr(Gateway, "list", listed)
        other.save("elsewhere", ContentFile(b"1"))
        return listed(self, *arguments, **options)

    monkeypatch.setattr(Gateway, "list", slow)
    made = run(*NOW, "--json")

    assert made.status == 1
    assert "Somebody writes" in made.err
    assert made.json["pruned"] == []
    assert "a/b/c" in directories_of(site)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_others_save_around_the_unlinking_is_kept(
    site: TahoeStorage, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a host that shares no cache, and knows the directory."""
    far = TahoeStorage(**{**site._given, "cache": False})
    inner = far.directories.fetch(("a", "b", "c")).directory
    link = far.directories.gateway.set_children

    def save() -> None:
        link(inner.best, {"saved": Link(literal_cap(b"saved"))}, label="saved")

    unlink = Gateway.unlink
    seen: list[str] = []

    def meanwhile(self: Gateway, *arguments: Any, **options: Any) -> None:
        unlink(self, *arguments, **options)
        if not seen:
            seen.append("saved")
            save()

    if moment == "after":
        monkeypatch.setattr(Gateway, "unlink", meanwhile)
    else:
        listed = Gateway.list

        def later(self: Gateway, cap: Any, path: Any = (), *rest: Any, **o: Any) -> Any:
            if path and not seen:
                seen.append("saved")
                save()
            return listed(self, cap, path, *rest, **o)

        monkeypatch.setattr(Gateway, "list", later)
    made = run("a", *NOW, "--json")

    assert seen
    assert far.exists("a/b/c/saved")
    if moment == "after":
        assert made.status == 1
        assert made.json["linked_again"] == ["a/b/c"]
    else:
        assert made.json["pruned"] == []


def test_without_a_cache_it_says_what_it_does_not_see(
    site: TahoeStorage, settings: Settings
) -> None:
    options = {**site._given, "cache": False}
    backend = "tahoestorage.storage.TahoeStorage"
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}
    made = run(*NOW)
    assert made.status == 0
    assert "your word (--no-writers) alone" in made.out


def test_what_is_not_understood_is_not_empty(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Gateway, *arguments: Any, **options: Any) -> None:
        raise GatewayTimeout("no response in time")

    monkeypatch.setattr(Gateway, "unlink", fail)
    made = run(*NOW)
    assert made.status == 1
    assert "no response in time" in made.err
    assert "a/b/c" in directories_of(site)


def test_what_is_saved_where_the_answer_is_lost_is_linked_again(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another name, where somebody has made a directory of this one."""
    far = TahoeStorage(**{**site._given, "cache": False})
    inner = far.directories.fetch(("a", "b", "c")).directory
    link = far.directories.gateway.set_children
    unlink = Gateway.unlink

    def lost(self: Gateway, *arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(Gateway, "unlink", unlink)
        unlink(self, *arguments, **options)
        link(inner.best, {"saved": Link(literal_cap(b"saved"))}, label="saved")
        far.save("a/b/c/other", ContentFile(b"of another"))
        raise GatewayTimeout("no response in time")

    monkeypatch.setattr(Gateway, "unlink", lost)
    made = run("a", *NOW, "--json")

    (again,) = made.json["linked_again"]
    assert again.startswith("a/b/c.found-")
    fresh = TahoeStorage(**{**site._given, "cache": False})
    assert fresh.exists(f"{again}/saved")
    assert fresh.exists("a/b/c/other")


def test_what_is_saved_around_a_ctrl_c_is_linked_again(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway carries out what it was sent, whoever waits for it."""
    far = TahoeStorage(**{**site._given, "cache": False})
    inner = far.directories.fetch(("a", "b", "c")).directory
    unlink = Gateway.unlink

    def interrupted(self: Gateway, *arguments: Any, **options: Any) -> None:
        unlink(self, *arguments, **options)
        saved = {"saved": Link(literal_cap(b"saved"))}
        self.set_children(inner.best, saved, label="saved")
        raise KeyboardInterrupt

    monkeypatch.setattr(Gateway, "unlink", interrupted)
    made = run("a", *NOW, "--json")

    assert made.status == 130
    assert far.exists("a/b/c/saved")
    assert made.json["linked_again"] == ["a/b/c"]
    failure = {"path": "a/b/c", "reason": "perhaps unlinked: interrupted"}
    assert made.json["failures"] == [failure]


def test_after_an_unclear_response_the_lock_is_kept_and_the_servers_are_asked_for(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway may still be writing, and a server may just have gone."""
    seen: list[object] = []

    class Lock(WriteLock):
        def __exit__(self, kind: object, *more: object) -> None:
            seen.append(kind)

    def fail(self: Gateway, *arguments: Any, **options: Any) -> None:
        raise GatewayTimeout("no response in time")

    monkeypatch.setattr(EntryCache, "lock", lambda *arguments: Lock())
    monkeypatch.setattr(Gateway, "unlink", fail)
    monkeypatch.setattr(Quorum, "invalidate", lambda self: seen.append("servers"))
    made = run(*NOW, "--json")

    assert seen == ["servers", GatewayTimeout]
    why = "perhaps unlinked: no response in time"
    assert made.json["failures"] == [{"path": "e", "reason": why}]
    assert made.status == 1


@pytest.mark.parametrize("failures", [2, 3])
def test_what_cant_be_linked_again_is_tried_thrice_and_then_named(
    failures: int, site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = TahoeStorage(**{**site._given, "cache": False})
    inner = far.directories.fetch(("e",)).directory
    link, unlink = Gateway.set_children, Gateway.unlink
    tries: list[str] = []

    def meanwhile(self: Gateway, *arguments: Any, **options: Any) -> None:
        unlink(self, *arguments, **options)
        link(self, inner.best, {"saved": Link(literal_cap(b"saved"))}, label="saved")

    def away(self: Gateway, *arguments: Any, **options: Any) -> None:
        tries.append("link")
        if len(tries) <= failures:
            raise GatewayTimeout("no response in time")
        link(self, *arguments, **options)

    monkeypatch.setattr(pruner, "LINK_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Gateway, "unlink", meanwhile)
    monkeypatch.setattr(Gateway, "set_children", away)

    made = run(*NOW, "--json")

    assert (made.status, len(tries)) == (1, 3)
    assert made.json["pruned"] == []
    if failures == 2:
        assert (made.json["linked_again"], made.json["failures"]) == (["e"], [])
        assert far.exists("e/saved")
    else:
        assert made.json["linked_again"] == []
        why = "unlinked with something in it: no response in time"
        assert made.json["failures"] == [{"path": "e", "reason": why}]
        assert "or linked again: see above" in made.err
