"""The content of files on the grid, read lazily and by ranges."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from tahoestorage.cache import Contents
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import DamagedDownload, GatewayTimeout, NotEnoughShares
from tahoestorage.parts import TO_THE_END, Fetch, Part
from tahoestorage.rangereader import Origin, Policy, RangeReader, damaged
from tahoestorage.redaction import Secret
from tahoestorage.tahoe.bodies import BLOCK, Response, length_of, part_of
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.gateways import Gateways
from tahoestorage.tahoe.keptfiles import namespace_of

POLICY = Policy(
    sender="the gateway",
    block=BLOCK,
    skip=1 << 16,
    read_ahead=1 << 18,
    longest_range=1 << 24,
    streams=True,
    exact=True,
    holds=True,
)

_WORDS = b"problem during download\n"
"""What a gateway sends in place of a segment that is lost, once it sends the body."""
_SEGMENTS = (1 << 17, 1 << 20)
"""Bytes of an immutable file's segment, by older gateways and by newer ones, before
they are rounded up to a multiple of the shares that are needed."""


class FileReader(RangeReader):
    """A file on the grid, read as it is asked for.

    From the start to the end it is one request, whatever its size; after a seek,
    ranges of growing length. Four blocks of 64 KiB are held at most: the one that is
    read and the one before it, the first, and the last where the end was read; of a
    mutable file just the one that is read. A literal file needs no request.
    """

    def __init__(
        self,
        gateway: Gateway | Gateways,
        cap: Cap,
        label: str,
        size: int | None = None,
        again: Callable[[], Cap | None] | None = None,
        contents: Contents | None = None,
    ) -> None:
        """Read ``cap``; ``size`` is its length in bytes where the cap says none.

        Where nothing can be read by it, ``again`` is asked once for the cap that the
        file has by now. ``contents`` are the small files that are kept.
        """

        def renewed() -> Origin | None:
            other = None if again is None else again()
            if other in (None, cap):
                return None
            return _origin(gateway, other, label, contents)

        origin = _origin(gateway, cap, label, contents, size)
        super().__init__(origin, label, POLICY, renewed)


def _origin(
    gateway: Gateway | Gateways,
    cap: Cap,
    label: str,
    contents: Contents | None,
    size: int | None = None,
) -> Origin:
    if cap.size is not None or cap.is_mutable:
        # Of a mutable file it was so once.
        size = cap.size
    literal = cap.literal
    fetch = _fetched(gateway, cap, label) if literal is None else _in_memory(literal)
    if contents is not None and literal is None and cap.size is not None:
        fetch = contents.keeping(fetch, namespace_of(cap))
    return Origin(fetch, size, Secret(cap.uri), mutable=cap.is_mutable)


def _in_memory(content: bytes) -> Fetch:
    def fetch(first: int, last: int, reference: str | None) -> Part:
        entry = Entry(EntryKind.FILE, reference or "", len(content))
        return Part(entry, io.BytesIO(content[first:]), end=TO_THE_END)

    return fetch


def _fetched(gateway: Gateway | Gateways, cap: Cap, label: str) -> Fetch:
    """Return what asks the gateway for a range of a file.

    ``GET /uri/$FILECAP`` with a Range (RFC 9110, section 14), to which 416 says that
    nothing is there.
    """

    def fetch(first: int, last: int, reference: str | None) -> Part:
        end = None if last >= TO_THE_END else last
        response = gateway.fetch(cap, first, end, label=label)
        try:
            size, stop = _extent(response, first, label)
        except BaseException:
            response.close()
            raise
        download = _Download(gateway, cap, response, (first, end), label)
        blocks = download.blocks(size)
        entry = Entry(EntryKind.FILE, cap.uri, size)
        until = size if stop == TO_THE_END else stop
        if until is not None:

            def is_there(begin: int, said: bytes) -> bool:
                """Whether the file really ends so."""
                try:
                    with gateway.fetch(cap, begin, until - 1, label=label) as again:
                        return b"".join(gateway.blocks(again, label=label)) == said
                except NotEnoughShares:
                    return False

            blocks = _without_words(blocks, cap, (first, until), is_there, label)
        return Part(entry, _FileBody(download, blocks), end=stop)

    return fetch


def _without_words(
    blocks: Iterator[bytes],
    cap: Cap,
    extent: tuple[int, int],
    is_there: Callable[[int, bytes], bool],
    label: str,
) -> Iterator[bytes]:
    """Yield a body that has a file's bytes from the first to before the second.

    Where the last segment is lost and shorter than the gateway's words, the body is as
    long as it should be, and ends with their beginning. Of what may be that,
    ``is_there`` asks once more. Raises DamagedDownload where it is not in the file.
    """
    (first, until), end = extent, b""
    at = first
    for block in blocks:
        at += len(block)
        end = (end + block[-len(_WORDS) :])[-len(_WORDS) :]
        if at == until:
            # Not from the first on: a response that has nothing else is an error.
            for begin in range(max(first + 1, until - len(end)), until):
                said = end[begin - until :]
                if not (_WORDS.startswith(said) and _may_begin_segment(cap, begin)):
                    continue
                if not is_there(begin, said):
                    raise damaged(label, f"it ended at byte {begin}")
        yield block


def _may_begin_segment(cap: Cap, place: int) -> bool:
    if cap.shares is None:
        return True
    needed = cap.shares.needed
    return any(place % (-(-size // needed) * needed) == 0 for size in _SEGMENTS)


def _extent(response: Response, first: int, label: str) -> tuple[int | None, int]:
    """Return the size of the file, if it is told, and where the response must end.

    Raises DamagedDownload where it is not the part that begins at ``first``.
    """
    if response.status_code == 416:
        return None, first
    if response.status_code == 206:
        part = part_of(response)
        if part is None or part[0] != first:
            raise damaged(label, "the gateway sent another part than it was asked")
        return part[2], part[1] + 1
    if first:
        raise damaged(label, "the gateway sent all of it for a part")
    return length_of(response), TO_THE_END


class _Download:
    """A response with a part of a file, and those that go on where it breaks off.

    Each is another gateway's, and the file is immutable: else what follows is an error.
    """

    def __init__(
        self,
        gateway: Gateway | Gateways,
        cap: Cap,
        response: Response,
        extent: tuple[int, int | None],
        label: str,
    ) -> None:
        self._gateway = gateway
        self._cap = cap
        self._response = response
        self._extent = extent
        self._label = label
        self._others = 0
        if isinstance(gateway, Gateways) and not cap.is_mutable:
            self._others = len(gateway.all) - 1

    def blocks(self, size: int | None) -> Iterator[bytes]:
        """Yield the part of a file of so many bytes, in blocks as long as they come."""
        # What a 416 says beside is no content.
        if self._response.status_code == 416:
            return
        at, last = self._extent
        while True:
            try:
                for block in self._gateway.blocks(self._response, label=self._label):
                    at += len(block)
                    yield block
            except (DamagedDownload, GatewayTimeout):
                if not self._others:
                    raise
                self._others -= 1
            else:
                return
            self._response.close()
            self._response = self._gateway.fetch(self._cap, at, last, label=self._label)
            if _extent(self._response, at, self._label)[0] != size:
                raise damaged(self._label, "another gateway says another size")

    def close(self) -> None:
        """Give the connection up, or back where the response was read to its end."""
        self._response.close()


class _FileBody:
    """The body of a response, of blocks that are as long as they come."""

    def __init__(self, download: _Download, blocks: Iterator[bytes]) -> None:
        self._download = download
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        block = self._rest or next(self._blocks, b"")
        self._rest = block[size:]
        return block[:size]

    def close(self) -> None:
        """Close the response."""
        self._download.close()
