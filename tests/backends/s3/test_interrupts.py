"""Ctrl-C while a file goes to S3 in parts, on SeaweedFS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY
from tests.support.s3_storages import MakeS3, keys, unfinished

PATIENCE = 120  # seconds; only an error takes so long

# Holds each part before its body is read, until it is told to go on, and says where the
# save is waiting. Python may lose a signal that comes just before its main thread waits
# for a lock: so it says so only once that thread sleeps.
PROGRAM = """
    import re, sys, threading, time
    from pathlib import Path
    from django.conf import settings
    settings.configure(SECRET_KEY="of-the-tests")
    from django.core.files.base import ContentFile
    from tahoestorage.backends.s3 import S3Storage

    bucket, endpoint_url, access_key, secret_key = sys.argv[1:]
    storage = S3Storage(bucket_name=bucket, endpoint_url=endpoint_url, cache=False,
        access_key=access_key, secret_key=secret_key, region_name="us-east-1",
        conditional_writes=True)
    main, held, go_on = threading.main_thread(), [], threading.Event()

    def say(text):
        sys.stdout.write(text + "\\n")
        sys.stdout.flush()

    def hold(**more):
        held.append(None)
        go_on.wait()

    def where():
        names, frame = [], sys._current_frames()[main.ident]
        while frame:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        told = Path(f"/proc/self/task/{main.native_id}/status").read_text()
        return names, re.findall("State:.*|.*ctxt_switches:.*", told)

    def sleeps_in(function):
        before = where()
        time.sleep(0.05)
        names, told = where()
        return function in names and "sleeping" in told[0] and before == (names, told)

    def watch():
        while len(held) < 3 or not sleeps_in("_submit_multipart_request"):
            pass
        say("sends")
        while not sleeps_in("_wait_until_all_complete"):
            pass
        say("interrupted")
        sys.stdin.readline()
        go_on.set()

    events = storage.client.meta.events
    events.register("before-send.s3.UploadPart", hold)
    events.register("before-send.s3.AbortMultipartUpload", lambda **more: say("aborts"))
    threading.Thread(target=watch, daemon=True).start()
    try:
        storage.save("a", ContentFile(bytes(60 << 20)))
    except KeyboardInterrupt:
        say("ended")
"""


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_a_save_whose_parts_are_being_sent(
    make_strict_s3: MakeS3, times: int
) -> None:
    storage = make_strict_s3()
    program = subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(PROGRAM)),
            *(storage.bucket_name, storage.endpoint_url, ACCESS_KEY, SECRET_KEY),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    watchdog = threading.Timer(PATIENCE, program.kill)
    watchdog.start()
    try:
        assert program.stdout.readline() == "sends\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        if times == 2:
            # Whoever presses it again does not wait for the parts.
            program.send_signal(signal.SIGINT)
            assert program.stdout.readline() == "aborts\n"
            assert program.stdout.readline() == "ended\n"
        out, _ = program.communicate("go on\n")
        assert out == ("aborts\nended\n" if times == 1 else "")
    finally:
        watchdog.cancel()
        program.kill()
        program.communicate()
    assert keys(storage) == []
    assert unfinished(storage) == []
