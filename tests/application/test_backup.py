"""A backup of database and stores, made beside a writer, and restored elsewhere."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Tenant, User
from objects import purging
from objects.backuplock import deleting
from objects.management.commands import backup as command
from objects.management.commands import restore
from objects.models import Version
from tahoestorage.exceptions import NotEnoughShares, StoreUnreachable
from tahoestorage.testing.grid import LocalGrid
from tests.application.postgres import Postgres
from tests.application.site import Environment, bare_environment, make_tables, manage
from tests.application.stores import put, store_entry
from tests.support.s3_servers import S3Server

# Objects of some sizes, one with versions, one that is deleted.
FILL = """
import io
from django.core.management import call_command
from accounts.models import Tenant, User
from django.utils import timezone
from objects import storing
from objects.incoming import IncomingFile
from objects.models import StoredObject
tenant = Tenant.objects.create(name="Acme", slug="acme")
user = User.objects.create_user("ann", password="secret-of-ann", tenant=tenant)
for size, name in ((0, "empty"), (10, "small"), (100_000, "large"), (5, "twice"),
                   (7, "twice"), (9, "deleted")):
    storing.store(IncomingFile(io.BytesIO(b"x" * size), size), tenant=tenant,
                  user=user, folder="a/b", name=name)
StoredObject.objects.filter(name="deleted").update(deleted_at=timezone.now())
"""
LOOK = """
import json
from accounts.models import Tenant, User
from objects.models import Version
from objects.reading import hashed
print(json.dumps({
    "versions": sorted(
        [v.object.path, v.number, v.state, str(v.object.deleted_at), v.size, v.sha256]
        for v in Version.objects.all()),
    "whole": all(hashed(v.storage, v.key) == (v.size, v.sha256)
                 for v in Version.objects.all()),
    "users": [[u.username, u.check_password("secret-of-ann")]
              for u in User.objects.filter(tenant__slug="acme")],
    "used": list(Tenant.objects.filter(slug="acme").values_list("used_bytes")),
}))
"""


def grid_store(grid: LocalGrid, directory: Path) -> Environment:
    cap = directory / "root.cap"
    cap.write_text(grid.create_root().uri)
    return {
        "TAHOE_STORAGE_BASE_URL": grid.base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(cap),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
    }


def s3_store(server: S3Server) -> Environment:
    return {
        "STORAGE_URL": f"s3://{server.make_bucket()}"
        f"?endpoint_url={server.endpoint_url}",
        "AWS_S3_ACCESS_KEY_ID": server.access_key,
        "AWS_S3_SECRET_ACCESS_KEY": server.secret_key,
    }


def shell(environment: Environment, *scripts: str) -> Any:
    """Return the JSON that the last line says; a process is half of the time."""
    command = "".join(scripts)
    said = manage(environment, "shell", "--verbosity=0", "--command", command)
    return json.loads(said.splitlines()[-1])


def backed_up_and_restored(first: Environment, second: Environment, to: Path) -> None:
    backup = f"call_command('backup', {str(to)!r})\n"
    restore = (
        "from django.core.management import call_command\n"
        f"call_command('restore', {str(to)!r})\n"
    )

    before = shell(first, FILL, backup, LOOK)
    after = shell(second, restore, LOOK)

    assert before["whole"]
    assert after == before
    assert to.stat().st_mode & 0o777 == 0o700
    assert (to / "database").stat().st_mode & 0o777 == 0o600
    # Over a database with something in it nothing is restored.
    with pytest.raises(AssertionError, match="The database is not empty"):
        manage(second, "restore", str(to))


def test_sqlite_and_a_grid_come_back_whole(
    tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    environments = []
    for name in ("first", "second"):
        directory = tmp_path / name
        directory.mkdir()
        store = grid_store(tahoe_grid, directory)
        environments.append(bare_environment(directory) | store)

    first, second = environments
    make_tables(first)
    backed_up_and_restored(first, second, tmp_path / "backup")

    with sqlite3.connect(tmp_path / "backup" / "database") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_postgresql_and_s3_come_back_whole(
    postgres: Postgres,
    postgres_tables: Callable[[], str],
    weed: S3Server,
    tmp_path: Path,
) -> None:
    environments = []
    for database in (postgres_tables(), postgres.make_database("template0")):
        directory = tmp_path / database.rpartition("/")[2]
        directory.mkdir()
        environments.append(
            bare_environment(directory) | s3_store(weed) | {"DATABASE_URL": database}
        )

    first, second = environments
    backed_up_and_restored(first, second, tmp_path / "backup")


def test_what_is_no_whole_backup_is_not_restored(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no whole backup"):
        call_command("restore", str(tmp_path))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.django_db
def test_killed_anywhere_the_directory_has_a_whole_backup(
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    settings.STORAGES = {"default": store_entry("files", tmp_path, request)}
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    user = User.objects.create_user("ann", password="secret", tenant=tenant)
    directory = tmp_path / "backup"
    steps, kills = 0, 1000

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps > kills:
            raise Killed

    def stepping(*arguments: Any, **options: Any) -> None:
        step()
        call_command(*arguments, **options)
        step()

    def dump(to: Path) -> None:
        keys = Version.objects.values_list("key", flat=True)
        to.write_text(json.dumps(list(keys)))
        step()

    monkeypatch.setattr(command, "call_command", stepping)
    monkeypatch.setattr(command, "dump", dump)
    put(user, b"first", "first")
    call_command("backup", str(directory))
    put(user, b"second", "second")
    purging.forget(_going("first"))
    kills = 0

    while True:
        steps = 0
        try:
            call_command("backup", str(directory))
            break
        except Killed:
            kills += 1
        assert (directory / "backup.json").exists()
        for key in json.loads((directory / "database").read_text()):
            assert (directory / "stores" / "default" / key).exists()

    assert kills >= 3
    (second,) = Version.objects.values_list("key", flat=True)
    files = (directory / "stores").rglob("*~*")
    assert [file.name for file in files] == [second.rpartition("/")[2]]


@pytest.fixture
def database_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own is in memory, on SQLite: no other process has it."""
    if connection.vendor == "sqlite":
        name = str(tmp_path / "database")
        monkeypatch.setitem(connection.settings_dict, "NAME", name)


