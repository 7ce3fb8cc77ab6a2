"""How gunicorn serves the example; started in this directory, it reads this itself."""

import os
import sys
from typing import Any

from gunicorn.http.unreader import SocketUnreader

# Bodies are read by pieces of 32 KiB, so that a slow sender is seen to send. Of each
# piece gunicorn copies all else that it has received: by itself, of up to 1 MiB.
SocketUnreader.max_body_chunk = 1 << 16

# A save holds its request until the grid has the file. With threads, and not one
# request a process, that keeps nobody else waiting, and is no reason to kill a worker.
worker_class = "gthread"
threads = 8
graceful_timeout = 5  # seconds
# Longer than a front leaves a connection to the site unused (nginx: a minute), so that
# it is the front that closes it, never the site while a request is on its way: that
# would be a 502. What is idle holds no thread.
keepalive = 75  # seconds
control_socket_disable = True
# As nginx takes, and gunicorn at most: a page's link to the next names a folder, three
# bytes for each of its UTF-8, and an object.
limit_request_line = 8190  # bytes


def post_fork(arbiter: Any, worker: Any) -> None:
    """Keep a worker to the release that its paths lead to when it starts.

    A release may take another's place by a link. Until a reload, what a worker has not
    read yet, as a template, must be of its own: its names of static files are.
    """
    os.chdir(os.path.realpath(worker.cfg.chdir))
    sys.path[:] = map(os.path.realpath, sys.path)
