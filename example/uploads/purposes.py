"""What an upload is for: an app may decide who ends it, and use what was stored."""

from __future__ import annotations

from accounts.models import User
from objects import access, storing
from objects.access import Access
from objects.models import Version
from uploads.models import Upload


class Unfit(storing.Refused):
    """What was uploaded is not what it is for; the message says why, for people."""


class Purpose:
    """The usual one, of an upload that becomes an object and nothing else."""

    def may_edit(self, user: User, version: Version) -> bool:
        """Whether the user may go on with the upload of the version."""
        return access.allows(user, version.object, Access.EDIT)

    def verify(self, version: Version) -> None:
        """Raise Unfit where the bytes, which the store has, are not fit for it.

        Raises what the store does, too: the upload is tried again then.
        """

    def check(self, version: Version) -> None:
        """Raise Refused where it may not be stored any more.

        In the transaction that stores it, before that: what `stored` changes of events
        and of other objects is locked here, and these with the version's by their keys.
        """
        storing.check_author(version)

    def stored(self, version: Version) -> None:
        """Use the version, in the transaction that has just stored it.

        What it raises ends that.
        """


_purposes = {"": Purpose()}


def register(name: str, purpose: Purpose) -> None:
    """Let uploads that have the name in their row be for that."""
    _purposes[name] = purpose


def of(upload: Upload) -> Purpose:
    """Return what the upload is for."""
    return _purposes[upload.purpose]
