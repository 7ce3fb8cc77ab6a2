"""Option values as the environment gives them: as text, or in a file.

Secrets are marked when they are read, so that no repr shows them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.utils.functional import SimpleLazyObject

from tahoestorage.config.storeoptions import Option
from tahoestorage.config.validators import InvalidValue
from tahoestorage.redaction import Secret, has_password, is_secret_name

SECRET_FILES: set[Path] = set()
"""The files from which secrets were read in this process, for the system checks."""


# Django's class takes no type argument at run time.
class KeyFile(SimpleLazyObject):  # type: ignore[type-arg]
    """The credentials of a service account, read from its key file when first used.

    It is copied and pickled as the path of that file.
    """

    def __init__(self, file: str) -> None:
        super().__init__(partial(_read_key, file))
        self.__dict__["_file"] = file

    # object's says a text or any tuple, and this tuple is one.
    def __reduce__(self) -> tuple[Any, tuple[str]]:  # type: ignore[override]
        return KeyFile, (self.__dict__["_file"],)

    def __copy__(self) -> KeyFile:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyFile:
        return self


def _read_key(file: str) -> object:
    from google.oauth2.service_account import Credentials

    credentials: object = Credentials.from_service_account_file(file)
    return credentials


def read_option(name: str, text: str, option: Option) -> Any:
    """Return the value that a text stands for; a Secret if it is one.

    ``text`` is what a URL or a variable holds. Raises InvalidValue.
    """
    value = option.convert(text)
    if isinstance(value, str) and (is_secret_name(name) or has_password(value)):
        return Secret(value)
    return value


def read_file(name: str, file: str, option: Option) -> Any:
    """Return the value of an option that a file holds. Raises InvalidValue.

    White space around it is dropped. Of ``credentials`` the file itself is the value.
    """
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
    value = KeyFile(file) if name == "credentials" else read_option(name, text, option)
    if isinstance(value, KeyFile | Secret):
        SECRET_FILES.add(Path(file))
    return value
