"""Django's system checks of our storages, in STORAGES and of the FileFields.

=================  ==========================================================
tahoestorage.W001  no root cap is set, so nothing can be stored yet
tahoestorage.E001  options are wrong or unknown, or the cap file is of no use
tahoestorage.E002  the root directory is read-only
tahoestorage.E003  the gateway is spoken to over plain http on a network that
                   is not declared trusted: each request shows a cap
tahoestorage.E004  the public base URL is the gateway itself, to which anyone
                   could write then
tahoestorage.E005  the gateway cannot be reached (``check --deploy`` only)
tahoestorage.E006  S3 or Google Cloud Storage cannot be reached, or does not let
                   this site in (``check --deploy`` only)
tahoestorage.E007  the store can't refuse to overwrite (``check --deploy`` only)
=================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage, default_storage, storages
from django.db.models import FileField
from django.utils.module_loading import import_string

from tahoestorage import kinds
from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.options import MAKE_ROOT, Options
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.gateway import Gateway

Apps = Sequence[AppConfig] | None
Found = Options | ImproperlyConfigured
OURS = (TahoeStorage, ObjectStore)


class Finding(NamedTuple):
    """What is wrong with a storage, whichever storage it is."""

    level: type[Error | Warning]
    id: str
    text: str
    hint: str


@register(Tags.files)
def check_options(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check what can be known without asking a gateway."""
    return _messages(app_configs, _look_at_options)


