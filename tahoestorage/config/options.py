"""TahoeStorage's options and its cache's: name, type, default, validator, meaning.

This is where they are declared, once. ``docs/options.md`` begins its text on each with
the meaning here, and a test holds that. ``tahoestorage/config/keywords.py`` has the
same names for editors, and the options of S3 and Google Cloud Storage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from django.core.exceptions import ImproperlyConfigured

from tahoestorage.config import validators
from tahoestorage.config.validators import about
from tahoestorage.once import made_once
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
    """The options of the cache, all of them valid, as ``cache`` gives them.

    Times are seconds, sizes bytes. The metadata of each field has its meaning.
    """

    directory: Path | None = field(
        default_factory=cache_directory,
        metadata=about(validators.path, "Where it is on disk."),
    )
    size_limit: int = field(
        default=256 * 2**20,
        metadata=about(
            validators.whole(8 * 2**20),
            "Bytes on disk at most (256 MiB), of all files of the cache; 8388608 (8 "
            "MiB) at least.",
        ),
    )
    lifetime: float = field(
        default=300.0,
        metadata=about(validators.number, "Seconds after which an entry expires."),
    )
    memory_entries: int = field(
        default=12_000,
        metadata=about(
            validators.whole(1),
            "Names in a process's memory at most, with those of directories. One that "
            "takes more than 512 bytes counts as several: 12000 are 6 MiB of text at "
            "most, and some times that as objects once all were asked for.",
        ),
    )
    redis: str | None = field(
        default=None,
        repr=False,
        metadata=about(
            validators.redis_url,
            "The URL of a Redis that several hosts share, in place of the directory.",
        ),
    )
    content_size_limit: int | None = field(
        default=None,
        metadata=about(
            validators.whole(8 * 2**20),
            "Bytes on disk at most for the contents of small files, besides "
            "`size_limit`; 8388608 (8 MiB) at least. None: no content is kept.",
        ),
    )


def cache(value: object) -> CacheOptions | None:
    """Return the options of the cache; None when it is off.

    ``value`` is True, False or a mapping of options. Raises InvalidValue with all that
    is wrong in it.
    """
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
    """The options of one TahoeStorage, all of them valid.

    Times are seconds, sizes bytes. The metadata of each field has its meaning.
    """

    base_url: str = field(
        default="http://127.0.0.1:3456",
        metadata=about(
            validators.gateways,
            "The gateway's address, or a list of the addresses of several gateways of "
            "the grid.",
        ),
    )
    base_cap: Cap | None = field(
        default=None,
        repr=False,
        metadata=about(validators.root_cap, "The root directory's cap, a secret."),
    )
    base_cap_file: Path | None = field(
        default=None,
        metadata=about(validators.path, "A file that holds the root directory's cap."),
    )
    public_base_url: str | None = field(
        default=None,
        metadata=about(validators.url, "Where visitors download."),
    )
    url_style: Literal["cap", "path"] = field(
        default="cap",
        metadata=about(
            validators.one_of("cap", "path"),
            'What URLs are made of. `"cap"`: the public address and the file\'s read '
            "cap. `\"path\"`: the site's own address and the file's name.",
        ),
    )
    media_url: str | None = field(
        default=None,
        metadata=about(
            validators.url_prefix,
            'What the URLs of `"path"` begin with, such as `"/static/"`. None: '
            "`MEDIA_URL`.",
        ),
    )
    allow_overwrite: bool = field(
        default=False,
        metadata=about(
            validators.flag,
            "Whether a save replaces a file of its name. If not, it takes another "
            "name.",
        ),
    )
    connect_timeout: float = field(
        default=10.0,
        metadata=about(
            validators.number, "Seconds to wait for a connection to the gateway."
        ),
    )
    read_timeout: float = field(
        default=60.0,
        metadata=about(
            validators.number, "Seconds to wait for the gateway's next bytes."
        ),
    )
    min_rate: int = field(
        default=65536,
        metadata=about(
            validators.whole(1),
            "Bytes per second that the grid takes and gives at least. The wait for "
            "the response to an upload, and for a download, grows with its size by "
            "this.",
        ),
    )
    retries: int = field(
        default=3,
        metadata=about(
            validators.whole(0),
            "How often a request that does no harm is tried again, within "
            "`connect_timeout` and `read_timeout` in all; never after a time-out.",
        ),
    )
    cache: CacheOptions | None = field(
        default_factory=CacheOptions,
        metadata=about(
            cache,
            "The cache of what was looked up: `True`, `False`, or a mapping with "
            "the options below.",
        ),
    )
    directory_format: Literal["SDMF", "MDMF"] = field(
        default="SDMF",
        metadata=about(
            validators.one_of("SDMF", "MDMF"),
            'The format of new directories, `"SDMF"` or `"MDMF"`.',
        ),
    )
    server_count: int | None = field(
        default=None,
        metadata=about(
            validators.whole(1),
            "How many storage servers there are, and were when directories were "
            "made. None: as many as were seen.",
        ),
    )
    retired_servers: tuple[str, ...] = field(
        default=(),
        metadata=about(
            validators.server_ids,
            "The ids of storage servers that never come back, as errors show them.",
        ),
    )
    trusted_hosts: tuple[str | validators.Network, ...] = field(
        default=(),
        metadata=about(
            validators.hosts,
            'Hosts and networks, such as `"10.0.0.0/8"`, where a gateway may speak '
            "plain http.",
        ),
    )

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The addresses of all gateways; ``base_url`` is the first one's."""
        url = self.base_url
        return url.all if isinstance(url, validators.FirstOf) else (url,)

    @property
    def has_root(self) -> bool:
        """Whether a root cap, or a file for one, is set."""
        return self.base_cap is not None or self.base_cap_file is not None

    @made_once
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


def help_on(name: str) -> str:
    """Return the meaning of a field of ``Options``, as the help of a command begins."""
    [meaning] = [f.metadata["meaning"] for f in fields(Options) if f.name == name]
    text: str = meaning.replace("`", "").removesuffix(".")
    return text[0].lower() + text[1:]


def _read_cap(file: Path) -> Cap:
    """Return the cap that a file holds."""
    return validators.root_cap(file.read_text("utf-8", errors="replace"))
