"""The headers of the tus protocol, read with care."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from django.core.exceptions import ValidationError as Invalid
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from api.problems import Problem
from objects import mediatypes, names

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
CHECKSUMS = ("sha256", "sha1", "md5")
BODY_TYPE = "application/offset+octet-stream"


@dataclass(frozen=True)
class Described:
    """What ``Upload-Metadata`` says of the object; no name is the empty one."""

    folder: str = ""
    name: str = ""
    content_type: str = mediatypes.UNKNOWN


def number_in(request: Request, name: str) -> int:
    """Return a header's number of bytes; raises ValidationError."""
    text = request.headers.get(name, "")
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ValidationError({name: [_("It must be a number of bytes.")]})
    return int(text)


def described_in(request: Request) -> Described:
    """Return what the metadata say; raises ValidationError. Empty ones are none."""
    label = "Upload-Metadata"
    found: dict[str, str] = {}
    for pair in filter(None, request.headers.get(label, "").strip().split(",")):
        key, _blank, value = pair.strip().partition(" ")
        try:
            text = base64.b64decode(value, validate=True).decode()
        except ValueError:
            raise ValidationError(
                {label: [_("A value must be text in UTF-8, in Base64.")]}
            ) from None
        if not key or not key.isascii() or key in found:
            raise ValidationError(
                {label: [_("A key is ASCII, there once, and not empty.")]}
            )
        found[key] = text
    # What the usual clients call them: tus-js-client, tuspy, and Uppy.
    name = found.get("filename") or found.get("name") or ""
    kind = found.get("filetype") or found.get("type") or ""
    try:
        return Described(
            names.clean_folder(found.get("folder", "")),
            names.clean_name(name) if name else "",
            mediatypes.known(kind),
        )
    except Invalid as error:
        raise ValidationError({label: error.messages}) from None


def checksum_in(request: Request, length: int) -> tuple[str, bytes] | None:
    """Return the algorithm and the digest that the body must have, None for none.

    Raises ValidationError. Of a body of no bytes it is compared already, by a Problem.
    """
    label = "Upload-Checksum"
    text = request.headers.get(label)
    if text is None:
        return None
    algorithm, _blank, encoded = text.partition(" ")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError:
        digest = b""
    if algorithm not in CHECKSUMS:
        raise ValidationError({label: [_("That algorithm is not known.")]})
    if len(digest) != hashlib.new(algorithm).digest_size:
        raise ValidationError({label: [_("It must be a digest in Base64.")]})
    if not length and digest != hashlib.new(algorithm).digest():
        raise mismatch()
    return algorithm, digest


def mismatch() -> Problem:
    return Problem(460, _("The checksum is another."), "checksum")
