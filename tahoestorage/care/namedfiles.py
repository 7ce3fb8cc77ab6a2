"""Which files of a store the database names: by its FileFields, or by a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.files.storage import (
    InMemoryStorage,
    Storage,
    default_storage,
    storages,
)
from django.db import connections, router
from django.db.models import FileField, Model, QuerySet

from tahoestorage.backends.names import path_of
from tahoestorage.config.settings import backends
from tahoestorage.filenames import naming_functions
from tahoestorage.moving.disk import Disk
from tahoestorage.moving.names import BadName, NoFile
from tahoestorage.moving.objects import Objects
from tahoestorage.moving.resolve import store_of
from tahoestorage.moving.store import Store

CHUNK = 2000

KeyOf = Callable[[str], str]


class NamedFile(NamedTuple):
    """A name, its ``key`` in the store's realm, and who names it.

    ``key`` is None for a name that no file can have. Where ``below``, it stands for
    all that is below it. ``required``: the store must have the file. Without ``sure``
    nobody can tell where the file is kept: the key is the name, below no location.
    """

    name: str
    key: str | None
    by: str
    required: bool
    below: bool = False
    sure: bool = True


class KeyMaker(NamedTuple):
    """What makes keys of names, and whether the files are surely ``here``.

    Without ``sure`` nobody can tell where they are kept.
    """

    key: KeyOf
    here: bool
    sure: bool = True


def key_of(store: Store, storage: Storage) -> KeyMaker | None:
    """Return what makes keys in ``store`` out of another storage's names.

    None where it is surely elsewhere; of one realm, a key tells. Of storages of other
    packages nobody can tell where they keep files.
    """
    if storage is default_storage:
        storage = storages["default"]
    if storage is store.storage:
        return KeyMaker(store.key, here=True)
    other = store_of(storage)
    if type(other) is Store and not isinstance(storage, InMemoryStorage):
        return KeyMaker(_bare_key, here=False, sure=False)
    if not _shares(store, other):
        return None
    is_here = other.realm() == store.realm() and other.base() == store.base()
    return KeyMaker(other.key, here=is_here)


def _shares(store: Store, other: Store) -> bool:
    """Whether files of both may be the same ones, by their keys."""
    if isinstance(other, Disk) and not other.storage.location:
        # As of static files without a STATIC_ROOT: it can't keep any.
        return False
    if isinstance(store, Objects) and isinstance(other, Objects):
        # One bucket may have several endpoints.
        return bool(store.storage.bucket_name == other.storage.bucket_name)
    return other.realm() == store.realm()


def _bare_key(name: str) -> str:
    return "/".join(path_of(name.replace("\\", "/").lstrip("/")))


def named_files(store: Store) -> Iterator[NamedFile]:
    """Yield each name of a file that may be in the store.

    Raises DatabaseError where a table can't be read, what a function raises that names
    files, and ImproperlyConfigured where a field's storage is not configured.
    """
    for model, field in _fields():
        if (found := key_of(store, field.storage)) is not None:
            label = f"{model._meta.label}.{field.name}"
            for name in _names(model, field.attname):
                yield _named(name, label, found, found.here)
    for alias, keys in _aliases(store):
        for each in naming_functions():
            for name in each.function(alias):
                yield _named(name, each.label, keys, each.required and keys.here)


def _fields() -> Iterator[tuple[type[Model], FileField]]:
    for model in apps.get_models(include_auto_created=True):
        # Those of its parents are named by them; a proxy has none of its own.
        for field in model._meta.local_fields:
            if isinstance(field, FileField):
                yield model, field


def _aliases(store: Store) -> Iterator[tuple[str, KeyMaker]]:
    """Yield each alias whose files may be in the store."""
    for alias in backends():
        with _skipping_unusable(alias):
            found = key_of(store, storages[alias])
            if found is not None:
                yield alias, found


@contextlib.contextmanager
def _skipping_unusable(alias: str) -> Iterator[None]:
    """Pass over what nobody can make; raise where only this process can't.

    By Django's own storages the settings are wrong, as without a STATIC_URL, and nobody
    saves to them. Others may need a file or a library that the site itself has.
    """
    try:
        yield
    except (ImproperlyConfigured, ImportError) as error:
        if not str(backends()[alias]["BACKEND"]).startswith("django."):
            raise ImproperlyConfigured(
                f"The storage {alias} can't be made here, so that nobody knows which "
                f"files are its own: {error}"
            ) from None


def other_stores(store: Store) -> tuple[list[str], list[Hashable]]:
    """Return where other storages keep what is theirs, of what is listed here.

    As what their keys begin with, where that is below this store; and as the places of
    other roots on grids, which may be anywhere.
    """
    bases: set[str] = set()
    places: set[Hashable] = set()
    for storage in (*all_storages(), *(field.storage for _, field in _fields())):
        found = key_of(store, storage)
        other = store_of(storage)
        if found is None and type(other) is type(store):
            places.add(other.place())
        elif found is not None and found.sure and _shares(store, other):
            bases.add(other.base())
    bases = {each for each in bases - {store.base()} if each.startswith(store.base())}
    return sorted(bases), [each for each in places if each is not None]


def inside_of(store: Store) -> str | None:
    """Return where another root on a grid has this store's root, or might have it.

    The names of that storage lead here too, then, by another beginning. None where it
    has not; the other roots are searched whole.
    """
    if store.place() is None or isinstance(store, Disk):
        return None
    searched = {store.place()}
    for storage in (*all_storages(), *(field.storage for _, field in _fields())):
        other = store_of(storage)
        # Many fields have one storage, and a search asks for each directory.
        if type(other) is type(store) and other.place() not in searched:
            searched.add(other.place())
            for found in other.walk_once([store.place()]):
                if found.error is not None and not isinstance(
                    found.error, NoFile | BadName
                ):
                    return found.name or "its root"
    return None


def all_storages() -> Iterator[Storage]:
    """Yield the storage of each alias that somebody can make."""
    for alias in backends():
        made: Storage | None = None
        with _skipping_unusable(alias):
            made = storages[alias]
        if made is not None:
            yield made


def _names(model: type[Model], column: str) -> Iterator[str]:
    """Yield the values of a column in all databases that have the table."""
    for database in _databases(model):
        # Not a manager, which may leave rows out.
        rows: QuerySet[Model] = QuerySet(model).using(database).order_by()
        rows = rows.exclude(**{column: ""}).exclude(**{column: None})
        values = rows.values_list(column, flat=True)
        yield from values.iterator(chunk_size=CHUNK)


def _databases(model: type[Model]) -> list[str]:
    main = router.db_for_read(model)
    found = [main]
    for database in connections:
        # Also one that others migrate: rows are read there by `using`.
        if database != main:
            connection = connections[database]
            with connection.cursor() as cursor:
                tables = connection.introspection.table_names(
                    cursor, include_views=True
                )
            # Some databases fold the names of tables.
            if model._meta.db_table.casefold() in {t.casefold() for t in tables}:
                found.append(database)
    return found


def _named(name: str, by: str, keys: KeyMaker, is_required: bool) -> NamedFile:
    below = name.endswith("/")
    key = None
    with contextlib.suppress(SuspiciousOperation, ValueError):
        key = keys.key(name.rstrip("/"))
    return NamedFile(name, key, by, is_required, below, keys.sure)
