"""An entry of ``STORAGES``, made of the options that a URL or variables gave."""

from __future__ import annotations

from typing import Any

from tahoestorage.config import validators
from tahoestorage.config.options import CacheOptions, Options
from tahoestorage.config.storeurls import S3, TAHOE, StoreKind
from tahoestorage.config.validators import Given

_KEYS = ("access_key", "secret_key", "security_token")
_OF_CACHE = "cache."


def storage_entry(store: StoreKind, given: Given) -> tuple[dict[str, Any], list[str]]:
    """Return an entry of ``STORAGES``, and the text of every error.

    The options were read from text; whether they fit each other is seen here.
    """
    options: dict[str, Any] = {}
    of_cache: dict[str, tuple[str, Any]] = {}
    for name, (place, value) in given.items():
        if name.startswith(_OF_CACHE):
            of_cache[name.removeprefix(_OF_CACHE)] = place, value
        else:
            options[name] = value
    errors = []
    if of_cache:
        errors += validators.choose(CacheOptions, of_cache)[1]
        if options.get("cache") is False:
            other = next(iter(of_cache.values()))[0]
            errors.append(f"{given['cache'][0]} says off, and {other} is set")
        options["cache"] = {name: value for name, (_, value) in of_cache.items()}
    if store is TAHOE:
        errors += validators.choose(Options, given)[1]
        errors += _both(given, "base_cap", "base_cap_file")
    if store is S3:
        errors += _both(given, "session_profile", "access_key")
        errors += _one_way_in(options, given)
    return {"BACKEND": store.backend, "OPTIONS": options}, errors


def _both(given: Given, one: str, other: str) -> list[str]:
    if one in given and other in given:
        return [f"{given[one][0]} and {given[other][0]} are both set; expected one"]
    return []


def _one_way_in(options: dict[str, Any], given: Given) -> list[str]:
    """Leave a pair of keys, a profile, or what boto3 finds.

    django-storages adds what it finds of the others in the environment, and then
    refuses the mixture.
    """
    if "session_profile" in options:
        options |= dict.fromkeys(_KEYS)
    elif "access_key" in options or "secret_key" in options:
        options["session_profile"] = None
        for name, other in (_KEYS[:2], _KEYS[1::-1]):
            if name not in options:
                return [f"{given[other][0]} is set without the {name} to it"]
    else:
        options.pop("security_token", None)
    return []
