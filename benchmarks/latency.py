"""A proxy that adds latency between a client and a server on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit


@contextlib.contextmanager
def farther(url: str, seconds: float) -> Iterator[str]:
    """Yield another URL of a server, from which each way takes so long."""
    parts = urlsplit(url)
    command = [sys.executable, "-P", __file__, parts.netloc, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101
            port = process.stdout.readline().strip()
            yield f"{parts.scheme}://127.0.0.1:{port}"
        finally:
            process.kill()


async def _carry(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    while data := await source.read(1 << 16):
        # In order: what comes later is written later.
        loop.call_later(seconds, target.write, data)
    await asyncio.sleep(seconds)
    target.close()


async def _serve(place: str, seconds: float) -> None:
    host, _, port = place.rpartition(":")

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        carry = partial(_carry, seconds=seconds)
        with contextlib.suppress(OSError):
            await asyncio.gather(carry(reader, back), carry(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
