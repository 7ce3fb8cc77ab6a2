"""The checks that ask a gateway, for ``check --deploy``."""

from __future__ import annotations

from contextlib import closing

from django.core.checks import Error, Info, Warning

from tahoestorage.checks.findings import Finding
from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import NotEnoughShares, TahoeStorageError
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.children import Child
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.marker import NAME
from tahoestorage.tahoe.samegrid import ids_of, objection

_EMPTY = (
    "the root directory is empty, and without the hidden file that keeps those of this "
    "package from being so: two gateways that save to it lose files without an error."
)
_TAKEN = (
    f"something else has the name {NAME!r} in the root directory, by which hosts tell "
    "each other of storage servers: what is changed while some are away can be lost."
)
_RENAME = (
    "Rename it, as by `tahoe mv`, and restart the site: its next save puts a file of "
    "that name there."
)
_MARK = "Run `manage.py tahoe_create_root --mark` once, while nothing else writes."


def ask(base_url: str) -> list[Finding]:
    """Return what is wrong with the gateway, or an Info where nothing is.

    It must respond within 10 seconds.
    """
    with closing(_gateway(base_url)) as gateway:
        try:
            servers = gateway.servers()
            if servers is None:
                # Its pages may be kept from us, by a proxy; this asks no server.
                gateway.list(literal_cap(b"Is it one?"), label="a question")
        except TahoeStorageError as error:  # FileMissing, where something else is
            text = f"{base_url} does not respond as a gateway: {error}"
            hint = "Start the gateway, or correct TAHOE_STORAGE_BASE_URL."
            return [Finding(Error, "E005", text, hint)]
    if servers is None:
        text = (
            f"the gateway at {base_url} does not show its storage servers: what is "
            "changed while some of them are away can be lost when they come back."
        )
        hint = "Let GET /?t=json through to the gateway, beside /uri."
        return [Finding(Warning, "W008", text, hint)]
    connected = sum(server.connected for server in servers)
    if not connected:
        text = f"the gateway at {base_url} is connected to no storage server."
        hint = f"Open {base_url} on its machine: it says why. See docs/grid.md."
        return [Finding(Error, "E005", text, hint)]
    count = "1 storage server" if connected == 1 else f"{connected} storage servers"
    text = f"looked at: the gateway at {base_url} responds, and has {count}."
    return [Finding(Info, "I001", text, "")]


def look_for_root(base_url: str, root: Cap, *, locked: bool) -> list[Finding]:
    """Return a finding where the gateway can't read the root directory.

    Also where that is empty, unless its writers have a lock (``locked``), and where
    something else has the name of its marker.
    """
    children: list[Child] = []
    with closing(_gateway(base_url)) as gateway:
        try:
            kind = gateway.list(root, (), children.append, label="the root").kind
        except NotEnoughShares:
            # What its message advises is what is done here.
            text = (
                "the root directory cannot be read: too few shares of it are "
                "reachable. Storage servers are away, or the root cap is not of this "
                "grid, or a letter of it is wrong."
            )
        except TahoeStorageError as error:
            text = f"the root directory cannot be read: {error}"
        else:
            if kind is EntryKind.DIRECTORY and not children and not locked:
                return [Finding(Warning, "W009", _EMPTY, _MARK)]
            taken = [child.entry.kind for child in children if child.name == NAME]
            if kind is EntryKind.DIRECTORY and taken not in ([], [EntryKind.FILE]):
                return [Finding(Warning, "W010", _TAKEN, _RENAME)]
            if kind is EntryKind.DIRECTORY:
                return []
            text = "the root cap is not that of a directory."
    hint = (
        "Compare the cap with the one that was noted when the root was made, letter by "
        "letter, and base_url with the address of that grid's gateway."
    )
    return [Finding(Error, "E008", text, hint)]


def compare(base_url: str, first: str, root: Cap) -> list[Finding]:
    """Return a finding where the gateway can't take the place of ``first``."""
    with closing(_gateway(base_url)) as gateway, closing(_gateway(first)) as other:
        try:
            found = objection(gateway, root, ids_of(other.servers()))
        except TahoeStorageError as error:
            found = str(error)
    if found is None:
        return []
    text = f"the gateway at {base_url} gets no uploads, nor changes: {found}."
    hint = (
        f"Give it the same servers as {first} has, by the same names where they stand "
        "in servers.yaml, or leave it out of base_url."
    )
    return [Finding(Warning, "W012", text, hint)]


def _gateway(base_url: str) -> Gateway:
    return Gateway(base_url, connect_timeout=3.0, read_timeout=10.0, retries=0)
