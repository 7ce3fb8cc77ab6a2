"""Folders and names that every store takes alike, and nothing else."""

from __future__ import annotations

import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MAX_FOLDER = 700  # characters
# UTF-8: a row of PostgreSQL's index, with a folder and a name in it, has 2,704 at most.
MAX_FOLDER_BYTES = 1024
MAX_NAME = 255  # characters
MAX_NAME_BYTES = 255  # UTF-8: what a file system takes


def clean_name(name: str) -> str:
    """Return the name in Unicode's form NFC.

    Raises ValidationError where it is empty, too long, ``.`` or ``..``, or holds a
    slash, a backslash or a control character.
    """
    name = unicodedata.normalize("NFC", name)
    if name in {"", ".", ".."}:
        raise ValidationError(_("A name is neither empty nor made of dots alone."))
    if "/" in name or "\\" in name:
        raise ValidationError(_("A name has no slash and no backslash in it."))
    if any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in name):
        raise ValidationError(_("A name has no control characters in it."))
    if name != name.strip():
        raise ValidationError(_("A name has no blanks at its ends."))
    if len(name) > MAX_NAME or len(name.encode()) > MAX_NAME_BYTES:
        raise ValidationError(
            _("A name has at most %(count)s bytes.") % {"count": MAX_NAME_BYTES}
        )
    return name


def clean_folder(folder: str) -> str:
    """Return the folder in form NFC, ``""`` for the top one.

    Raises ValidationError where a part of it is no name, or it is too long. A slash at
    either end is an empty part.
    """
    if not folder:
        return ""
    folder = "/".join(clean_name(part) for part in folder.split("/"))
    if len(folder) > MAX_FOLDER or len(folder.encode()) > MAX_FOLDER_BYTES:
        raise ValidationError(
            _("A folder has at most %(count)s characters and %(bytes)s bytes.")
            % {"count": MAX_FOLDER, "bytes": MAX_FOLDER_BYTES}
        )
    return folder


def clean_path(path: str) -> tuple[str, str]:
    """Return folder and name of a path; raises ValidationError as the two above."""
    folder, _slash, name = path.rpartition("/")
    if _slash and not folder:
        raise ValidationError(_("A path does not begin with a slash."))
    return clean_folder(folder), clean_name(name)
