"""Secrets of a store: from files, and hidden in what is shown."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.functional import SimpleLazyObject

from tahoestorage.config.storeoptions import Option
from tahoestorage.config.validators import InvalidValue

_SECRET = re.compile(r"(?:^|_)(?:cap|credentials|key|password|secret|token)$")
# An unquoted slash in a password is a mistake, and a password all the same.
_PASSWORD = re.compile(r"://[^\s\"]*@")


class Hidden(str):
    """A secret; its repr does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class KeyFile(SimpleLazyObject):  # type: ignore[type-arg]
    """The credentials of a service account, read from its key file when first used.

    It is copied and pickled as the path of that file.
    """

    def __init__(self, file: str) -> None:
        super().__init__(partial(_read_key, file))
        self.__dict__["_file"] = file

    def __reduce__(self) -> tuple[Any, tuple[str]]:  # type: ignore[override]
        return KeyFile, (self.__dict__["_file"],)

    def __copy__(self) -> KeyFile:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyFile:
        return self


def _read_key(file: str) -> object:
    from google.oauth2.service_account import Credentials

    credentials: object = Credentials.from_service_account_file(file)  # type: ignore[no-untyped-call]
    return credentials


def is_secret(name: str) -> bool:
    """Whether the option of this name is never to be seen."""
    return bool(_SECRET.search(name))


def has_password(text: str) -> bool:
    """Whether a text is a URL with a user name or a password in it."""
    return bool(_PASSWORD.search(text))


def read_option(name: str, text: str, option: Option) -> Any:
    """Return the value that a text says, hidden if it is a secret. Raises Wrong."""
    value = option.convert(text)
    if isinstance(value, str) and (is_secret(name) or has_password(value)):
        return Hidden(value)
    return value


def read_file(name: str, file: str, option: Option) -> Any:
    """Return the value of an option that a file holds. Raises Wrong."""
    try:
        text = Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise InvalidValue(
            f" names a file that cannot be read: {error.strerror}"
        ) from None
    except ValueError:
        raise InvalidValue(" names a file that is no text") from None
    if not text:
        raise InvalidValue(" names an empty file")
    return KeyFile(file) if name == "credentials" else read_option(name, text, option)
