"""The options of each store, and how each is read from text.

They are taken from where they are declared, so no list here can go out of date. Whether
a value may be used, ``validators`` says, when a storage is made of it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    get_args,
    get_origin,
    get_type_hints,
)

from django.utils import dateparse
from django.utils.module_loading import import_string

from tahoestorage.config.keywords import GCSKeywords, S3Keywords
from tahoestorage.config.options import CacheOptions, Options
from tahoestorage.config.validators import InvalidValue
from tahoestorage.tahoe.caps import Cap

_PREFIX = "TAHOE_STORAGE_"


class Option(NamedTuple):
    """How an option is read, and the variables that may hold it, the first ones first.

    ``convert`` raises InvalidValue.
    """

    convert: Callable[[str], Any]
    variables: tuple[str, ...] = ()


def placed(place: str, wrong: InvalidValue) -> InvalidValue:
    """Return the errors, each behind the place where its value was given."""
    return InvalidValue(*(place + error for error in wrong.args))


def parse_flag(text: str) -> bool:
    """Return True or False, as a word such as ``yes`` or ``off`` says it."""
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise InvalidValue(" is no flag; expected true or false")


def parse_whole(text: str) -> int:
    """Return a whole number."""
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    raise InvalidValue(" is not a whole number")


def parse_number(text: str) -> float:
    """Return a number."""
    if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
        return float(text)
    raise InvalidValue(" is not a number")


def parse_words(text: str) -> list[str]:
    """Return the parts between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def parse_mapping(text: str) -> dict[str, Any]:
    """Return a JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    raise InvalidValue(' is not a JSON object, such as {"CacheControl": "max-age=300"}')


def parse_duration(text: str) -> timedelta:
    """Return a time: seconds, ``1 00:00:00`` or ISO 8601's ``P1D``."""
    try:
        value = dateparse.parse_duration(text)
    except (OverflowError, ValueError):
        value = None
    if value is None or value <= timedelta():
        raise InvalidValue(" is no duration; expected seconds, hh:mm:ss or such as P1D")
    return value


def parse_mode(text: str) -> int:
    """Return the mode of a file, which is written in octal."""
    if re.fullmatch(r"(0o?)?[0-7]{3,4}", text):
        return int(text, 8)
    raise InvalidValue(" is no mode; expected one in octal, such as 640")


def parse_flag_or_text(text: str) -> bool | str:
    """Return True or False where the text is a word for one, else the text."""
    try:
        return parse_flag(text)
    except InvalidValue:
        return text


def refuse_text(text: str) -> Any:
    """Raise InvalidValue: the value is an object of Python."""
    raise InvalidValue(" cannot be given as text; expected it in OPTIONS")


# The types of fields and keywords; whether they may be None makes no difference.
_BY_TYPE: dict[frozenset[Any], Callable[[str], Any]] = {
    frozenset({bool}): parse_flag,
    frozenset({CacheOptions}): parse_flag,
    frozenset({int}): parse_whole,
    frozenset({float}): parse_number,
    frozenset({str}): str,
    frozenset({Cap}): str,
    frozenset({Literal}): str,
    frozenset({Path}): str,
    frozenset({bool, str}): parse_flag_or_text,
    frozenset({timedelta}): parse_duration,
    frozenset({Sequence}): parse_words,
    frozenset({tuple}): parse_words,
    frozenset({dict}): parse_mapping,
    frozenset({Any}): refuse_text,
}
# Django's own storages tell no types.
_BY_DEFAULT: dict[type, Callable[[str], Any]] = {bool: parse_flag}
_BY_NAME: dict[str, Callable[[str], Any]] = {
    "directory_permissions_mode": parse_mode,
    "file_permissions_mode": parse_mode,
}


def _fields(options: type, prefix: str) -> dict[str, Option]:
    """Return how each field of a dataclass is read, and its variable."""
    return {
        name: _of_type(hint)._replace(variables=(prefix + name.upper(),))
        for name, hint in get_type_hints(options).items()
    }


@cache
def cache_options() -> Mapping[str, Option]:
    """Return the options of the cache, which every store has but Django's own."""
    found = _fields(CacheOptions, f"{_PREFIX}CACHE_")
    return {
        "cache": Option(parse_flag, (f"{_PREFIX}CACHE",)),
        **{f"cache.{name}": option for name, option in found.items()},
    }


@cache
def tahoe_options() -> Mapping[str, Option]:
    """Return the options of TahoeStorage."""
    found = _fields(Options, _PREFIX)
    url = found["public_base_url"]
    found["public_base_url"] = url._replace(
        variables=("TAHOE_PUBLIC_BASE_URL", *url.variables)
    )
    return {**found, **cache_options()}


@cache
def django_options(backend: str) -> Mapping[str, Option]:
    """Return the options of one of Django's own storages."""
    parameters = inspect.signature(import_string(backend).__init__).parameters
    return {
        name: Option(
            _BY_NAME.get(name) or _BY_DEFAULT.get(type(parameter.default), str)
        )
        for name, parameter in parameters.items()
        if name != "self"
    }


@cache
def s3_options() -> Mapping[str, Option]:
    """Return the options of S3Storage. Raises InvalidValue where its extra is missing.

    Neither django-storages nor boto3 is imported: they read settings when they are, and
    there are none yet.
    """
    return _object_options(S3Keywords, "s3")


@cache
def gcs_options() -> Mapping[str, Option]:
    """Return the options of GCSStorage, as ``s3_options`` does."""
    return _object_options(GCSKeywords, "gcs")


def _object_options(keywords: type, extra: str) -> Mapping[str, Option]:
    if importlib.util.find_spec("storages") is None:
        install = f'pip install "django-tahoestorage[{extra}]"'
        raise InvalidValue(f" needs django-storages: {install}")
    hints = get_type_hints(keywords, include_extras=True)
    del hints["cache"]
    return {
        **{name: _of_type(hint) for name, hint in hints.items()},
        **cache_options(),
    }


def _of_type(hint: Any) -> Option:
    """Return how a keyword of this type is read, and its variables."""
    kind, *variables = get_args(hint) if get_origin(hint) is Annotated else [hint]
    members = {get_origin(one) or one for one in get_args(kind) or [kind]}
    if get_origin(kind) not in (None, UnionType):
        members = {get_origin(kind)}
    return Option(_BY_TYPE[frozenset(members - {NoneType})], tuple(variables))
