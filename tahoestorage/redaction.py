"""Keeping secrets out of what people see: reprs, logs, error messages and error pages.

Secret are caps, and the passwords and keys of stores. ``redact`` takes them out of a
text that is shown. ``Secret`` is a text that is used as it is and never shown: shells
and Django's error pages show the repr of a variable. Knows no Django.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from tahoestorage.exceptions import printable

_CAP = re.compile(r"(?:ro\.|imm\.)?URI(?::|%(?:25)*3A)[^\s'\"<>/?#]*", re.IGNORECASE)
_SHOWN = "URI:***"
# The keys in caps, where somebody quotes them alone; no word is as long.
_KEY = re.compile(r"[a-z2-7]{24,}", re.IGNORECASE)
# Names and passwords in URLs, such as that of a Redis.
_LOGIN = re.compile(r"(?<=://)[^\s'\"/?#@]*@|(?<=[?&]password=)[^\s'\"&]*")
# Keys of new directories.
_PRIVATE = re.compile(r"private-key=[^\s'\"&]*")

_RUN = re.compile(r'[^\s"]+')
_SECRET_NAME = re.compile(r"(?:^|_)(?:cap|credentials|key|password|secret|token)$")


def redact(text: str) -> str:
    """Return ``text`` with every cap in it made unreadable, quoted ones too.

    So are the passwords of URLs, and private keys in them.
    """
    text = _PRIVATE.sub("private-key=***", text)
    return _LOGIN.sub("***@", _CAP.sub(_SHOWN, text))


def redact_quoted(text: str) -> str:
    """Return what somebody else has said, without caps and without parts of any."""
    return _KEY.sub("***", redact(text))


def has_password(text: str) -> bool:
    """Whether a text has a URL with a user name or a password in it."""
    # An unquoted slash in a password is a mistake, and a password all the same. One
    # pattern for all of it would take the square of the time for many "://".
    return any("@" in run.partition("://")[2] for run in _RUN.findall(text))


def is_secret_name(name: str) -> bool:
    """Whether an option of this name, such as ``secret_key``, holds a secret."""
    return bool(_SECRET_NAME.search(name))


class Secret(str):
    """A text that is secret, or has a secret in it. Its repr does not show it.

    Of a URL with a cap or a password in it the rest is shown.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.shown)

    @property
    def shown(self) -> str:
        """What may be seen of it, as a plain text."""
        text = str.__str__(self)
        shown = redact(text)
        if shown == text or has_password(shown.replace("://***@", "://")):
            # Half a cap is a secret too, and so is a key; no form tells them.
            return "***" if text else ""
        return redact_quoted(text)


class SecretBytes(bytes):
    """Bytes that are secret, or have a secret in them. No repr or str shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    # That of bytes shows them.
    __str__ = __repr__


def hide(value: Any, name: str = "") -> Any:
    """Return an equal value whose repr shows no secret that it has.

    ``name`` is that of the option, where it is one. Looks into lists, tuples, sets and
    dicts, which are copied. All bytes are hidden.
    """
    if type(value) is str:
        secret = is_secret_name(name) or redact(value) != value
        return Secret(value) if value and secret else value
    if type(value) is bytes:
        return SecretBytes(value)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(hide(each) for each in value)
    if type(value) is dict:
        return {hide(key): hide(each, str(key)) for key, each in value.items()}
    return value


class RedactCaps(logging.Filter):
    """Lets every record of a logger pass, without the caps in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's text."""
        record.msg = printable(redact(record.getMessage()))
        record.args = ()
        if record.exc_info is not None:
            record.exc_info = None
        return True


def redact_loggers(*names: str) -> None:
    """Keep caps out of what the loggers of these names emit."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(present, RedactCaps) for present in logger.filters):
            logger.addFilter(RedactCaps())
