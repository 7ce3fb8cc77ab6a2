"""The read-only proxy for visitors, where nginx is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from demonstration.server import listen, running

FIRST_PORT = "8100"


@contextlib.contextmanager
def proxy(
    directory: Path,
    environment: dict[str, str],
    manage: Callable[..., str],
) -> Iterator[dict[str, str]]:
    """Run it, and yield the environment in which the site's public URLs lead there.

    Without nginx that is the environment as it was: there are no public URLs then.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        yield environment
        return
    listener = listen(FIRST_PORT)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    environment = environment | {"TAHOE_PUBLIC_BASE_URL": f"http://{address}"}
    own = directory / "nginx"
    own.mkdir(mode=0o700, exist_ok=True)
    text = manage(environment, "tahoe_nginx", "--standalone", "--listen", address)
    (own / "nginx.conf").write_text(text)
    listener.close()
    command = [nginx, "-p", str(own), "-c", "nginx.conf", "-e", "stderr"]
    with running(command, directory / "nginx.log", environment):
        yield environment
