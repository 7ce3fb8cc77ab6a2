"""The only reader of Django's settings.

An option is given as a keyword to the storage, or by the setting
``TAHOE_STORAGE_<NAME>``, or it has its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import InvalidStorageError, Storage, storages

from tahoestorage.config import validators
from tahoestorage.config.options import CacheOptions, Options, cache
from tahoestorage.redaction import hide, redact

__all__ = [
    "CacheOptions",
    "Options",
    "accel_redirect",
    "backends",
    "filter_error_pages",
    "has_urls",
    "hide_secrets",
    "media_url",
    "metrics_token",
    "naming_settings",
    "read_cache_options",
    "read_options",
    "root_is_set",
    "secret_key",
    "static_url",
    "storage_entries",
    "storage_of_alias",
    "use_tz",
    "uses_whitenoise",
]

PREFIX = "TAHOE_STORAGE_"
CLASSIC_PUBLIC_URL = "TAHOE_PUBLIC_BASE_URL"
ACCEL_REDIRECT = "TAHOE_ACCEL_REDIRECT"
METRICS_TOKEN = "TAHOE_METRICS_TOKEN"  # noqa: S105 - the name, not the token
_OTHERS = (CLASSIC_PUBLIC_URL, ACCEL_REDIRECT, METRICS_TOKEN)
_DJANGO_FILTER = "django.views.debug.SafeExceptionReporterFilter"
_OUR_FILTER = "tahoestorage.errorpages.HideSecretsFilter"


def read_options(given: Mapping[str, Any]) -> Options:
    """Return the options of a storage that was given these keywords.

    A keyword beats a setting, which beats the default; None and "" count as not given.
    Raises ImproperlyConfigured, which lists everything that is wrong or unknown.
    """
    values, errors = _collect(given)
    # An error page shows the variables of each frame, and a cap may be in this one.
    del given
    if errors:
        raise ImproperlyConfigured(
            "\n- ".join(["The options of TahoeStorage are wrong:", *errors])
        )
    return Options(**values)


def hide_secrets() -> None:
    """Mark the caps, passwords and keys in the settings as secret, in their place.

    They keep their values. No repr shows them any more: in a shell, in the output of
    ``diffsettings``, in a variable on an error page. Looked at are all settings that
    begin with ``TAHOE_``, and the OPTIONS of each entry of STORAGES.
    """
    for name in dir(settings):
        if name.startswith("TAHOE_"):
            value = getattr(settings, name)
            setattr(settings, name, hide(value, name.removeprefix(PREFIX).lower()))
    storages: dict[str, Any] = settings.STORAGES
    for storage in storages.values():
        if isinstance(storage, dict) and isinstance(storage.get("OPTIONS"), dict):
            # Django has handed this very dict on, and it may be of a class of its own.
            options = storage["OPTIONS"]
            for name in list(options):
                options[name] = hide(options[name], str(name))


def filter_error_pages() -> None:
    """Let Django's error pages hide caps, where the site has no filter of its own."""
    if settings.DEFAULT_EXCEPTION_REPORTER_FILTER == _DJANGO_FILTER:
        settings.DEFAULT_EXCEPTION_REPORTER_FILTER = _OUR_FILTER


def read_cache_options(given: object = None) -> CacheOptions | None:
    """Return the options of the cache that a storage was given; None when it is off.

    Without any those of TAHOE_STORAGE_CACHE, or the defaults. Raises
    ImproperlyConfigured.
    """
    place, value = "cache", given
    if not validators.is_given(value):
        place, value = PREFIX + "CACHE", getattr(settings, PREFIX + "CACHE", None)
    try:
        return cache(value) if validators.is_given(value) else CacheOptions()
    except validators.InvalidValue as wrong:
        raise ImproperlyConfigured("\n- ".join(place + w for w in wrong.args)) from None


