"""Users as commands name them."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from accounts.models import User


def add_user(parser: CommandParser) -> None:
    """Add the argument that ``find_user`` takes."""
    parser.add_argument(
        "user",
        metavar="USER",
        help="A user's name or id; name:NAME and id:ID are never the other of the two.",
    )


def find_user(text: str) -> User:
    """Return the user of the name or the id, of which ``name:`` and ``id:`` name one.

    Raises CommandError where there is no such user, and where one user's name is
    another's id: who may invite users chooses their names.
    """
    kind, _colon, given = text.rpartition(":")
    found: dict[int, User] = {}
    if kind != "id":
        found |= {user.pk: user for user in User.objects.filter(username=given)}
    if kind != "name" and given.isascii() and given.isdecimal() and len(given) < 19:
        found |= {user.pk: user for user in User.objects.filter(pk=int(given))}
    if kind not in {"", "id", "name"} or not found:
        raise CommandError(f"There is no user of the name or id {text}.")
    if len(found) > 1:
        raise CommandError(
            f"{given} is the name of a user and the id of "
            f"{found[int(given)].username}: say name:{given} or id:{given}."
        )
    return found.popitem()[1]
