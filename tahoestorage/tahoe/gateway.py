"""The gateway's web API, as far as it is needed, over HTTP."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import quote

import requests

from tahoestorage.exceptions import (
    FileMissing,
    GatewayUnreachable,
    NotEnoughServers,
    StoreError,
    UnexpectedResponse,
)
from tahoestorage.redaction import Secret
from tahoestorage.tahoe import bodies, parsing
from tahoestorage.tahoe.bodies import blocks, checked, read_cap, read_directory
from tahoestorage.tahoe.caps import LITERAL_LIMIT, Cap, Shares
from tahoestorage.tahoe.children import Child, Link, Linked, Node, encode_children
from tahoestorage.tahoe.connections import UploadTimeout
from tahoestorage.tahoe.parsing import NodeParser, Server
from tahoestorage.tahoe.transport import Transport
from tahoestorage.tahoe.uploads import UploadBody

# Not a time-out: there would be no end of them.
PASSING = GatewayUnreachable | NotEnoughServers
PAUSE, LONGEST_PAUSE = 0.25, 60.0
# A file up to this long is one segment, which the gateway has before it answers.
_SEGMENT = 1 << 17
_STATUS = "the gateway's status (GET /?t=json)"
# How a proxy keeps the gateway's pages from us, and how another program has none.
_HIDDEN = (400, 401, 403, 404)
_STATUS_LIMIT = 1 << 20  # A line for each of a thousand servers.


class Gateway:
    """A Tahoe-LAFS node's web API at ``base_url``.

    ``connect_timeout`` and ``read_timeout`` are seconds; after an upload the response
    is waited for as long again as its bytes take at ``min_rate`` bytes per second.
    ``retries`` is how often what changes nothing is repeated. Every method raises a
    StoreError where the gateway can't be reached or fails, and calls the file
    ``label`` in it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        min_rate: float = 65536,
        retries: int = 3,
    ) -> None:
        self._transport = Transport(
            base_url,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            min_rate=min_rate,
            retries=retries,
        )
        self.shares: Shares | None = None
        """How the gateway cuts what is new into shares, by what it made last."""

    def __repr__(self) -> str:
        return f"<Gateway {self._transport.base_url}>"

    @property
    def base_url(self) -> str:
        """Where the gateway is."""
        return self._transport.base_url

    @property
    def longest(self) -> float:
        """Seconds that a request without content takes at most."""
        return sum(self._transport.timeout)

    @property
    def retries(self) -> int:
        """How often something may be tried again."""
        return self._transport.retries

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def list(
        self,
        cap: Cap,
        path: Sequence[str] = (),
        add: Callable[[Child], None] | None = None,
        *,
        label: str,
    ) -> Node:
        """Return what is at ``path`` below ``cap``; ``add`` gets each child of it.

        One request, however long the path. Raises FileMissing.
        """
        with self._ask("GET", cap, path, "t=json", label=label) as response:
            return NodeParser(label, add).parse(
                blocks(response, label, self._transport)
            )

    def linked(self, directory: Cap, name: str, *, label: str) -> Linked:
        """Return where a link in a directory leads. Raises FileMissing."""
        with self._ask("GET", directory, (name,), "t=json", label=label) as response:
            text = bodies.read_text(
                response, label, self._transport, parsing.LINK_LIMIT
            )
        return parsing.linked_of(text, self.base_url)

    def set_children(
        self,
        directory: Cap,
        children: Mapping[str, Link],
        *,
        replace: Literal["false", "only-files"] = "false",
        label: str,
    ) -> None:
        """Link all ``children`` in a directory, or none of them.

        Raises NameTaken where a name is taken that may not be replaced.
        """
        body = encode_children(children)
        # The documented overwrite=false is ignored by the gateway; replace= is not.
        query = f"t=set_children&replace={replace}"
        with self._ask(
            "POST", directory, (), query, label=label, body=body
        ) as response:
            bodies.read_text(response, label, self._transport)

    def make_directory(
        self, children: Mapping[str, Link], layout: str = "SDMF", *, label: str
    ) -> Cap:
        """Make a directory of ``children``, linked nowhere; return its write cap."""
        if layout == "SDMF":
            body = encode_children(children, timed=True)
            return self._make_directory("t=mkdir-with-children", body, label)
        # A directory with children is made in the usual format, whatever is asked for.
        cap = self._make_directory(f"t=mkdir&format={layout}", b"", label)
        self.set_children(cap, children, label=label)
        return cap

    def _make_directory(self, query: str, body: bytes, label: str) -> Cap:
        target = f"/uri?{query}"
        response = self._transport.send(
            "POST", target, shown=target, label=label, body=body
        )
        with checked(response, label, self._transport) as reply:
            return read_directory(reply, label, self._transport)

    def unlink(
        self, directory: Cap, name: str, *, leads_nowhere: bool = False, label: str
    ) -> None:
        """Unlink ``name``, whatever it is by now. Raises FileMissing.

        A link that ``leads_nowhere`` has no cap.
        """
        path: tuple[str, ...]
        method, path, query = "DELETE", (name,), ""
        if leads_nowhere:
            # To DELETE the gateway says 501 there.
            method, path = "POST", ()
            query = f"t=unlink&name={quote(name, safe='')}"
        with self._ask(method, directory, path, query, label=label) as response:
            bodies.read_text(response, label, self._transport)

    def upload(self, body: UploadBody, *, label: str) -> Cap:
        """Bring content to the grid, linked nowhere, and return its read cap.

        Equal content has an equal cap, so that sending it twice does no harm. What
        reading the content raises comes through as it is.
        """
        attempts = self.retries + 1 if body.repeatable else 1
        pause = PAUSE
        while True:
            attempts -= 1
            started = time.monotonic()
            try:
                return self._upload(body.begin(), label)
            except StoreError as error:
                again = isinstance(error, PASSING) and attempts
                crowded = isinstance(error, NotEnoughServers)
                if body.error is None and not again:
                    raise
            if body.error is not None:
                raise body.error
            # A server that is just getting the same content from somebody else counts
            # as one that can't be used, for about as long as sending it takes.
            if crowded:
                taken = time.monotonic() - started
                time.sleep(min(pause + 2 * taken, LONGEST_PAUSE))
                pause *= 2

    def _upload(self, body: Iterator[bytes], label: str) -> Cap:
        connect, read = self._transport.timeout
        timeout = UploadTimeout(connect, read, self._transport.min_rate)

        def counted() -> Iterator[bytes]:
            for chunk in body:
                timeout.sent += len(chunk)
                yield chunk

        response = self._transport.send(
            "PUT", "/uri", shown="/uri", label=label, body=counted(), timeout=timeout
        )
        with checked(response, label, self._transport) as reply:
            cap = read_cap(reply, label, self._transport)
        self.shares = cap.shares or self.shares
        if cap.size != timeout.sent:
            raise UnexpectedResponse(
                f"{label}: {timeout.sent} bytes were sent, and the gateway kept "
                f"{cap.size}; save it again"
            )
        return cap

    def fetch(
        self, cap: Cap, first: int = 0, last: int | None = None, *, label: str
    ) -> requests.Response:
        """Return the answer with bytes ``first`` to ``last``, or the end, of a file.

        To be read with ``blocks``, and closed. 416 is returned as it is.
        """
        headers = {}
        if cap.size is None or cap.size > _SEGMENT:
            # What fails on the way ends the response, but not the connection: only the
            # end of the connection tells of it before a minute is over.
            headers["Connection"] = "close"
        if first or last is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        response = self._ask(
            "GET", cap, (), "", label=label, headers=headers, passing=(404, 416)
        )
        if response.status_code == 404:
            response.close()
            raise FileMissing(f"{label}: the gateway knows no file by its cap")
        return response

    def blocks(self, response: requests.Response, *, label: str) -> Iterator[bytes]:
        """Yield the body of a response. Raises DamagedDownload where it is cut."""
        return blocks(response, label, self._transport)

    def servers(self) -> tuple[Server, ...] | None:
        """Return the storage servers that the gateway knows of.

        None where it does not show them: a proxy before it may keep its pages from
        us. The list lags by a second or two, by some more where a server hangs. Raises
        a StoreError where nobody can tell whether it shows them, as at a redirect.
        """
        response = self._status()
        if response.status_code in _HIDDEN:
            response.close()
            return None
        return parsing.servers_of(self._status_text(response))

    def connected_servers(self) -> int:
        """Return to how many storage servers the gateway is connected."""
        servers = parsing.servers_of(self._status_text(self._status()))
        if servers is None:
            raise UnexpectedResponse(
                f"{self.base_url} does not answer as a Tahoe-LAFS gateway does; "
                "is another program listening there?"
            )
        return sum(server.connected for server in servers)

    def _status(self) -> requests.Response:
        target = "/?t=json"
        return self._transport.send("GET", target, shown=target, label=_STATUS)

    def _status_text(self, response: requests.Response) -> str:
        with checked(response, _STATUS, self._transport) as reply:
            return bodies.read_text(reply, _STATUS, self._transport, _STATUS_LIMIT)

    def shares_of(self, directory: Cap, *, label: str) -> Shares | None:
        """Return how a directory was cut into shares; None where nobody can tell."""
        query = "t=check&output=JSON"
        with self._ask("POST", directory, (), query, label=label, body=b"") as response:
            text = bodies.read_text(response, label, self._transport)
        return parsing.shares_of(text)

    def probe_upload(self) -> None:
        """Find out whether a file can be placed. Raises NotEnoughServers if not."""
        content = secrets.token_bytes(LITERAL_LIMIT + 1)
        body = UploadBody(lambda: [content], repeatable=False)
        self.upload(body, label="a probe of the gateway")

    def _ask(
        self,
        method: str,
        cap: Cap,
        path: Sequence[str],
        query: str,
        *,
        label: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        passing: tuple[int, ...] = (),
    ) -> requests.Response:
        names = "".join("/" + quote(name, safe="") for name in path)
        query = "?" + query if query else ""
        response = self._transport.send(
            method,
            Secret(f"/uri/{quote(cap.uri, safe='')}{names}{query}"),
            shown=f"/uri/{cap!r}{names}{query}",
            label=label,
            headers=headers,
            body=body,
        )
        return checked(response, label, self._transport, passing)