def refusals(*commands: tuple[str, ...]) -> list[str]:
    """What each of the commands says that refuses to run."""
    said = []
    for each in commands:
        with pytest.raises(CommandError) as caught:
            call_command(*each)
        said.append(str(caught.value))
    return said


@pytest.mark.django_db
@pytest.mark.usefixtures("database_for_others")
def test_while_a_backup_is_made_nothing_is_deleted_for_good(
    user: User, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "dump", lambda to: to.write_text(""))
    settings.STORAGES = dict(settings.STORAGES)
    put(user, b"content")
    directory, other = str(tmp_path / "backup"), str(tmp_path / "other")
    said: list[str] = []

    def copying(*arguments: Any, **options: Any) -> None:
        said.extend(
            refusals(
                ("objects_purge",),
                ("erase_user", "ann", "--no-input"),
                ("backup", directory),
                ("backup", other),
            )
        )
        call_command(*arguments, **options)

    monkeypatch.setattr(command, "call_command", copying)

    call_command("backup", directory)

    assert len(said) == 8
    assert all("backup is under way" in one for one in said)
    assert (tmp_path / "backup" / "backup.json").exists()
    assert User.objects.filter(is_active=True).exists()
    monkeypatch.undo()
    call_command("objects_purge")
    call_command("erase_user", "ann", "--no-input")


@pytest.mark.django_db
@pytest.mark.usefixtures("database_for_others")
def test_while_something_is_deleted_for_good_no_backup_is_made(
    user: User, tmp_path: Path
) -> None:
    directory = str(tmp_path / "backup")
    with deleting():
        (said,) = refusals(("backup", directory))
        # Two who delete for good do each other no harm.
        call_command("objects_purge")

    assert "A purge or an erasure is under way" in said
    assert not any((tmp_path / "backup").iterdir())


@pytest.mark.django_db
def test_what_a_store_has_lost_stays_in_the_backup_and_is_told(
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    # SQLite's own copy waits for the transaction that the test is in.
    monkeypatch.setattr(command, "dump", lambda to: to.write_text(""))
    settings.STORAGES = {"default": store_entry("files", tmp_path, request)}
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    user = User.objects.create_user("ann", password="secret", tenant=tenant)
    lost, purged = put(user, b"lost", "lost"), put(user, b"purged", "purged")
    put(user, b"kept", "kept")
    directory = tmp_path / "backup"
    copies = directory / "stores" / "default"
    call_command("backup", str(directory))
    # Somebody does so by other means.
    lost.storage.delete(lost.key)
    purging.forget(_going("purged"))

    with pytest.raises(CommandError, match="a store has lost") as caught:
        call_command("backup", str(directory))

    assert caught.value.returncode == 1
    assert (copies / lost.key).read_bytes() == b"lost"
    assert not (copies / purged.key).exists()
    assert (directory / "backup.json").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("away", ["a file", "a store"])
def test_what_cant_be_read_keeps_nothing_else_out_of_the_backup(
    away: str,
    three_stores: None,
    user: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # SQLite's own copy waits for the transaction that the test is in.
    monkeypatch.setattr(command, "dump", lambda to: to.write_text("new"))
    unreadable, good = put(user, b"unreadable"), put(user, b"good", "good")
    storages["cold"].save("other", ContentFile(b"other"))
    directory = tmp_path / "backup"
    copies = directory / "stores"
    (copies / "default").mkdir(parents=True)
    (copies / "default" / "erased").touch()
    (copies / "cold").mkdir()
    (copies / "cold" / "erased").touch()
    (directory / "database").write_text("old")
    store: Any = storages["default"]
    opened = store._open

    def opening(name: str, mode: str = "rb") -> Any:
        if name == unreadable.key:
            raise NotEnoughShares("2 of 3 shares are there.")
        return opened(name, mode)

    monkeypatch.setattr(store, "_open", opening)
    if away == "a store":
        monkeypatch.setattr(
            store, "listdir", mock.Mock(side_effect=StoreUnreachable("It is away."))
        )

    with pytest.raises(CommandError, match="of these stores: default; see") as caught:
        call_command("backup", str(directory))

    assert caught.value.returncode == 1
    assert (directory / "database").read_text() == "new"
    told = json.loads((directory / "backup.json").read_text())
    assert told["incomplete"] == ["default"]
    assert (copies / "cold" / "other").read_bytes() == b"other"
    assert not (copies / "cold" / "erased").exists()
    assert (copies / "default" / "erased").exists()
    if away == "a file":
        assert (copies / "default" / good.key).read_bytes() == b"good"
        assert unreadable.key in capsys.readouterr().err

    monkeypatch.setattr(restore, "load", lambda source: None)
    monkeypatch.setattr(connection.introspection, "table_names", list)
    call_command("restore", str(directory))

    assert "Not all files of these stores were in it: default." in (
        capsys.readouterr().out
    )


def _going(name: str) -> Any:
    versions = Version.objects.filter(object__name=name)
    versions.update(state=Version.State.GOING)
    return versions
