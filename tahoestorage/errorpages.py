"""Django's error pages and error mails, without caps and passwords.

With ``tahoestorage`` in ``INSTALLED_APPS`` a site has this filter, unless it names one
of its own in ``DEFAULT_EXCEPTION_REPORTER_FILTER``, which may be a subclass of this.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from tahoestorage.redaction import Secret, SecretBytes, redact

__all__ = ["HideSecretsFilter"]

# Deeper than settings go; a list may be in itself.
_DEPTH = 6
# Values of one variable that are looked at; lists may hold each other many times.
_MOST = 10_000
_CUT = "…"


class HideSecretsFilter(SafeExceptionReporterFilter):
    """Django's own filter, which also hides caps, and the passwords of URLs.

    Settings, and what the request's environment has, are replaced where their names
    say that they are a cap or credentials. Everywhere else, in the variables of each
    frame too, what has the form of a cap, or of a URL with a password, is shown without
    it: ``URI:***``, ``redis://***@host``.
    """

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern
        + r"|(?:^|_)(?:CAP|CREDENTIALS)$",
        re.IGNORECASE,
    )

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Return what may be shown of a setting, or of an entry of ``request.META``."""
        return _shown(super().cleanse_setting(key, value))

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        """Return the variables of a frame, as they may be shown."""
        variables = super().get_traceback_frame_variables(request, tb_frame)
        return {name: _shown(value) for name, value in variables}.items()


def _shown(value: Any, depth: int = _DEPTH, left: list[int] | None = None) -> Any:
    """Return the value, or a copy that has no secret which is known by its form.

    What is deeper than ``depth``, or beyond ``left`` values in all, is cut off.
    """
    left = [_MOST] if left is None else left
    # Not isinstance: it asks a lazy object what it is, which may fail.
    kind = type(value)
    if issubclass(kind, Secret):
        return value.shown
    if issubclass(kind, SecretBytes):
        return repr(value)
    if issubclass(kind, str):
        return value if redact(value) == value else Secret(value).shown
    if issubclass(kind, bytes):
        text = value.decode("latin-1")
        return value if redact(text) == text else repr(SecretBytes(value))
    if not depth and kind in (list, tuple, set, frozenset, dict):
        return _CUT
    if kind in (list, tuple, set, frozenset):
        return kind(_shown(each, depth - 1, left) for each in _first(value, left))
    if kind is dict:
        return {
            _shown(key, depth - 1, left): _shown(value.get(key, _CUT), depth - 1, left)
            for key in _first(value, left)
        }
    return value


def _first(values: Iterable[Any], left: list[int]) -> Iterator[Any]:
    """Yield as many values as are left to be looked at, and then that some are not."""
    for each in values:
        if left[0] <= 0:
            yield _CUT
            return
        left[0] -= 1
        yield each
