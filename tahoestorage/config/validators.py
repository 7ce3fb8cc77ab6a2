"""Validators: each takes a value that a user gave, and returns the one to be used.

What is wrong raises InvalidValue, whose texts never repeat what may be a secret. Knows
no Django.
"""

from __future__ import annotations

import difflib
import importlib.util
import ipaddress
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tahoestorage.exceptions import InvalidCap
from tahoestorage.redaction import Secret
from tahoestorage.tahoe.caps import Access, Cap

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# By the name of an option: where it was given (a keyword, a setting, a variable), which
# errors begin with, and the value.
Given = Mapping[str, tuple[str, Any]]

_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
_CAP_LIKE = re.compile(r"URI(:|%3A)", re.IGNORECASE)
_ACCEL_PREFIX = re.compile(r"/([A-Za-z0-9_-]+/)+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What the query of a Redis's URL may have. redis-py takes more, as objects that no text
# can be, and what the cache's own scripts do not work with.
_REDIS_QUERY = re.compile(
    "ssl_.*|db|host|port|path|username|password|client_name|lib_name|lib_version|"
    "socket_timeout|socket_connect_timeout|socket_keepalive|socket_read_size|"
    "retry_on_timeout|max_connections|health_check_interval|protocol|legacy_responses"
)


class InvalidValue(ValueError):
    """A value that an option cannot have.

    Each argument is the text of one error, without its beginning: whoever knows where
    the value was given puts that before it. So they begin with a space, or a colon.
    """


def about(convert: Callable[[Any], Any], meaning: str) -> dict[str, Any]:
    """Return the ``metadata`` of a dataclass field that is an option.

    ``convert`` is its validator, ``meaning`` a sentence or two for documentation.
    """
    return {"convert": convert, "meaning": meaning}


def choose(options: type, *sources: Given) -> tuple[dict[str, Any], list[str]]:
    """Validate what was given for the fields of a dataclass, ``Options`` for example.

    Where two sources give an option, the later one counts, and both are validated.
    Returns the values by name, and the text of every error. Names that are no field are
    not looked at.
    """
    values: dict[str, Any] = {}
    errors: list[str] = []
    for declared in fields(options):
        for source in sources:
            if declared.name in source:
                place, value = source[declared.name]
                try:
                    values[declared.name] = declared.metadata["convert"](value)
                except InvalidValue as wrong:
                    errors += [place + error for error in wrong.args]
    return values, errors


def is_given(value: object) -> bool:
    """Whether a value says anything; None and "" leave the choice to others."""
    return value is not None and not (isinstance(value, str) and value == "")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the known name that was probably meant.

    One that was only shortened is meant before one that merely looks alike.
    """
    known, lower = list(known), name.lower()
    shortened = cutoff < 0.8 and len(lower) > 2
    longer = [each for each in known if shortened and each.startswith(lower)]
    found = longer or difflib.get_close_matches(lower, known, 1, cutoff)
    return min(found, key=len, default=None)


def unknown(near: str | None, known: Collection[str]) -> str:
    """Return the error of a name that is not among `known`."""
    if near:
        return f" is not known; did you mean {near}?"
    return f" is not known; expected one of {', '.join(sorted(known))}"


def shown(value: object) -> str:
    """Return a text that describes a wrong value, without any cap in it."""
    if not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    text = repr(value) if isinstance(value, str | float) else str(value)
    return "a cap" if _CAP_LIKE.search(text) else text if len(text) < 60 else "too long"


def flag(value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise InvalidValue(f" is {shown(value)}; expected True or False")
    return value


def number(value: object) -> float:
    """Return a finite number above 0."""
    expected = "expected a finite number above 0"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f" is {shown(value)}; {expected}")
    try:
        result = float(value)
    except OverflowError:
        raise InvalidValue(f" is too large; {expected}") from None
    if not math.isfinite(result) or result <= 0:
        raise InvalidValue(f" is {shown(value)}; {expected}")
    return result


def whole(least: int) -> Callable[[object], int]:
    """Return the validator of whole numbers from `least` on."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidValue(
                f" is {shown(value)}; expected a whole number, at least {least}"
            )
        return value

    return convert


def one_of(*words: str) -> Callable[[object], str]:
    """Return the validator of words of which one is meant, in any case."""

    def convert(value: object) -> str:
        for word in words:
            if isinstance(value, str) and value.lower() == word.lower():
                return word
        expected = '" or "'.join(words)
        raise InvalidValue(f' is {shown(value)}; expected "{expected}"')

    return convert


def url_prefix(value: object) -> str:
    """Return what URLs begin with, with a slash at its end; no query, no fragment."""
    unfit = re.compile(rf"[\s\x00-\x1f\x7f\\?#]|{_CAP_LIKE.pattern}", re.IGNORECASE)
    if not isinstance(value, str) or unfit.search(value):
        raise InvalidValue(f" is {shown(value)}; expected a prefix such as /static/")
    return value if value.endswith("/") else f"{value}/"


def accel_prefix(value: object) -> str:
    """Return the prefix of an internal location of nginx."""
    if isinstance(value, str) and _ACCEL_PREFIX.fullmatch(value):
        return value
    raise InvalidValue(f" is {shown(value)}; expected a path such as /_tahoe/")


def path(value: object) -> Path:
    """Return an absolute path, with ``~`` expanded."""
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise InvalidValue(f" is {shown(value)}; expected a path")
    if _CAP_LIKE.search(str(value)):
        raise InvalidValue(" has a cap in it; expected a path")
    try:
        return Path(value).expanduser().absolute()
    except (OSError, RuntimeError):
        raise InvalidValue(f" is {shown(value)}; expected an absolute path") from None


