"""A storage's options as JSON without secrets, for another process to make it anew.

Tasks (Wagtail's, for one) are handed what ``deconstruct`` gives, as JSON, and make the
storage anew from it. What it may not hold is taken from STORAGES there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.core.files.storage import Storage, storages
from django.utils.module_loading import import_string

from tahoestorage.backends.processcaches import without_password
from tahoestorage.config.settings import storage_entries

STORAGE_AT = "tahoestorage.storage.storage_at"
SecretNames = Callable[[Mapping[str, Any]], Collection[str]]
"""Return which options hold secrets, as they are given."""


class _NotPlain(Exception):
    """It is no JSON, nor something that could be it."""


def portable(options: Mapping[str, Any], secret: SecretNames) -> dict[str, Any]:
    """Return the options as JSON has them, but for secrets and what it can't have.

    Paths become texts, and durations seconds. Lists stand for tuples and sets.
    """
    secrets = secret(options)
    found = {}
    for name, value in without_password(options).items():
        if name not in secrets:
            try:
                found[name] = _plain(value)
            except _NotPlain:
                continue
    return found


def _plain(value: object) -> Any:
    kind = type(value)
    if value is None or issubclass(kind, bool):
        return value
    plain: Any
    for plain in (str, int, float):
        if issubclass(kind, plain):
            return plain(value)
    if issubclass(kind, timedelta):
        # By its type, for a lazy object would be loaded; mypy then sees an object.
        seconds = value.total_seconds()  # type: ignore[attr-defined]
        return int(seconds) if seconds.is_integer() else seconds
    if issubclass(kind, os.PathLike):
        # As above.
        return _plain(os.fspath(value))  # type: ignore[call-overload]
    if issubclass(kind, Mapping):
        # As above.
        pairs = value.items()  # type: ignore[attr-defined]
        return {_text(key): _plain(each) for key, each in pairs}
    if issubclass(kind, list | tuple):
        # As above.
        return [_plain(each) for each in value]  # type: ignore[attr-defined]
    if issubclass(kind, set | frozenset):
        # As above.
        return sorted(map(_plain, value), key=repr)  # type: ignore[call-overload]
    raise _NotPlain


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise _NotPlain
    return str(key)


def left_out(
    kind: type[Storage], given: Mapping[str, Any], secret: SecretNames
) -> dict[str, Any]:
    """Return what the entry of STORAGES has that a storage was made without.

    It is the one entry of this class whose options are those that were ``given``, but
    for secrets and what is no JSON. Nothing where there are several that differ in
    these, where one has none, or where ``given`` has some itself.
    """
    wanted = portable(given, secret)
    if _some(given).keys() != _some(wanted).keys():
        return {}
    found: list[dict[str, Any]] = []
    for _, options in _entries(kind):
        plain = portable(options, secret)
        if _some(plain) == _some(wanted):
            more = {k: v for k, v in _some(options).items() if k not in plain}
            if not any(is_same(more, each) for each in found):
                found.append(more)
    return found[0] if len(found) == 1 else {}


def alias_of(kind: type[Storage], given: Mapping[str, Any]) -> str | None:
    """Return the alias of the entry of STORAGES that has just these options."""
    for alias, options in _entries(kind):
        if is_same(_some(options), _some(given)):
            return alias
    return None


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether these are the same options. Nothing is loaded to find it out."""
    if one.keys() != other.keys():
        return False
    pairs = ((value, other[name]) for name, value in one.items())
    return all(a is b or (_is_plain(a) and _is_plain(b) and a == b) for a, b in pairs)


def _is_plain(value: object) -> bool:
    # By its type: a key file is read when anything else is asked of it.
    try:
        _plain(value)
    except _NotPlain:
        return issubclass(type(value), bytes)
    return True


def storage_at(alias: str) -> Storage:
    """Return the storage that has this alias in STORAGES."""
    return storages[alias]


def _entries(kind: type[Storage]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for alias, backend, options in storage_entries():
        if not isinstance(backend, str):
            same = backend is kind
        # Others may not be importable yet, or here.
        elif same := backend.rpartition(".")[2] == kind.__name__:
            try:
                same = import_string(backend) is kind
            except ImportError:
                same = False
        if same:
            yield alias, options


def _some(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say anything."""
    return {k: v for k, v in options.items() if v is not None and _says(v)}


def _says(value: object) -> bool:
    return not (issubclass(type(value), str) and not value)
