"""The requests to a gateway: a method for each verb of the web API that is used.

"Web API" in this package is "The Tahoe REST-ful Web API", docs/frontends/webapi.rst of
Tahoe-LAFS 1.20; the names in quotation marks are its sections.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import requests

from tahoestorage import metering
from tahoestorage.exceptions import (
    FileMissing,
    GatewayUnreachable,
    NotEnoughServers,
    StoreError,
    UnexpectedResponse,
)
from tahoestorage.redaction import Secret
from tahoestorage.tahoe import bodies, parsing
from tahoestorage.tahoe.bodies import blocks, read_cap, read_directory, require_success
from tahoestorage.tahoe.caps import LITERAL_LIMIT, Cap, Shares
from tahoestorage.tahoe.children import Child, Link, LinkTarget, Node, encode_children
from tahoestorage.tahoe.connections import UploadTimeout
from tahoestorage.tahoe.deadlines import extend
from tahoestorage.tahoe.parsing import NodeParser, Server
from tahoestorage.tahoe.transport import Transport
from tahoestorage.tahoe.uploads import UploadBody, whole_if_small
from tahoestorage.tahoe.urlpaths import url_path

if TYPE_CHECKING:
    from tahoestorage.tahoe.checkresults import CheckResults, StreamedResults
    from tahoestorage.tahoe.directorykeys import DirectoryKey

# After these an upload is retried. Not after a time-out, which may happen each time.
TRANSIENT_ERRORS = GatewayUnreachable | NotEnoughServers
PAUSE, LONGEST_PAUSE = 0.25, 60.0
# Bytes. A file up to this size is one segment, which is there before the response.
_SEGMENT = 1 << 17
STREAM_SILENCE = 30.0  # seconds, beyond the time for a request, from line to line
_STATUS_LABEL = "the gateway's status (GET /?t=json)"
# From a proxy that hides the gateway's pages, or another program that has none.
_HIDDEN_STATUSES = (400, 401, 403, 404)
_STATUS_LIMIT = 1 << 20  # A line for each of a thousand servers.


class Gateway:
    """The web API of the Tahoe-LAFS node at ``base_url``; safe in threads and forks.

    ``connect_timeout`` and ``read_timeout`` are seconds; the wait after an upload grows
    by the time for its bytes at ``min_rate`` bytes per second. ``retries`` is how often
    a GET or an upload is repeated.

    Every method raises a StoreError where the gateway can't be reached or fails:
    GatewayUnreachable, GatewayTimeout, NotEnoughServers, NotEnoughShares,
    WriteCollision, or UnexpectedResponse. ``label`` is the file's name in messages.
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
        """Into how many shares the gateway encodes new files, by its last upload."""

    def __repr__(self) -> str:
        return f"<Gateway {self._transport.base_url}>"

    @property
    def base_url(self) -> str:
        """The gateway's address, without a slash at the end."""
        return self._transport.base_url

    @property
    def request_seconds(self) -> float:
        """Seconds that a request without content takes at most, until the response."""
        return sum(self._transport.timeout)

    @property
    def retries(self) -> int:
        """How often a failed request may be repeated."""
        return self._transport.retries

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        self._transport.close()

    def list(
        self,
        cap: Cap,
        path: Sequence[str] = (),
        add: Callable[[Child], None] | None = None,
        *,
        label: str,
    ) -> Node:
        """Return the node at ``path`` below ``cap``; ``add`` is called with each child.

        One request, however long the path. Memory does not grow with the directory.
        Raises FileMissing where there is no such path.

        Source: the web API, "Getting Information About a File Or Directory (as JSON)".
        """
        with self._ask("GET", cap, path, "t=json", label=label) as response:
            return NodeParser(label, add).parse(
                blocks(response, label, self._transport)
            )

    def cap_at(self, cap: Cap, path: Sequence[str], *, label: str) -> Cap:
        """Return the cap of what is at ``path`` below ``cap``, without reading it.

        The write cap, if ``cap`` leads to it, else the read cap. One request. Raises
        FileMissing where there is no such path.

        Source: ``GET /uri/$DIRCAP/...?t=uri``, ``allmydata.web.directory``; the web API
        has it for PUT alone.
        """
        with self._ask("GET", cap, path, "t=uri", label=label) as response:
            return read_cap(response, label, self._transport)

    def read_link(self, directory: Cap, name: str, *, label: str) -> LinkTarget:
        """Return where the link ``name`` in a directory leads, with its metadata.

        One request. Raises FileMissing where there is no such link.

        Source: the web API, "Getting Information About a File Or Directory (as JSON)".
        """
        with self._ask("GET", directory, (name,), "t=json", label=label) as response:
            text = bodies.read_text(
                response, label, self._transport, parsing.LINK_LIMIT
            )
        return parsing.parse_link(text, self.base_url)

    def set_children(
        self,
        directory: Cap,
        children: Mapping[str, Link],
        *,
        replace: Literal["false", "only-files"] = "false",
        label: str,
    ) -> None:
        """Link all ``children`` in a directory, or none of them.

        ``directory`` is a write cap. With ``replace="false"`` no name may be there yet,
        with ``"only-files"`` files are replaced. Raises NameTaken where that forbids
        it, ReadOnly for a read cap. Not retried: after a time-out or a lost response it
        may be done all the same.

        Source: the web API, "Adding Multiple Files or Directories to a Parent Directory
        at Once".
        """
        body = encode_children(children)
        # The documented overwrite=false is ignored by the gateway; replace= is not.
        query = f"t=set_children&replace={replace}"
        with self._ask(
            "POST", directory, (), query, label=label, body=body
        ) as response:
            bodies.read_text(response, label, self._transport)

    def make_directory(
        self,
        children: Mapping[str, Link],
        layout: str = "SDMF",
        *,
        key: DirectoryKey | None = None,
        label: str,
    ) -> Cap:
        """Make a directory with ``children``, linked nowhere; return its write cap.

        ``layout`` is its format, "SDMF" or "MDMF". One request for SDMF, else two. With
        SDMF a ``key`` may be its own.

        Source: the web API, "Creating a New Directory".
        """
        query, body = "t=mkdir-with-children", encode_children(children, timed=True)
        if layout != "SDMF":
            # The gateway ignores format= for mkdir-with-children.
            query, body = f"t=mkdir&format={layout}", b""
        shown = f"/uri?{query}"
        target = Secret(shown if key is None else f"{shown}&private-key={key.private}")
        response = self._transport.send(
            "POST", target, shown=shown, label=label, body=body
        )
        with require_success(response, label, self._transport) as checked:
            cap = read_directory(checked, label, self._transport)
        if layout != "SDMF":
            self.set_children(cap, children, label=label)
        return cap

    def unlink(
        self, directory: Cap, name: str, *, leads_nowhere: bool = False, label: str
    ) -> None:
        """Unlink ``name``, be it a file or a directory. Raises FileMissing.

        ``leads_nowhere`` says that the link has no cap, which needs another request.
        Not retried: after a time-out it may be done all the same.

        Source: the web API, "Unlinking a File or Directory"; "Unlinking a Child".
        """
        path: tuple[str, ...]
        method, path, query = "DELETE", (name,), ""
        if leads_nowhere:
            # The gateway responds to DELETE with 501 there.
            method, path = "POST", ()
            query = f"t=unlink&name={quote(name, safe='')}"
        with self._ask(method, directory, path, query, label=label) as response:
            bodies.read_text(response, label, self._transport)

    def upload(self, body: UploadBody, *, patient: bool = True, label: str) -> Cap:
        """Upload content as an immutable file, linked nowhere; return its read cap.

        Equal content has an equal cap, so that a retry does no harm. Raises what
        reading the content raises, as it is; NotEnoughServers where fewer than
        ``shares.happy`` servers take shares: at once unless it is ``patient``.

        Source: the web API, "Writing/Uploading a File", ``PUT /uri``.
        """
        attempts = self.retries + 1 if body.repeatable else 1
        pause = PAUSE
        while True:
            attempts -= 1
            started = time.monotonic()
            try:
                return self._upload(body.begin(), label)
            except StoreError as error:
                crowded = isinstance(error, NotEnoughServers)
                again = isinstance(error, TRANSIENT_ERRORS) and attempts
                again = again and (patient or not crowded)
                if body.error is None and not again:
                    raise
            if body.error is not None:
                raise body.error
            # A server that is receiving the same content from another client counts as
            # unusable, for about as long as sending it takes.
            if crowded:
                taken = time.monotonic() - started
                time.sleep(min(pause + 2 * taken, LONGEST_PAUSE))
                pause *= 2

    def _upload(self, chunks: Iterator[bytes], label: str) -> Cap:
        connect, read = self._transport.timeout
        timeout = UploadTimeout(connect, read, self._transport.min_rate)
        body = timeout.counting(whole_if_small(chunks))
        response = self._transport.send(
            "PUT", "/uri", shown="/uri", label=label, body=body, timeout=timeout
        )
        with require_success(response, label, self._transport) as checked:
            cap = read_cap(checked, label, self._transport)
        metering.meter.transferred("sent", timeout.sent)
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
        """Return a response with bytes ``first`` to ``last`` of a file, both included.

        ``last`` None means to the end. The body is to be read with ``blocks``, and
        closed. The status is 200, 206, or 416 for a range beyond the end (RFC 9110,
        sections 14.2 and 15.5.17). Raises FileMissing for a cap that is not known.

        Source: the web API, "Reading a File".
        """
        headers = {}
        if cap.size is None or cap.size > _SEGMENT:
            # A failed download ends the body, but not the connection: without this the
            # end is only noticed after a minute.
            headers["Connection"] = "close"
        if first or last is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        response = self._ask(
            "GET", cap, (), "", label=label, headers=headers, accepted=(404, 416)
        )
        if response.status_code == 404:
            response.close()
            raise FileMissing(f"{label}: the gateway knows no file by its cap")
        return response

    def blocks(self, response: requests.Response, *, label: str) -> Iterator[bytes]:
        """Yield a response's body. Raises DamagedDownload where it ends too early."""
        return blocks(response, label, self._transport)

    def servers(self) -> tuple[Server, ...] | None:
        """Return the storage servers on the gateway's welcome page.

        None where a proxy hides the page. The list is a second or two old, more where
        a server hangs. Raises a StoreError where the response says neither, such as a
        redirect.

        Source: ``GET /?t=json``, ``allmydata.web.root``; the web API does not have it.
        """
        response = self._status()
        if response.status_code in _HIDDEN_STATUSES:
            response.close()
            return None
        return parsing.parse_servers(self._status_text(response))

    def connected_servers(self) -> int:
        """Return to how many storage servers the gateway is connected now.

        Raises UnexpectedResponse where the page is not a gateway's.
        """
        servers = parsing.parse_servers(self._status_text(self._status()))
        if servers is None:
            raise UnexpectedResponse(
                f"{self.base_url} does not respond as a Tahoe-LAFS gateway does; "
                "is another program listening there?"
            )
        return sum(server.connected for server in servers)

    def _status(self) -> requests.Response:
        target = "/?t=json"
        return self._transport.send("GET", target, shown=target, label=_STATUS_LABEL)

    def _status_text(self, response: requests.Response) -> str:
        with require_success(response, _STATUS_LABEL, self._transport) as checked:
            return bodies.read_text(
                checked, _STATUS_LABEL, self._transport, _STATUS_LIMIT
            )

    def check_shares(self, directory: Cap, *, label: str) -> Shares | None:
        """Return into how many shares a directory is encoded; None if that is unclear.

        Source: the web API, "Debugging and Testing Features", ``t=check``.
        """
        query = "t=check&output=JSON"
        with self._ask("POST", directory, (), query, label=label, body=b"") as response:
            text = bodies.read_text(response, label, self._transport)
        return parsing.parse_shares(text)

    def check(
        self,
        cap: Cap,
        *,
        verify: bool = False,
        repair: bool = False,
        add_lease: bool = False,
        seconds: float = 0.0,
        label: str,
    ) -> CheckResults:
        """Return what is found of an object's shares; after a repair, if that is asked.

        With ``verify`` the servers' word is not taken: every share is read. The lease
        is renewed on the servers that respond. It may take ``seconds`` longer than
        other requests. Not retried.

        Source: the web API, "Debugging and Testing Features", ``t=check``.
        """
        # Few processes check anything.
        from tahoestorage.tahoe.checkresults import (
            CHECK_LIMIT,
            check_options,
            parse_check,
        )

        query = f"t=check&output=JSON{check_options(verify, repair, add_lease)}"
        with self._ask(
            "POST", cap, (), query, label=label, body=b"", seconds=seconds
        ) as response:
            text = bodies.read_text(response, label, self._transport, CHECK_LIMIT)
        return parse_check(text, label)

    def deep_check(
        self, cap: Cap, *, add_lease: bool = False, seconds: float, label: str
    ) -> Iterator[StreamedResults]:
        """Yield what is found of a directory and of all below it, as it is found.

        It may take ``seconds`` longer than other requests, but a single object no more
        than ``STREAM_SILENCE``. Raises UnexpectedResponse where the gateway gives up on
        the way. Not retried.

        Source: the web API, "Debugging and Testing Features", ``t=stream-deep-check``.
        """
        from tahoestorage.tahoe.checkresults import check_options, parse_stream

        query = f"t=stream-deep-check{check_options(False, False, add_lease)}"
        with self._ask(
            "POST", cap, (), query, label=label, body=b"", seconds=STREAM_SILENCE
        ) as response:
            extend(response.raw, seconds)
            yield from parse_stream(blocks(response, label, self._transport), label)

    def probe_upload(self) -> None:
        """Upload a small random file, linked nowhere. Raises NotEnoughServers."""
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
        accepted: tuple[int, ...] = (),
        seconds: float = 0.0,
    ) -> requests.Response:
        timeout = None
        if seconds:
            connect, read = self._transport.timeout
            timeout = UploadTimeout(connect, read + seconds, math.inf)
        names = url_path(path, label)
        query = "?" + query if query else ""
        response = self._transport.send(
            method,
            Secret(f"/uri/{quote(cap.uri, safe='')}{names}{query}"),
            shown=f"/uri/{cap!r}{names}{query}",
            label=label,
            headers=headers,
            body=body,
            timeout=timeout,
        )
        return require_success(response, label, self._transport, accepted)
