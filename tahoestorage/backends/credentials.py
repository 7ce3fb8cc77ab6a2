"""Keeps the credentials of S3 and GCS storages out of pickles and migrations."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any, ClassVar, Self

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage

from tahoestorage.backends.portable import (
    STORAGE_AT,
    alias_of,
    is_same,
    left_out,
    portable,
)
from tahoestorage.backends.processcaches import without_password
from tahoestorage.config.settings import secret_key

_LOGIN = re.compile(r"//[^/]*@|^[^/]*@")


class HiddenCredentials(Storage):
    """Is copied as it is; pickled, and written into migrations, without credentials.

    Unpickled, a storage takes them from the settings and the environment. Where it
    was given others by hand, it raises ImproperlyConfigured when it is first used.
    """

    # The options as the settings have them, of django-storages.
    get_default_settings: Callable[[], dict[str, Any]]
    # Attributes that are made when they are needed, and never travel.
    _OF_THE_PROCESS: ClassVar[Collection[str]] = ()
    # Options of which the URLs are made that visitors see.
    _SHOWN: ClassVar[Collection[str]] = ()
    # Fingerprints of the credentials that an unpickled storage was once given.
    _given_once: Mapping[str, str] = {}

    def __init__(self, **options: Any) -> None:
        options |= self._not_carried()
        super().__init__(**options)
        for name in self._SHOWN:
            if has_login(str(getattr(self, name, None) or "")):
                raise ImproperlyConfigured(
                    f"{name} of {type(self).__name__} has a user name or password in "
                    "it, which URLs made of it would show to every visitor. Take it "
                    "out: what the store asks for goes into the options for "
                    "credentials. If a proxy in front of the store asks for it, let "
                    "that pass this host without."
                )
        # By its type: whether a key file says anything is seen when it is read.
        self._by_hand = frozenset(
            name
            for name, value in options.items()
            if value is not None and not (issubclass(type(value), str) and not value)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {hex(id(self))}>"

    @classmethod
    def _secret_names(cls, options: Mapping[str, Any]) -> set[str]:
        """Return the names of the options that hold credentials, given these."""
        raise NotImplementedError

    def _secrets(self) -> set[str]:
        """Return the names of the options that hold credentials now."""
        return self._secret_names(self.__dict__)

    def _not_carried(self) -> dict[str, Any]:
        """Return what the otherwise equal entry of STORAGES has more than this."""
        arguments, given = self.__dict__["_constructor_args"]
        if arguments:
            return {}
        found = left_out(type(self), given, self._secret_names)
        if "cache" in found:
            # It is taken from the options before these are looked at.
            self._cache_given = found.pop("cache")
        return found

    def _is_once_given(self, name: str, value: object) -> bool:
        """Whether this is the value that a pickle has left behind."""
        return self._given_once.get(name) == fingerprint(value)

    def _check_credentials(self) -> None:
        """Raise ImproperlyConfigured where a pickle left credentials behind."""
        lost = [
            name
            for name, once in self._given_once.items()
            if fingerprint(getattr(self, name, None)) != once
        ]
        if lost:
            raise ImproperlyConfigured(
                f"This storage was given {', '.join(sorted(lost))} by hand, which does "
                "not travel with it, and the settings have others, or none."
            )

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return how migrations and tasks write this storage: as JSON, without secrets.

        What is made of it takes them, and what is no JSON, from the entry of STORAGES
        that is otherwise equal, or else from the settings. Where several entries differ
        in these alone, it is told by its alias.
        """
        kind = type(self)
        arguments, options = self._arguments()
        options = portable(options, self._secret_names)
        given = self.__dict__["_constructor_args"][1]
        lost = {k: v for k, v in given.items() if k not in options}
        found = left_out(kind, options, self._secret_names)
        if lost and not is_same(found, lost):
            alias = alias_of(kind, given)
            if alias is not None:
                return STORAGE_AT, (alias,), {}
        return f"{kind.__module__}.{kind.__qualname__}", arguments, options

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # Django's @deconstructible notes them.
        arguments, options = self.__dict__["_constructor_args"]
        secrets = self._secrets()
        kept = {key: v for key, v in options.items() if key not in secrets}
        return arguments, without_password(kept)

    def _state(self) -> dict[str, Any]:
        state = self.__dict__.items()
        return {key: v for key, v in state if key not in self._OF_THE_PROCESS}

    def __getstate__(self) -> dict[str, Any]:
        secrets = self._secrets()
        state = {key: v for key, v in self._state().items() if key not in secrets}
        state["_constructor_args"] = self._arguments()
        cache = without_password({"cache": state.get("_cache_given")})
        state["_cache_given"] = cache.get("cache")
        given = {
            name: fingerprint(getattr(self, name, None))
            for name in self._by_hand & secrets
        }
        state["_given_once"] = {**given, **self._given_once}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, value in self.get_default_settings().items():
            if not hasattr(self, name):
                setattr(self, name, value)
        carried = portable(self.__dict__["_constructor_args"][1], self._secret_names)
        lost = left_out(type(self), carried, self._secret_names)
        for name, value in lost.items():
            if self._is_once_given(name, value):
                setattr(self, name, value)

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self._state())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__dict__.update(copy.deepcopy(self._state(), memo))
        return copied


def fingerprint(value: object) -> str:
    """Return a keyed hash of an option's value."""
    # What hides itself in its repr is told apart too.
    text = json.dumps(value, default=_plain, sort_keys=True).encode()
    key = blake2b(secret_key(), person=b"tahoe-options").digest()
    return blake2b(text, digest_size=16, key=key).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return getattr(value, "__dict__", None) or repr(value)


def has_login(text: str) -> bool:
    """Whether a URL, or a host, has a user name or password before it."""
    return bool(_LOGIN.search(text))
