"""moto's server, with one conditional write at a time.

moto looks whether a key is taken, and writes some time later: of two at once on a busy
machine it lets both through. Stores that are used do not, and tests of other things
must not fail for it. Run as a program, with the arguments of ``moto_server``.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from moto.s3.responses import S3Response
from moto.server import main

_lock = threading.RLock()


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def locked(*arguments: Any) -> Any:
        with _lock:
            return method(*arguments)

    return locked


# The bodies were read before these are called.
for _name in ("put_object", "_key_response_post"):
    setattr(S3Response, _name, _one_at_a_time(getattr(S3Response, _name)))

if __name__ == "__main__":
    main(sys.argv[1:])
