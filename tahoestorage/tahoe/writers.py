"""Which gateway changes a directory: the first, or another under a lock that all share.

One gateway makes its changes one after the other; two disturb each other, unless all
who write wait for each other. So where the first one does not respond, another takes
its place only while the lock in a Redis is held, from before the change is begun until
all of it is confirmed.

The lock outlives a lost request by as long as a gateway writes. One that is frozen may
carry it out later, in no time known. A late link is refused if the name is taken by
then; a late deletion or replacement would undo what was saved through another gateway.
So those are noted with the lock before they are sent, and until the response nobody
changes that directory through another gateway, unless the one that was sent it has
stopped. Of one that is not in ``base_url`` nobody can see that: it was taken out, or is
of another host's loopback, or of this one's before a boot. It is waited for some days.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from tahoestorage.cache import WriteLock
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    GatewayUnreachable,
    NameTaken,
    StoreError,
)
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.gateways import Gateways
from tahoestorage.tahoe.presence import is_stopped
from tahoestorage.tahoe.quorum import Quorum
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.tahoe.serverlist import server_list

P = ParamSpec("P")
T = TypeVar("T")
UNKNOWN_DAYS = 7
"""How long all but the first wait for a gateway that is not in ``base_url``: longer
than a host or a container is likely to be left frozen."""
UNKNOWN_SECONDS = UNKNOWN_DAYS * 24 * 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryWriter:
    """A gateway that may change directories, and the quorum of the servers it has."""

    gateway: Gateway
    quorum: Quorum

    @property
    def id(self) -> str:
        """By what all processes know it in the lock."""
        return _id(self.gateway)

    def learn_shares(self) -> None:
        """Find out how it encodes, for the quorum, before it makes a directory.

        By an upload, where it has had none. Raises NotEnoughServers.
        """
        if self.gateway.shares is None:
            self.gateway.probe_upload()

    def send(
        self, request: Callable[P, T], *arguments: P.args, **keywords: P.kwargs
    ) -> T:
        """Send one change of a directory; each goes through here.

        After an error the list of servers is read again.
        """
        try:
            return request(*arguments, **keywords)
        except (NameTaken, StoreError):
            self.quorum.invalidate()
            raise


class DirectoryWriters:
    """The gateways of one root, of which one is chosen for each change.

    Safe in threads and forks.
    """

    def __init__(
        self, gateways: Gateways, root: Cap, rules: ServerRules | None = None
    ) -> None:
        self._gateways = gateways
        self._all = {
            gateway: DirectoryWriter(gateway, Quorum(gateway, root, rules))
            for gateway in gateways.all
        }
        self.first = self._all[gateways.all[0]]
        """The one that changes directories wherever it can."""

    def choose(
        self, label: str, *, shared: bool, lock: WriteLock | None = None
    ) -> DirectoryWriter:
        """Return the first one if it responds, else the next that may take its place.

        That is one that is of its grid, and reaches enough servers. The first alone
        unless writers have a lock that is ``shared``. With the ``lock`` on a directory,
        none where another may still be at it. Raises GatewayUnreachable or
        GatewayTimeout, which say why it is none.
        """
        if not shared or len(self._all) == 1:
            return self.first
        unclear = {} if lock is None else lock.unclear()
        if lock is not None and not lock.is_shared:
            return self.first
        failure: StoreError | None = None
        reasons: list[str] = []
        for gateway in self._gateways.for_changes():
            writer = self._all[gateway]
            why = self._may_be_undone(writer, unclear, lock)
            if why is None:
                try:
                    why = self._look(writer, label)
                except (GatewayUnreachable, GatewayTimeout) as error:
                    self._gateways.note(gateway, error)
                    why = str(error)
                    if writer is self.first:
                        failure, why = error, None
                except StoreError as error:
                    if writer is self.first:
                        # What is wrong with it, it says itself.
                        return writer
                    why = str(error)
                else:
                    self._gateways.note(gateway, None)
                    if why is None:
                        return writer
            if why is not None:
                reasons.append(f"{gateway.base_url} ({why})")
        others = f"no other gateway may change its directory now: {'; '.join(reasons)}"
        if failure is not None:
            raise type(failure)(f"{label}: {failure}; and {others}")
        raise GatewayUnreachable(f"{label}: {others}")

    def _look(self, writer: DirectoryWriter, label: str) -> str | None:
        """Return what tells against a gateway that responds. Raises a StoreError."""
        if writer is not self.first:
            return writer.quorum.objection(label)
        server_list(writer.gateway).look(writer.gateway)
        return None

    def _may_be_undone(
        self,
        writer: DirectoryWriter,
        unclear: Mapping[str, float],
        lock: WriteLock | None,
    ) -> str | None:
        """Return why what a gateway writes could be undone by another's late request.

        ``unclear`` is what the lock has noted.
        """
        known = {each.id: each for each in self._all.values()}
        for id, seconds in unclear.items():
            if id == writer.id:
                continue
            other = known.get(id)
            if other is None:
                # Sites with gateways of their own for each host have no others at all.
                # It stays noted, for hosts that do know it.
                if writer is self.first or seconds > UNKNOWN_SECONDS:
                    continue
                return (
                    "a gateway that is not in base_url may still be at a deletion or a "
                    f"replacement there; for {UNKNOWN_DAYS} days only the first one "
                    "changes that directory"
                )
            where = other.gateway.base_url
            if not is_stopped(where):
                return (
                    f"the gateway at {where} may still be at a deletion or a "
                    "replacement there; start it, stop it for good, or take it out of "
                    "base_url"
                )
            if lock is not None:
                lock.forgive(id)
        return None

    def hold(
        self, lock: WriteLock, label: str, *, anywhere: bool = True
    ) -> LockedChange:
        """Return the change for which ``lock`` was just taken.

        Unless ``anywhere``, through the first gateway. Raises what ``choose`` raises.
        """
        if anywhere:
            writer = self.choose(label, shared=lock.is_shared, lock=lock)
        else:
            writer = self.first
            self.check(writer, label, lock)
        return LockedChange(self, lock, writer, label)

    def check(self, writer: DirectoryWriter, label: str, lock: WriteLock) -> None:
        """Raise GatewayUnreachable where another may still be at a directory."""
        if len(self._all) > 1:
            why = self._may_be_undone(writer, lock.unclear(), lock)
            if why is not None:
                raise GatewayUnreachable(f"{label}: nothing was changed: {why}")


class LockedChange:
    """A change of one directory: its lock, and the gateway that makes all of it."""

    def __init__(
        self,
        writers: DirectoryWriters,
        lock: WriteLock,
        writer: DirectoryWriter,
        label: str,
    ) -> None:
        self.gateway = writer.gateway
        self.quorum = writer.quorum
        self._writers = writers
        self._writer = writer
        self._lock = lock
        self._takes = lock.takes
        self._label = label

    def renew(self) -> None:
        """Hold the lock for the whole time again. To be called before each request.

        Raises GatewayUnreachable where the gateway may not be used any more.
        """
        self._lock.renew()
        if self._lock.takes != self._takes:
            # Others had it meanwhile.
            self._takes = self._lock.takes
            self._writers.check(self._writer, self._label, self._lock)
        self._check_lock()

    def _check_lock(self) -> None:
        if self._writer is not self._writers.first and not self._lock.is_shared:
            raise GatewayUnreachable(
                f"{self._label}: nothing more was changed through the gateway at "
                f"{self.gateway.base_url}, for the Redis that has the locks is away; "
                "without it directories are changed through the gateway at "
                f"{self._writers.first.gateway.base_url} alone"
            )

    def send(
        self, request: Callable[P, T], *arguments: P.args, **keywords: P.kwargs
    ) -> T:
        """Send one change of the directory, as ``DirectoryWriter.send`` does.

        One that neither unlinks nor replaces.
        """
        try:
            result = self._writer.send(request, *arguments, **keywords)
        except (NameTaken, FileMissing):
            self._lock.answered(self._writer.id)
            raise
        self._lock.answered(self._writer.id)
        return result

    def send_undoing(
        self, request: Callable[P, T], *arguments: P.args, **keywords: P.kwargs
    ) -> T:
        """Send one that unlinks or replaces: what others must know of until it is done.

        Raises GatewayUnreachable where the gateway may not be used any more.
        """
        self._lock.note(self._writer.id)
        self._check_lock()
        return self.send(request, *arguments, **keywords)


def _id(gateway: Gateway) -> str:
    """Return by what a gateway is known: its address, hashed.

    Of one on loopback, also which loopback it is: each host has its own.
    """
    url = gateway.base_url
    host = urlsplit(url).hostname or ""
    place = _this_network() if _is_loopback(host) else ""
    return hashlib.sha256(f"{url} {place}".encode()).hexdigest()[:32]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3


@functools.cache
def _this_network() -> str:
    """Return what containers share that reach each other by loopback, as others don't.

    Source: random(4), "/proc interfaces"; namespaces(7), "/proc/pid/ns".
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8")
        return f"{boot} {os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return os.uname().nodename
