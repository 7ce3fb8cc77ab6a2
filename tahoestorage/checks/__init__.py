"""Django's system checks of our storages, in STORAGES and of the FileFields.

=================  ==========================================================
tahoestorage.W001  no root cap is set, so nothing can be stored yet
tahoestorage.W002  settings of Tahoe are there, and no storage uses them: files may
                   be kept unencrypted
tahoestorage.W003  the app is not in INSTALLED_APPS (see ``installed``)
tahoestorage.W004  files have no URL: pages that ask for it, such as the admin's, fail
tahoestorage.W005  files have URLs of the site, and the site has no such pattern
tahoestorage.W006  others on this machine may read a file with a cap or another secret
tahoestorage.W008  the gateway does not show its storage servers, so that changes are
                   made however many are away (``check --deploy`` only)
tahoestorage.W009  the root directory is empty (``check --deploy`` only)
tahoestorage.W010  something else has the marker's name (``check --deploy`` only)
tahoestorage.W011  static files are in a store, and collectstatic is Django's own
tahoestorage.W012  a further gateway may be of another grid, and is not used
                   (``check --deploy`` only)
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
tahoestorage.E008  the root cap leads to nothing on this grid (``check --deploy`` only)
tahoestorage.E009  static files are on a grid by a class that is not made for them
tahoestorage.E010  static files have hashed names and signed URLs
tahoestorage.E011  static files are in a store, and WhiteNoise looks for them elsewhere
tahoestorage.I001  what was looked at, and found well (``check --deploy`` only)
=================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage, default_storage, storages
from django.db.models import FileField
from django.utils.module_loading import import_string

from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.checks.findings import Finding
from tahoestorage.checks.gateways import ask, compare, look_for_root
from tahoestorage.checks.objectstores import ask_objects
from tahoestorage.checks.options import (
    look_at,
    look_at_secret_file,
    look_at_static,
)
from tahoestorage.config.secrets import SECRET_FILES
from tahoestorage.config.settings import backends, naming_settings
from tahoestorage.storage import TahoeStorage

Apps = Sequence[AppConfig] | None
OURS = (TahoeStorage, ObjectStore)
_STATIC = 'STORAGES["staticfiles"]'


@register(Tags.files)
def check_options(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check the options of storages on a grid, without a request."""
    found: list[tuple[str, Finding]] = []
    tahoe = False
    for place, storage in _places(app_configs):
        if isinstance(storage, TahoeStorage):
            tahoe = True
            findings = look_at(storage, static=place == _STATIC)
            found += [(place, finding) for finding in findings]
    found += _look_at_what_cannot_be_made()
    if not tahoe:
        found += _look_at_unused_settings()
    for file in sorted(SECRET_FILES):
        found += [("STORAGES", finding) for finding in look_at_secret_file(file)]
    return _joined(found)


# collectstatic runs those of static files, and no others.
@register(Tags.files, Tags.staticfiles)
def check_static(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check that static files are in a store, and of a class, that is made for them."""
    return _joined(
        (place, finding)
        for place, storage in _places(app_configs)
        if place == _STATIC
        for finding in look_at_static(storage)
    )


@register(Tags.files, deploy=True)
def check_gateways(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check that each gateway responds and can read the root; ask each once."""
    asked, looked, compared = cache(ask), cache(look_for_root), cache(compare)
    found: list[tuple[str, Finding]] = []
    for place, storage in _places(app_configs):
        if not isinstance(storage, TahoeStorage):
            continue
        try:
            options = storage.options
            root = options.root if options.has_root else None
        except ImproperlyConfigured:
            continue  # check_options says so.
        locked = options.cache is not None and options.cache.redis is not None
        first = options.base_url
        for url in options.base_urls:
            findings = asked(url)
            if root is not None and findings[0].level is Info:
                findings = looked(url, root, locked=locked) or findings
                if url != first and findings[0].level is Info:
                    findings = compared(url, first, root) or findings
            found += [(place, finding) for finding in findings]
    return _joined(found)


@register(Tags.files, deploy=True)
def check_objects(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Check that each object store responds, and can refuse to overwrite."""
    found: list[tuple[str, Finding]] = []
    for place, storage in _places(app_configs):
        if isinstance(storage, ObjectStore):
            found += [(place, finding) for finding in ask_objects(storage)]
    return _joined(found)


def _joined(found: Iterable[tuple[str, Finding]]) -> list[CheckMessage]:
    """Return one message for each finding, with all the places that have it."""
    places: dict[Finding, list[str]] = {}
    for place, finding in found:
        places.setdefault(finding, []).append(place)
    return [
        level(
            f"{', '.join(where)}: {text}", hint=hint or None, id=f"tahoestorage.{id_}"
        )
        for (level, id_, text, hint), where in places.items()
    ]


def _places(app_configs: Apps) -> Iterator[tuple[str, Storage]]:
    """Yield each of our storages once, and where it is."""
    seen: set[int] = set()
    for alias, params in backends().items():
        storage = _made(alias, params)
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


def _made(alias: str, params: Any) -> Storage | Exception | None:
    """Return our storage of an alias, why it can't be made, or None for another's.

    Of another's Django says so itself, to whoever uses that alias.
    """
    try:
        backend = import_string(params["BACKEND"])
    except Exception as error:
        named = isinstance(params, dict) and str(params.get("BACKEND"))
        return error if named and named.startswith("tahoestorage.") else None
    if not isinstance(backend, type) or not issubclass(backend, OURS):
        return None
    try:
        return storages[alias]
    except Exception as error:
        return error


def _look_at_what_cannot_be_made() -> Iterator[tuple[str, Finding]]:
    for alias, params in backends().items():
        error = _made(alias, params)
        if isinstance(error, Exception):
            # Of other errors nobody knows what is in their texts.
            is_safe = isinstance(error, ImproperlyConfigured | ImportError)
            text = (
                str(error) if is_safe else f"it can't be made ({type(error).__name__})"
            )
            hint = "Correct each option or setting that is named."
            yield f'STORAGES["{alias}"]', Finding(Error, "E001", text, hint)


def _look_at_unused_settings() -> Iterator[tuple[str, Finding]]:
    names = naming_settings()
    if names:
        backend = backends().get("default", {}).get("BACKEND", "nothing")
        yield (
            ", ".join(names),
            Finding(
                Warning,
                "W002",
                "no storage uses this: files are not on a grid, and not encrypted. "
                f"The default storage is {backend}.",
                "Make tahoestorage.storage.TahoeStorage a BACKEND in STORAGES (or set "
                "STORAGE_URL, if they come from the environment), or remove these.",
            ),
        )
