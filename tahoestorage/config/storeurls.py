"""One store as one URL.

==============================================  ==================================
tahoe+http://HOST:PORT/?base_cap_file=FILE      a grid, by its gateway; tahoe+https
s3://BUCKET/PREFIX?endpoint_url=URL&profile=…   S3, and what speaks as it does
gs://BUCKET/PREFIX?project_id=…                 Google Cloud Storage
file:///DIR                                     a folder
memory://                                       the memory of one process
==============================================  ==================================

The query takes every option of the storage. A secret is never in it, but in a file that
``OPTION_file`` names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from tahoestorage.config import validators
from tahoestorage.config.secrets import read_file
from tahoestorage.config.storeoptions import (
    Option,
    django_options,
    gcs_options,
    placed,
    s3_options,
    tahoe_options,
)
from tahoestorage.config.validators import Given, InvalidValue
from tahoestorage.redaction import has_password, is_secret_name

_FOLDER = "django.core.files.storage.FileSystemStorage"
_MEMORY = "django.core.files.storage.InMemoryStorage"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
# Anything else may be a secret that strayed here, and is not repeated.
_NAME = re.compile(r"[A-Za-z_.]{1,40}")
_FILE = "_file"


class StoreKind(NamedTuple):
    """One kind of store."""

    backend: str
    options: Callable[[], Mapping[str, Option]]
    address: Callable[[SplitResult], dict[str, Any]]
    addressed: tuple[str, ...]  # the options that the address gives


def _gateway(parts: SplitResult) -> dict[str, Any]:
    scheme = parts.scheme.removeprefix("tahoe+")
    try:
        hosts = parts.netloc.split(",")
        urls = [f"{scheme}://{host}{parts.path}" for host in hosts]
        found = [*validators.gateways(urls).all]
        return {"base_url": found if len(found) > 1 else found[0]}
    except InvalidValue as wrong:
        raise InvalidValue(f": the gateway{wrong}") from None


def _bucket(parts: SplitResult) -> dict[str, Any]:
    form = f"{parts.scheme}://BUCKET/PREFIX"
    if "@" in parts.netloc or (":" in parts.netloc and "@" in parts.path):
        raise InvalidValue(
            ": there is a user name or a key before the bucket, and secrets are never "
            "in a URL; expected the store's own variables, or a file for each secret"
        )
    if ":" in parts.netloc:
        raise InvalidValue(
            f": the bucket has a port; expected {form}, with the server in the "
            f"option {'endpoint_url' if parts.scheme == 's3' else 'custom_endpoint'}"
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise InvalidValue(f": the bucket has no proper name; expected {form}")
    prefix = unquote(parts.path).strip("/")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise InvalidValue(": the prefix has an empty part, or . or .., in it")
    return {"bucket_name": parts.netloc} | ({"location": prefix} if prefix else {})


def _folder(parts: SplitResult) -> dict[str, Any]:
    path = unquote(parts.path)
    if parts.netloc or not path.strip("/") or "\0" in path:
        raise InvalidValue(
            ": there is no folder; expected file:///DIR, with three slashes"
        )
    return {"location": path}


def _process(parts: SplitResult) -> dict[str, Any]:
    if parts.netloc or parts.path.strip("/"):
        raise InvalidValue(": memory has no address; expected memory://")
    return {}


TAHOE = StoreKind(
    "tahoestorage.storage.TahoeStorage", tahoe_options, _gateway, ("base_url",)
)
S3 = StoreKind(
    "tahoestorage.backends.s3.S3Storage",
    s3_options,
    _bucket,
    ("bucket_name", "location"),
)
GCS = StoreKind(
    "tahoestorage.backends.gcs.GCSStorage",
    gcs_options,
    _bucket,
    ("bucket_name", "location"),
)
FOLDER = StoreKind(_FOLDER, partial(django_options, _FOLDER), _folder, ("location",))
MEMORY = StoreKind(_MEMORY, partial(django_options, _MEMORY), _process, ("location",))
STORES: Mapping[str, StoreKind] = {
    "tahoe+http": TAHOE,
    "tahoe+https": TAHOE,
    "s3": S3,
    "gs": GCS,
    "file": FOLDER,
    "memory": MEMORY,
}


def read_url(url: str, place: str) -> tuple[StoreKind, Given, list[str]]:
    """Return the store that a URL names, its options, and the text of every error.

    ``place`` is where the URL stands. Raises InvalidValue where it names no store.
    """
    scheme, found, _ = url.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme):
        schemes = ", ".join(STORES)
        raise InvalidValue(
            f"{place} has no scheme; expected one of {schemes}, then ://"
        )
    store = STORES.get(scheme.lower())
    if store is None:
        meant = validators.unknown(validators.nearest(scheme, STORES, 0.4), STORES)
        raise InvalidValue(f"{place}: the scheme {scheme}{meant}")
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise InvalidValue(f"{place} has white space in it; expected it as %20")
    if "#" in url:
        raise InvalidValue(f"{place} has a # in it; expected it as %23")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidValue(f"{place} has brackets without an address in them") from None
    try:
        known = store.options()
    except InvalidValue as wrong:
        raise placed(place, wrong) from None
    given: dict[str, tuple[str, Any]] = {}
    errors: list[str] = []
    try:
        given |= {name: (place, value) for name, value in store.address(parts).items()}
    except InvalidValue as wrong:
        errors += placed(place, wrong).args
    for number, pair in enumerate(filter(None, parts.query.split("&")), 1):
        name, _, text = (unquote(part) for part in pair.partition("="))
        here = f"{place}: option {number} of the query"
        if _NAME.fullmatch(name):
            here = f"{place}: {name}"
        try:
            option, value = _read(name, text, known, store.addressed)
            if option in given:
                raise InvalidValue(" is given twice")
            given[option] = here, value
        except InvalidValue as wrong:
            errors += placed(here, wrong).args
    return store, given, errors


def _read(
    name: str, text: str, known: Mapping[str, Option], addressed: Collection[str]
) -> tuple[str, Any]:
    """Return the option that a part of a query gives, and its value."""
    if not text:
        raise InvalidValue(" has no value")
    if name == "profile" and "session_profile" in known:
        name = "session_profile"
    option = name
    if name not in known and name.endswith(_FILE):
        option = name.removesuffix(_FILE)
    if option in addressed:
        raise InvalidValue(" is what the address says, before the question mark")
    if option not in known:
        names = {one + _FILE if is_secret_name(one) else one for one in known}
        names -= {*addressed}
        raise InvalidValue(
            validators.unknown(validators.nearest(name, sorted(names), 0.6), names)
        )
    if option != name:
        return option, read_file(option, text, known[option])
    if is_secret_name(name):
        raise InvalidValue(
            f" is a secret, and not for a URL; expected {name}{_FILE}=FILE"
        )
    if has_password(text):
        raise InvalidValue(f" has a password in it; expected {name}{_FILE}=FILE")
    return name, known[name].convert(text)