def host(text: str) -> str | Network:
    """Return a host name in lower case, or the network of an address or a network."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        name = text.lower().removesuffix(".")
    # A last label of digits is a mistyped address, and never a name (RFC 3696, 2).
    if not _HOST_NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise InvalidValue(" is neither a host name nor an address nor a network")
    return name


def hosts(value: object) -> tuple[str | Network, ...]:
    """Return host names and networks; a single address is a network of one."""
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidValue(
            f' is {shown(value)}; expected a list, such as ["10.0.0.0/8"]'
        )
    result, errors = [], []
    for item in value:
        try:
            result.append(host(item if isinstance(item, str) else ""))
        except InvalidValue as wrong:
            errors.append(f" has {shown(item)} in it, which{wrong}")
    if errors:
        raise InvalidValue(*errors)
    return tuple(result)


def server_ids(value: object) -> tuple[str, ...]:
    """Return the ids of storage servers, or their beginnings as errors show them."""
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidValue(
            f' is {shown(value)}; expected a list, such as ["v0-2nd3ab4cd"]'
        )
    wrong = [
        item
        for item in value
        if not isinstance(item, str) or not re.fullmatch(r"[!-~]{1,200}", item)
    ]
    if wrong:
        raise InvalidValue(
            *(f" has {shown(i)} in it, which is no server's id" for i in wrong)
        )
    return tuple(value)


def url(value: object) -> str:
    """Return an http or https URL in its normal form, without a slash at its end."""
    # The value is never repeated: there may be a password or a cap in it.
    expected = "expected a URL such as http://127.0.0.1:3456"
    if not isinstance(value, str):
        raise InvalidValue(f" is {shown(value)}; {expected}")
    if re.search(r"[\s\x00-\x1f\x7f\\]", value):
        raise InvalidValue(f" has white space or backslashes in it; {expected}")
    if _CAP_LIKE.search(value):
        raise InvalidValue(f" has a cap in it; {expected}")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise InvalidValue(f" is not a URL; {expected}") from None
    if "@" in parts.netloc:
        raise InvalidValue(f" has a user name or password in it; {expected}")
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidValue(f" does not begin with http:// or https://; {expected}")
    if "?" in value or "#" in value:
        raise InvalidValue(f" has a query or a fragment; {expected}")
    try:
        name = host(parts.hostname or "")
    except InvalidValue:
        raise InvalidValue(f" has no proper host; {expected}") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise InvalidValue(" has a wrong port; expected one from 1 to 65535")
    if not isinstance(name, str):
        address = name.network_address
        name = f"[{address}]" if address.version == 6 else str(address)
    if port not in (None, _DEFAULT_PORTS[parts.scheme]):
        name += f":{port}"
    return f"{parts.scheme}://{name}{parts.path.rstrip('/')}"


class FirstOf(str):
    """The first of several texts, and ``all`` of them."""

    __slots__ = ("all",)
    all: tuple[str, ...]


def gateways(value: object) -> FirstOf:
    """Return the first of some URLs, given as a list, or as text with commas."""
    urls = value.split(",") if isinstance(value, str) else value
    if not isinstance(urls, list | tuple) or not urls:
        raise InvalidValue(
            f" is {shown(value)}; expected a URL such as http://127.0.0.1:3456, or a "
            "list of them"
        )
    found = [url(each) for each in urls]
    if len({*found}) < len(found):
        raise InvalidValue(" has an address twice; expected each gateway once")
    first = FirstOf(found[0])
    first.all = tuple(found)
    return first


def redis_url(value: object) -> Secret:
    """Return the URL of a Redis; there may be a password in it."""
    expected = "expected a URL such as redis://127.0.0.1:6379/0"
    if not isinstance(value, str):
        raise InvalidValue(f" is {shown(value)}; {expected}")
    if value.partition("://")[0] not in ("redis", "rediss", "unix"):
        raise InvalidValue(
            f" does not begin with redis://, rediss:// or unix://; {expected}"
        )
    if importlib.util.find_spec("redis") is None:
        raise InvalidValue(' needs redis-py: pip install "django-tahoestorage[redis]"')
    if not _is_url_of_redis(value):
        raise InvalidValue(
            " is no URL of a Redis, or has in its query what is not for there; write "
            "/ # ? @ % in a password as %2F %23 %3F %40 %25"
        )
    return Secret(value)


def _is_url_of_redis(text: str) -> bool:
    """Whether redis-py connects by a URL, and takes no part of a password for more."""
    import redis  # It is an extra.

    try:
        parts = urlsplit(text)
        # Its connection does not connect yet.
        redis.ConnectionPool.from_url(text).make_connection()
    except Exception:
        return False  # The error has parts of the password.
    return "@" not in parts.path + parts.query + parts.fragment and all(
        map(_REDIS_QUERY.fullmatch, parse_qs(parts.query, keep_blank_values=True))
    )


def root_cap(value: object) -> Cap:
    """Return the cap of a directory that may be read."""
    expected = "expected a directory cap, as `manage.py tahoe_create_root` makes one"
    try:
        cap = value if isinstance(value, Cap) else Cap.parse(str(value).strip())
    except InvalidCap as invalid:
        raise InvalidValue(f" is not a cap ({invalid}); {expected}") from None
    if cap.access is Access.VERIFY:
        raise InvalidValue(f" is a verify cap, which cannot be read; {expected}")
    if not cap.is_directory:
        raise InvalidValue(f" is not the cap of a directory; {expected}")
    return cap