@register(Tags.files, deploy=True)
def check_gateways(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check that each gateway answers; one that several storages use is asked once."""
    ask = cache(_ask)

    def look(found: Found) -> list[Finding]:
        return ask(found.base_url) if isinstance(found, Options) else []

    return _messages(app_configs, look)


@register(Tags.files, deploy=True)
def check_objects(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check that each store of objects answers, and can refuse to overwrite."""
    found: list[tuple[str, Finding]] = []
    for place, storage in _places(app_configs):
        if isinstance(storage, ObjectStore) and not storage.file_overwrite:
            found += [(place, finding) for finding in _ask_objects(storage)]
    return _joined(found)


def _messages(
    app_configs: Apps, look: Callable[[Found], list[Finding]]
) -> list[CheckMessage]:
    return _joined(
        (place, finding)
        for place, found in _storages(app_configs)
        for finding in look(found)
    )


def _joined(found: Iterable[tuple[str, Finding]]) -> list[CheckMessage]:
    """Return one message for each finding, with all the places that have it."""
    places: dict[Finding, list[str]] = {}
    for place, finding in found:
        places.setdefault(finding, []).append(place)
    return [
        level(f"{', '.join(places_)}: {text}", hint=hint, id=f"tahoestorage.{id_}")
        for (level, id_, text, hint), places_ in places.items()
    ]


def _storages(app_configs: Apps) -> Iterator[tuple[str, Found]]:
    """Yield each TahoeStorage once: where it is, and its options or their faults."""
    for place, storage in _places(app_configs):
        if isinstance(storage, TahoeStorage):
            yield place, _found(storage)


def _places(app_configs: Apps) -> Iterator[tuple[str, Storage]]:
    """Yield each of our storages once, and where it is."""
    seen: set[int] = set()
    backends: dict[str, dict[str, Any]] = storages.backends  # type: ignore[assignment]
    for alias, params in backends.items():
        try:
            backend = import_string(params["BACKEND"])
        except ImportError:
            continue  # Django says so itself, to whoever uses that alias.
        if isinstance(backend, type) and issubclass(backend, OURS):
            storage = storages[alias]
            if isinstance(storage, OURS):
                seen.add(id(storage))
                yield f'STORAGES["{alias}"]', storage

    for config in apps.get_app_configs() if app_configs is None else app_configs:
        for model in config.get_models(include_auto_created=True):
            for field in model._meta.local_fields:
                # The default storage was seen above, by its alias.
                if not isinstance(field, FileField) or field.storage is default_storage:
                    continue
                storage = field.storage
                if isinstance(storage, OURS) and id(storage) not in seen:
                    seen.add(id(storage))
                    yield f"{model._meta.label}.{field.name}", storage


def _found(storage: TahoeStorage) -> Found:
    """Return the storage's options, or what is wrong with them."""
    try:
        return storage.options
    except ImproperlyConfigured as error:
        return error


def _look_at_options(found: Found) -> list[Finding]:
    """Return everything that is wrong with one storage's options."""
    if isinstance(found, ImproperlyConfigured):
        hint = "Correct each option or setting that is named."
        return [Finding(Error, "E001", str(found), hint)]
    return [*_look_at_root(found), *_look_at_urls(found)]


def _look_at_root(options: Options) -> Iterator[Finding]:
    if not options.has_root:
        yield Finding(Warning, "W001", "no root cap is set.", MAKE_ROOT)
        return
    try:
        root = options.root
    except ImproperlyConfigured as error:
        hint = "Put the root directory's cap into that file, readable by this user."
        yield Finding(Error, "E001", str(error), hint)
        return
    if not root.is_writable:
        yield Finding(
            Error,
            "E002",
            "the root cap is read-only: nothing can be stored.",
            f"Use the directory's write cap, or another root. {MAKE_ROOT}",
        )


def _look_at_urls(options: Options) -> Iterator[Finding]:
    scheme, host, _ = gateway = _origin(options.base_url)
    if scheme == "http" and not (
        _is_loopback(host) or _is_among(host, options.trusted_hosts)
    ):
        yield Finding(
            Error,
            "E003",
            f"the gateway at {options.base_url} is spoken to over plain http: whoever "
            "listens on the way learns caps, and can read and destroy files.",
            "Use https, or a gateway on this machine; or, where the network between is "
            "safe, name the host or network in TAHOE_STORAGE_TRUSTED_HOSTS.",
        )
    public = options.public_base_url
    if public and _origin(public) == gateway and not _is_loopback(host):
        yield Finding(
            Error,
            "E004",
            f"the public base URL {public} is the gateway itself: every visitor could "
            "store files on the grid.",
            "Put a proxy before the gateway that lets only GET and HEAD of /named/ "
            "pass, and give its address as TAHOE_STORAGE_PUBLIC_BASE_URL.",
        )


def _ask(base_url: str) -> list[Finding]:
    """Return a finding unless the gateway answers, soon."""
    gateway = Gateway(base_url, connect_timeout=3.0, read_timeout=10.0, retries=0)
    with closing(gateway):
        try:
            gateway.connected_servers()
        except TahoeStorageError as error:  # FileMissing, where something else is
            text = f"{base_url} does not answer as a gateway: {error}"
            hint = "Start the gateway, or correct TAHOE_STORAGE_BASE_URL."
            return [Finding(Error, "E005", text, hint)]
    return []


def _ask_objects(storage: ObjectStore) -> Iterator[Finding]:
    """Yield a finding unless the store answers, and refuses to overwrite."""
    try:
        if not storage.conditional(thorough=True):
            yield Finding(
                Error,
                "E007",
                "the store can't refuse to overwrite a file: two that save one name at "
                "once would lose one of them, so that nothing is saved there.",
                "Use a store that knows If-None-Match on PutObject and on "
                "CompleteMultipartUpload, or set file_overwrite.",
            )
    except (TahoeStorageError, ImproperlyConfigured) as error:
        hint = "Correct the options, or the rights of these credentials."
        yield Finding(Error, "E006", f"the store can't be used: {error}", hint)


def _origin(url: str) -> tuple[str, str | kinds.Network, int | None]:
    """Return scheme, host and port of a URL that is in its normal form."""
    parts = urlsplit(url)
    return parts.scheme, kinds.host(parts.hostname or ""), parts.port


def _is_loopback(host: str | kinds.Network) -> bool:
    if isinstance(host, str):
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3
    return host.is_loopback


def _is_among(
    host: str | kinds.Network, known: tuple[str | kinds.Network, ...]
) -> bool:
    if isinstance(host, str):
        return host in known
    return any(
        host.network_address in network
        for network in known
        if not isinstance(network, str)
    )