def storage_entries() -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield the alias, the backend and the options of each entry of STORAGES."""
    for alias, entry in settings.STORAGES.items():
        options = entry.get("OPTIONS")
        if "BACKEND" in entry and isinstance(options, Mapping | None):
            yield alias, entry["BACKEND"], options or {}


def backends() -> dict[str, dict[str, Any]]:
    """Return the entries of STORAGES by their aliases, as Django goes by them."""
    # The stubs say nothing of it.
    entries: dict[str, dict[str, Any]] = storages.backends  # type: ignore[assignment]
    return entries


def storage_of_alias(alias: str) -> Storage:
    """Return the storage with this alias, for a command that was given it.

    Raises ImproperlyConfigured, which names the aliases that there are.
    """
    if alias not in backends():
        there = ", ".join(sorted(backends())) or "none"
        raise InvalidStorageError(
            f"there is no such alias in STORAGES; there are: {there}"
        )
    return storages[alias]


def root_is_set() -> bool:
    """Whether the settings name a root for storages that were given none."""
    names = ("BASE_CAP", "BASE_CAP_FILE")
    return any(validators.is_given(getattr(settings, PREFIX + n, None)) for n in names)


def accel_redirect() -> str | None:
    """Return where nginx has its internal location for downloads; None: nowhere.

    Raises ImproperlyConfigured.
    """
    value = getattr(settings, ACCEL_REDIRECT, None)
    try:
        return validators.accel_prefix(value) if validators.is_given(value) else None
    except validators.InvalidValue as wrong:
        raise ImproperlyConfigured(ACCEL_REDIRECT + wrong.args[0]) from None


def metrics_token() -> str | None:
    """Return what opens the view of metrics, a secret; None: it is closed."""
    value = getattr(settings, METRICS_TOKEN, None)
    return str.__str__(value) if isinstance(value, str) and value else None


def media_url() -> str:
    """Return MEDIA_URL."""
    return str(settings.MEDIA_URL)


def has_urls() -> bool:
    """Whether the site has URL patterns at all."""
    return bool(getattr(settings, "ROOT_URLCONF", None))


def naming_settings() -> list[str]:
    """Return the names of the settings, of those that are set, that speak of a grid.

    That of the cache is none of them: S3 and Google Cloud Storage have it too.
    """
    names = [PREFIX + declared.name.upper() for declared in fields(Options)]
    names.remove(PREFIX + "CACHE")
    return [
        name
        for name in (*names, CLASSIC_PUBLIC_URL, ACCEL_REDIRECT)
        if validators.is_given(getattr(settings, name, None))
    ]


def static_url() -> str:
    """Return STATIC_URL."""
    return str(settings.STATIC_URL or "/static/")


def uses_whitenoise() -> bool:
    """Whether WhiteNoise's middleware is in use, and for static files alone."""
    return not getattr(settings, "WHITENOISE_ROOT", None) and any(
        "whitenoise" in name.lower() for name in settings.MIDDLEWARE
    )


def secret_key() -> bytes:
    """Return SECRET_KEY, from which keys are derived."""
    key = settings.SECRET_KEY
    return key if isinstance(key, bytes) else str(key).encode()


def use_tz() -> bool:
    """Return whether times are aware."""
    return bool(settings.USE_TZ)


def _collect(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the options given, and the text of every error."""
    known = {
        PREFIX + declared.name.upper(): declared.name for declared in fields(Options)
    }
    names = list(known.values())
    configured = [name for name in dir(settings) if name.startswith("TAHOE_")]
    present = {
        name: value
        for name in configured
        if validators.is_given(value := getattr(settings, name))
    }
    keywords = {
        n: (n, value) for n, value in given.items() if validators.is_given(value)
    }
    ours = {known[n]: (n, value) for n, value in present.items() if n in known}
    classic = {}
    if CLASSIC_PUBLIC_URL in present:
        classic["public_base_url"] = (CLASSIC_PUBLIC_URL, present[CLASSIC_PUBLIC_URL])
    values, errors = validators.choose(Options, classic, ours, keywords)

    if classic and "public_base_url" in ours:
        (one, here), (other, there) = (s["public_base_url"] for s in (classic, ours))
        if str(here).rstrip("/") != str(there).rstrip("/"):
            errors.append(f"{one} and {other} differ; expected one of them")
    for source in (ours, keywords):
        if "base_cap" in source and "base_cap_file" in source:
            one, other = source["base_cap"][0], source["base_cap_file"][0]
            errors.append(f"{one} and {other} are both set; expected one of them")
    for name, rival in (("base_cap", "base_cap_file"), ("base_cap_file", "base_cap")):
        if name in keywords:
            values.pop(rival, None)

    try:
        accel_redirect()
    except ImproperlyConfigured as wrong:
        errors.append(str(wrong))
    for name in given:
        if name not in names:
            near = validators.nearest(name, names)
            errors.append(redact(name) + validators.unknown(near, names))
    for name in configured:
        if name not in known and name not in _OTHERS:
            near = _nearest_setting(name, known)
            if near or name.startswith(PREFIX):
                errors.append(name + validators.unknown(near, known))
    return values, errors


def _nearest_setting(setting: str, known: Mapping[str, str]) -> str | None:
    """Return the setting that was probably meant.

    A name without our prefix may be somebody else's, and has to be nearer.
    """
    ours = setting.startswith(PREFIX)
    if setting.startswith(f"{PREFIX}CACHE_"):
        # So it is called in the environment.
        option = setting.removeprefix(f"{PREFIX}CACHE_").lower()
        return f'{PREFIX}CACHE = {{"{option}": …}}'
    rest = setting.removeprefix(PREFIX if ours else "TAHOE_")
    near = validators.nearest(rest, known.values(), 0.5 if ours else 0.8)
    if near is None:  # the prefix itself may be mistyped
        near = validators.nearest(
            setting, [n.lower() for n in (*known, ACCEL_REDIRECT, METRICS_TOKEN)], 0.85
        )
        return near.upper() if near else None
    return PREFIX + near.upper()
