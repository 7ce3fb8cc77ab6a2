"""The options of a storage and of its cache, each declared once, as frozen values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from tahoestorage.config import validators
from tahoestorage.config.validators import about
from tahoestorage.tahoe.caps import Cap

MAKE_ROOT = (
    "Make one with `manage.py tahoe_create_root --output root.cap`, and set "
    "TAHOE_STORAGE_BASE_CAP_FILE as it says."
)


def cache_directory() -> Path | None:
    """Return the user's place for this package's cache; None where there is no home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored (XDG Base Directory Specification).
    if os.path.isabs(given):
        return Path(given, "tahoestorage")
    try:
        return Path.home() / ".cache" / "tahoestorage"
    except RuntimeError:
        return None


@dataclass(frozen=True)
class CacheOptions:
    """The options of the cap cache."""

    directory: Path | None = field(
        default_factory=cache_directory,
        metadata=about(validators.path, "where the disk tier lives"),
    )
    size_limit: int = field(
        default=256 * 2**20,
        metadata=about(
            validators.whole(8 * 2**20), "bytes on disk at most, of all files"
        ),
    )
    lifetime: float = field(
        default=300.0,
        metadata=about(validators.number, "seconds that an entry lives"),
    )
    memory_entries: int = field(
        default=10_000,
        metadata=about(validators.whole(1), "entries in a process's memory at most"),
    )
    redis: str | None = field(
        default=None,
        repr=False,
        metadata=about(
            validators.redis_url, "a Redis that several hosts share, for a disk"
        ),
    )


def cache(value: object) -> CacheOptions | None:
    """Return the options of the cache; None when it is off."""
    if isinstance(value, bool):
        return CacheOptions() if value else None
    if not isinstance(value, Mapping):
        shown = validators.shown(value)
        raise validators.InvalidValue(f" is {shown}; expected False, True or a mapping")
    known = [declared.name for declared in fields(CacheOptions)]
    given = {
        key: (f"[{key!r}]", item)
        for key, item in value.items()
        if validators.is_given(item)
    }
    values, errors = validators.choose(CacheOptions, given)
    for key in value:
        if key not in known:
            near = validators.nearest(str(key), known)
            errors.append(f"[{key!r}]" + validators.unknown(near, known))
    if errors:
        raise validators.InvalidValue(*errors)
    return CacheOptions(**values)


@dataclass(frozen=True)
class Options:
    """The options of one storage, all of them valid."""

    base_url: str = field(
        default="http://127.0.0.1:3456",
        metadata=about(validators.url, "the gateway's address"),
    )
    base_cap: Cap | None = field(
        default=None,
        repr=False,
        metadata=about(validators.root_cap, "the root directory's cap; a secret"),
    )
    base_cap_file: Path | None = field(
        default=None,
        metadata=about(validators.path, "a file that holds the root directory's cap"),
    )
    public_base_url: str | None = field(
        default=None,
        metadata=about(validators.url, "where visitors download; None: nowhere"),
    )
    url_style: Literal["cap", "path"] = field(
        default="cap",
        metadata=about(
            validators.one_of("cap", "path"),
            '"path": URLs are those of the site, without a cap',
        ),
    )
    media_url: str | None = field(
        default=None,
        metadata=about(
            validators.url_prefix, "what the site's URLs begin with; None: MEDIA_URL"
        ),
    )
    allow_overwrite: bool = field(
        default=False,
        metadata=about(validators.flag, "whether a save replaces a file of its name"),
    )
    connect_timeout: float = field(
        default=10.0,
        metadata=about(validators.number, "seconds to wait for a connection"),
    )
    read_timeout: float = field(
        default=60.0,
        metadata=about(
            validators.number, "seconds to wait for the gateway's next bytes"
        ),
    )
    min_rate: int = field(
        default=65536,
        metadata=about(
            validators.whole(1),
            "bytes per second that the grid takes and gives at least; "
            "the wait for uploads and downloads grows with their size by this",
        ),
    )
    retries: int = field(
        default=3,
        metadata=about(
            validators.whole(0),
            "how often a harmless request is repeated; never after a time-out",
        ),
    )
    cache: CacheOptions | None = field(
        default_factory=CacheOptions,
        metadata=about(cache, "the cap cache: False, or a mapping of its options"),
    )
    directory_format: Literal["SDMF", "MDMF"] = field(
        default="SDMF",
        metadata=about(
            validators.one_of("SDMF", "MDMF"), "the format of new directories"
        ),
    )
    server_count: int | None = field(
        default=None,
        metadata=about(
            validators.whole(1),
            "how many storage servers there are, and were when directories were made; "
            "None: as many as were seen",
        ),
    )
    retired_servers: tuple[str, ...] = field(
        default=(),
        metadata=about(
            validators.server_ids, "the ids of storage servers that never come back"
        ),
    )
    trusted_hosts: tuple[str | validators.Network, ...] = field(
        default=(),
        metadata=about(
            validators.hosts, "hosts and networks where a gateway may speak plain http"
        ),
    )

    @property
    def has_root(self) -> bool:
        """Whether a root cap, or a file for one, is set."""
        return self.base_cap is not None or self.base_cap_file is not None

    @cached_property
    def root(self) -> Cap:
        """The cap of the root directory; a file that holds it is read once.

        Raises ImproperlyConfigured when none is set, or the file has none to give.
        """
        if self.base_cap is not None:
            return self.base_cap
        if self.base_cap_file is None:
            raise ImproperlyConfigured(f"No root cap is set. {MAKE_ROOT}")
        try:
            return _read_cap(self.base_cap_file)
        except OSError as error:
            reason = f" cannot be read: {error.strerror}"
        except validators.InvalidValue as wrong:
            reason = f": what it holds{wrong}"
        raise ImproperlyConfigured(f"The cap file {self.base_cap_file}{reason}")


def _read_cap(file: Path) -> Cap:
    """Return the cap that a file holds."""
    return validators.root_cap(file.read_text("utf-8", errors="replace"))
