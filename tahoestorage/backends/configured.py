"""The options of a storage on a grid, and what follows from them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage
from django.core.signals import setting_changed

from tahoestorage.backends.portable import STORAGE_AT, alias_of, left_out, portable
from tahoestorage.backends.processcaches import entry_cache, without_password
from tahoestorage.config.keywords import TahoeKeywords
from tahoestorage.config.settings import (
    CacheOptions,
    Options,
    read_options,
    root_is_set,
)
from tahoestorage.exceptions import InvalidCap
from tahoestorage.once import OnceForEach, made_once
from tahoestorage.redaction import Secret, hide
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.directories import Directories
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.gateways import Gateways

if TYPE_CHECKING:
    from tahoestorage.tahoe.links import Links

_OF_THE_OPTIONS = ("options", "directories", "links")


# One client for all storages with the same options.
@OnceForEach
def _gateways(
    base_urls: tuple[str, ...],
    connect_timeout: float,
    read_timeout: float,
    min_rate: float,
    retries: int,
) -> Gateways:
    return Gateways(
        [
            Gateway(
                url,
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                min_rate=min_rate,
                retries=retries,
            )
            for url in base_urls
        ]
    )


class Configured(Storage):
    """A storage that has options, and can be copied, pickled and written into
    migrations; a root cap that it was given stays in this process.

    Nothing is read or asked before it is used.
    """

    def __init__(self, **options: Unpack[TahoeKeywords]) -> None:
        # Pages and shells show what an object has.
        options = hide(options)
        if cap := options.get("base_cap"):
            options["base_cap"] = Secret(cap.uri if isinstance(cap, Cap) else cap)
            # What Django's @deconstructible noted, on the way to a subclass.
            self.__dict__.get("_constructor_args", ((), {}))[1].pop("base_cap", None)
        self._given: dict[str, Any] = {**options}
        self._fingerprint: str | None = None
        setting_changed.connect(self._forget_settings)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {hex(id(self))}>"

    @made_once
    def options(self) -> Options:
        """The options in force. Raises ImproperlyConfigured with all that is wrong."""
        return read_options(self._whole())

    def _whole(self) -> dict[str, Any]:
        """Return the options as they were given, and those that do not travel.

        These are of the entry of STORAGES that is otherwise equal. A root of the
        settings comes first; what was pickled takes no other root than it had.
        """
        more = hide(left_out(type(self), self._given, _secret))
        if "base_cap" in more:
            fits = not root_is_set()
            if self._fingerprint is not None:
                fits = _fingerprint(more["base_cap"]) == self._fingerprint
            if not fits:
                del more["base_cap"]
        return {**more, **self._given}

    @property
    def cache_options(self) -> CacheOptions | None:
        """The options of the cache; None where it is off.

        Raises ImproperlyConfigured with all that is wrong with the storage's options.
        """
        return self.options.cache

    @made_once
    def directories(self) -> Directories:
        """The grid's directories below the root, as the cache knows them."""
        options = self.options
        root = options.root
        if self._fingerprint is not None and root.fingerprint != self._fingerprint:
            raise ImproperlyConfigured(
                "This storage was given its root cap by hand, which does not travel "
                "with it, and TAHOE_STORAGE_BASE_CAP is that of another root."
            )
        gateways = _gateways(
            options.base_urls,
            options.connect_timeout,
            options.read_timeout,
            options.min_rate,
            options.retries,
        )
        return Directories(gateways, root, entry_cache(options.cache))

    @made_once
    def links(self) -> Links:
        """What changes these directories."""
        # Most processes only read.
        from tahoestorage.tahoe.links import Links
        from tahoestorage.tahoe.serverfacts import ServerRules

        options = self.options
        rules = ServerRules(options.server_count, options.retired_servers)
        return Links(self.directories, options.directory_format, rules)

    def _forget_settings(self, *, setting: str, **kwargs: Any) -> None:
        if setting.startswith("TAHOE_"):
            for name in _OF_THE_OPTIONS:
                self.__dict__.pop(name, None)

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return how migrations and tasks write this storage: as JSON, without a cap.

        What is made of it takes the root of the settings, or else of the entry of
        STORAGES that is otherwise equal. Where that would be another root, it is told
        by its alias.
        """
        given = portable(self._given, _secret)
        kind = type(self)
        if self._given.get("base_cap"):
            alias = alias_of(kind, self._given)
            if alias is not None and not self._is_made_of(given):
                return STORAGE_AT, (alias,), {}
        path = f"{kind.__module__}.{kind.__qualname__}"
        if path == "tahoestorage.backends.tahoe.TahoeStorage":
            path = "tahoestorage.storage.TahoeStorage"
        return path, (), given

    def _is_made_of(self, given: dict[str, Any]) -> bool:
        """Whether a storage with these options has this one's root."""
        if root_is_set():
            return False
        more = left_out(type(self), given, _secret)
        return _fingerprint(more.get("base_cap")) == self.options.root.fingerprint

    def _without_cap(self) -> dict[str, Any]:
        given = without_password(self._given)
        return {key: v for key, v in given.items() if key != "base_cap"}

    def _state(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        return {k: v for k, v in state.items() if k not in _OF_THE_OPTIONS}

    def __getstate__(self) -> dict[str, Any]:
        state = {**self._state(), "_given": self._without_cap()}
        if self._given.get("base_cap"):
            state["_fingerprint"] = self.options.root.fingerprint
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        setting_changed.connect(self._forget_settings)

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__setstate__(self._state())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__setstate__(copy.deepcopy(self._state(), memo))
        return copied


def _fingerprint(cap: Cap | str | None) -> str | None:
    with contextlib.suppress(InvalidCap):
        if cap is not None:
            return (Cap.parse(cap) if isinstance(cap, str) else cap).fingerprint
    return None


def _secret(options: Mapping[str, Any]) -> tuple[str, ...]:
    return ("base_cap",)
