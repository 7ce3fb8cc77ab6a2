"""Keeping caps out of what people see: logs and messages."""

from __future__ import annotations

import logging
import re

from tahoestorage.exceptions import printable

_CAP = re.compile(r"(?:ro\.|imm\.)?URI(?::|%(?:25)*3A)[^\s'\"<>/?#]*", re.IGNORECASE)
_SHOWN = "URI:***"
# The keys in caps, where somebody quotes them alone; no word is as long.
_KEY = re.compile(r"[a-z2-7]{24,}", re.IGNORECASE)
# Names and passwords in URLs, such as that of a Redis.
_LOGIN = re.compile(r"(?<=://)[^\s'\"/?#@]*@|(?<=[?&]password=)[^\s'\"&]*")


def redact(text: str) -> str:
    """Return ``text`` with every cap in it made unreadable, quoted ones too.

    So are the passwords of URLs.
    """
    return _LOGIN.sub("***@", _CAP.sub(_SHOWN, text))


def redact_quoted(text: str) -> str:
    """Return what somebody else has said, without caps and without parts of any."""
    return _KEY.sub("***", redact(text))


class Secret(str):
    """A text with a cap or a password in it; error pages do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        text = str.__str__(self)
        shown = redact_quoted(text)
        # Half a cap is a secret too, and not known by its form.
        return repr(shown if shown != text or not text else "***")


class SecretBytes(bytes):
    """Bytes with a cap in them; they are not shown either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    # That of bytes shows them.
    __str__ = __repr__


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
