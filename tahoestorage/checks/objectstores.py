"""The checks that ask S3 or Google Cloud Storage, for ``check --deploy``."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import Error, Info, Warning
from django.core.exceptions import ImproperlyConfigured

from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.checks.findings import Finding
from tahoestorage.exceptions import (
    FileMissing,
    StoreError,
    StoreForbids,
    TahoeStorageError,
    printable,
)
from tahoestorage.redaction import redact


def ask_objects(storage: ObjectStore) -> Iterator[Finding]:
    """Yield what is wrong with an object store, or an Info where nothing is."""
    try:
        if storage.file_overwrite:
            storage.listdir("")
            text = "looked at: the store responds; saves overwrite there, as it is set."
            yield Finding(Info, "I001", text, "")
        elif storage.conditional(thorough=True):
            text = "looked at: the store responds, and refuses to overwrite."
            yield Finding(Info, "I001", text, "")
        else:
            yield Finding(
                Error,
                "E007",
                "the store can't refuse to overwrite a file: two that save one name at "
                "once would lose one of them, so that nothing is saved there.",
                "Use a store that refuses it to all but one of several at once "
                "(If-None-Match on PutObject on S3, ifGenerationMatch on Google's), "
                "or set file_overwrite.",
            )
        yield from _look_at_url(storage)
    except (TahoeStorageError, ImproperlyConfigured) as error:
        hint = (
            "Correct the options, or the rights of these credentials. Where they are "
            "for one folder only, make it the location."
        )
        why = _with_reason(storage, error)
        text = f"the store can't be used: {why}{_said(why)}"
        yield Finding(Error, "E006", text, hint)
    except Exception as error:
        # A library's own, in whose text there may be anything.
        text = f"the store can't be used ({type(error).__name__})."
        yield Finding(Error, "E006", text, "Correct the options.")


def _look_at_url(storage: ObjectStore) -> Iterator[Finding]:
    """Yield why its files have no URL, where they have none."""
    try:
        storage.url("file.txt")
    except ImproperlyConfigured as error:
        yield Finding(
            Warning,
            "W004",
            "its files have no URL: whatever asks for it fails, Django's admin too. "
            f"{error}",
            "Give it credentials that can sign URLs, or set querystring_auth to False "
            "where everybody may read the bucket. Where neither is wanted, use "
            "tahoestorage.widgets in forms and the admin, and silence this check.",
        )


def _with_reason(storage: ObjectStore, error: Exception) -> Exception:
    """Return the error in which the store says why it forbids us, if there is one.

    What forbids a HEAD has no body, and so no reason. A page of a listing has one.
    """
    if isinstance(error, StoreForbids):
        try:
            for page in storage.list_pages(storage.key_of("")):
                next(iter(page), None)
                break
        except StoreForbids as explained:
            return explained
        except TahoeStorageError:
            pass
    return error


def _said(error: Exception) -> str:
    """Return what the store itself said: its code, its status, its reason."""
    # Made of the library's by our stores, without what is secret in it.
    cause = error.__cause__ if isinstance(error, StoreError | FileMissing) else None
    if cause is None:
        return ""
    text = str(cause)
    response = getattr(cause, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        text = f"{status} {text}"
    elif (message := str(getattr(cause, "message", ""))) in str(error):
        text = text.removesuffix(message)
    return f" [the store said: {redact(printable(' '.join(text.split())))}]"
