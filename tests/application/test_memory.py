"""What is freed goes back to the system, in the process that serves the site."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.application.site import EXAMPLE, bare_environment

# After a block of 16 MiB was freed glibc takes ones of 8 MiB from what it keeps, unless
# it is told otherwise; "hblkhd" counts the bytes that it will give back (mallinfo(3)).
_PROBE = """
import ctypes, sys
if sys.argv[1] == "site":
    import config.wsgi
Info = type("Info", (ctypes.Structure,), {"_fields_": [
    (name, ctypes.c_size_t) for name in
    "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    .split()]})
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
large = bytearray(16 << 20)
del large
before = mallinfo2().hblkhd
part = bytearray(8 << 20)
print((mallinfo2().hblkhd - before) >> 20)
"""


def said(program: str, where: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with one argument beside the site, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", program, where],
        cwd=EXAMPLE,
        env=bare_environment(directory),
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_part_of_an_upload_is_not_kept_once_it_is_sent(tmp_path: Path) -> None:
    def mapped(where: str) -> int:
        """MiB of a part that will be given back."""
        return int(said(_PROBE, where, tmp_path).stdout)

    assert mapped("elsewhere") == 0
    assert mapped("site") == 8


# Each thread frees what it had, of blocks that are not large, and waits for the others.
_THREADS = """
import sys, threading
if sys.argv[1] == "site":
    import config.wsgi
import ctypes
barrier = threading.Barrier(4)
def use():
    barrier.wait()
    block = bytearray(1 << 18)
    barrier.wait()
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


def test_threads_share_what_they_have_freed(tmp_path: Path) -> None:
    def arenas(where: str) -> int:
        """Count what glibc tells of them."""
        return said(_THREADS, where, tmp_path).stderr.count("Arena")

    assert arenas("elsewhere") > 1
    assert arenas("site") == 1
