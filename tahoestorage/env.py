"""What goes into ``STORAGES``, from the environment::

    from tahoestorage import env

    STORAGES = env.storages()

``docs/environment.md`` lists the variables. Whatever is wrong is reported together, as
ImproperlyConfigured, and no secret is ever repeated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from tahoestorage import installed as installed
from tahoestorage.config.storages import storage_entry
from tahoestorage.config.storeoptions import placed
from tahoestorage.config.storeurls import (
    FOLDER,
    GCS,
    MEMORY,
    S3,
    TAHOE,
    StoreKind,
    read_url,
)
from tahoestorage.config.validators import Given, InvalidValue
from tahoestorage.config.variables import (
    misspelt,
    naming_variables,
    read_variable,
    read_variables,
)

if TYPE_CHECKING:
    from django.core.files.storage import Storage

__all__ = ["storage", "storage_from_url", "storages"]

Made = dict[str, Any]

_URL = "STORAGE_URL"
_STATIC = "STATIC_STORAGE_URL"
_FOR_STATIC_FILES = {
    TAHOE.backend: "tahoestorage.staticfiles.TahoeManifestStaticStorage",
    S3.backend: "tahoestorage.backends.s3.S3StaticStorage",
    GCS.backend: "tahoestorage.backends.gcs.GCSStaticStorage",
    FOLDER.backend: "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
}
_KEYS = ("access_key", "secret_key", "security_token", "session_profile")


def storage(variable: str = _URL, default: str | None = None) -> Made:
    """Return the store that a variable names by a URL, as ``STORAGES`` has it.

    ``variable`` with ``_FILE`` may name a file with the URL instead; STORAGE_URL may be
    replaced by the variables of django-storages or of TahoeStorage. ``default`` is the
    URL to use where there is none. Raises ImproperlyConfigured.
    """
    return _all({"": partial(_store, variable, default)})[""]


def storages(default: str | None = None) -> dict[str, Made]:
    """Return the whole setting ``STORAGES``. Raises ImproperlyConfigured.

    ``default`` is what ``storage`` returns; ``staticfiles`` is the store of
    STATIC_STORAGE_URL, or else Django's own default; each ``STORAGE_URL_<ALIAS>`` is
    one more.
    """
    wanted: dict[str, Callable[[], Made]] = {
        "default": partial(_store, _URL, default),
        "staticfiles": _static,
    }
    for name in sorted(os.environ):
        variable = name.removesuffix("_FILE")
        if variable.startswith(f"{_URL}_") and os.environ[name]:
            # A key of its own for what is no alias, so that it takes nobody's place.
            alias = variable.removeprefix(f"{_URL}_").lower()
            key = alias if alias not in ("default", "staticfiles") else variable
            wanted[key] = partial(_further, variable)
    return _all(wanted)


def storage_from_url(url: str) -> Storage:
    """Return a storage made from a URL. Raises ImproperlyConfigured."""
    made = _all({"": partial(_from_url, "The URL", url)})[""]
    instance: Storage = import_string(made["BACKEND"])(**made["OPTIONS"])
    return instance


def _all(wanted: dict[str, Callable[[], Made]]) -> dict[str, Made]:
    made: dict[str, Made] = {}
    errors: list[str] = []
    for alias, make in wanted.items():
        try:
            made[alias] = make()
        except InvalidValue as wrong:
            errors += wrong.args
    if errors:
        start = "What names the stores is wrong:"
        raise ImproperlyConfigured("\n- ".join([start, *dict.fromkeys(errors)]))
    return made


def _store(variable: str, default: str | None) -> Made:
    given = read_variable(variable)
    named = naming_variables() if variable == _URL else {}
    places = [*([given[0]] if given else []), *named.values()]
    if len(places) > 1:
        raise InvalidValue(
            f"{' and '.join(places)} each name a store; expected one of them, and any "
            f"further store in {_URL}_<ALIAS>"
        )
    if given:
        return _from_url(*given)
    store = next(iter(named), None)
    errors = list(misspelt(store)) if variable == _URL else []
    if store is not None:
        try:
            names = store.options()
        except InvalidValue as wrong:
            raise placed(named[store], wrong) from None
        found, wrongly = read_variables(store, names)
        return _setting(store, found, errors + wrongly)
    if default is None and not errors:
        errors = [
            f"{variable} is not set, and nothing else in the environment names the "
            "store (the settings are not read for it); expected a URL such as "
            "tahoe+http://127.0.0.1:3456/?base_cap_file=FILE, s3://BUCKET or "
            "file:///DIR"
        ]
    if errors:
        raise InvalidValue(*errors)
    return _from_url("The default", str(default))


def _further(variable: str) -> Made:
    meant = {f"{_URL}_DEFAULT": _URL, f"{_URL}_STATICFILES": _STATIC}.get(variable)
    if meant:
        raise InvalidValue(f"{variable} is no further store; did you mean {meant}?")
    return _store(variable, None)


def _static() -> Made:
    given = read_variable(_STATIC)
    if given is None:
        plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
        return {"BACKEND": plain, "OPTIONS": {}}
    made = _from_url(*given)
    if made["BACKEND"] == MEMORY.backend:
        raise InvalidValue(
            f"{given[0]} is no place for static files: collectstatic is a process, "
            "whose memory goes with it; expected s3, gs, tahoe+http or file, or "
            "nothing at all, for Django's default"
        )
    return {**made, "BACKEND": _FOR_STATIC_FILES[made["BACKEND"]]}


def _from_url(place: str, url: str) -> Made:
    store, given, errors = read_url(url, place)
    # A URL says all of a store, but for what is this host's: its cache, and its keys.
    wanted = [name for name in store.options() if name.startswith("cache")]
    if any(name.startswith("cache") for name in given):
        wanted = []
    if store is S3 and given.keys().isdisjoint(_KEYS):
        wanted += _KEYS
    found, wrongly = read_variables(store, wanted)
    return _setting(store, {**given, **found}, errors + wrongly)


def _setting(store: StoreKind, given: Given, errors: list[str]) -> Made:
    made, wrongly = storage_entry(store, given)
    if errors or wrongly:
        raise InvalidValue(*errors, *wrongly)
    return made
