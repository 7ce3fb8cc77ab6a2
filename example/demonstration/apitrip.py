"""An object up to the site and down again by its API, as a program would do it."""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from collections.abc import Callable

import requests

from demonstration import DemoFailed, say
from demonstration.roundtrip import BLOCK, SIZE, TIMEOUT, Steps, expect, fill

USER = "visitor"
RANGE = (5_000_000, 5_999_999)  # the first byte and the last


def api_trip(address: str, steps: Steps, manage: Callable[..., str]) -> None:
    """Put an object of 10 MB, find it listed, download a part and the whole of it.

    Raises DemoFailed, and what `requests` raises, an OSError, where the site does not
    respond.
    """
    api = f"{address}/api/v1"
    name = f"random-{secrets.token_hex(4)}.bin"
    with requests.Session() as client, tempfile.TemporaryFile() as file:
        client.trust_env = False
        with steps.step(f"Make tokens for {USER}"):
            tokens = json.loads(manage("createusertoken", USER))
        client.headers["Authorization"] = f"Bearer {tokens['access']}"
        sent = fill(file)
        with steps.step(f"Put {name} by the API"):
            file.seek(0)
            response = client.put(
                f"{api}/content/demo/{name}", data=file, timeout=TIMEOUT
            )
            made = expect(201, response).json()
        if made["sha256"] != sent:
            raise DemoFailed(f"the API says another SHA-256 than that of {name}")
        with steps.step("List the folder by the API"):
            response = client.get(
                f"{api}/objects/", params={"folder": "demo"}, timeout=TIMEOUT
            )
            listed = expect(200, response).json()["results"]
        if made["id"] not in {one["id"] for one in listed}:
            raise DemoFailed(f"the API does not list {name}")
        content = f"{api}/objects/{made['id']}/content/"
        with steps.step("Download a range of it"):
            first, last = RANGE
            response = client.get(
                content, headers={"Range": f"bytes={first}-{last}"}, timeout=TIMEOUT
            )
            part = expect(206, response).content
        file.seek(first)
        if part != file.read(last - first + 1):
            raise DemoFailed(f"the range that came down is not that of {name}")
        with steps.step("Download the whole of it"):
            whole = hashlib.sha256()
            with client.get(content, stream=True, timeout=TIMEOUT) as response:
                for block in expect(200, response).iter_content(BLOCK):
                    whole.update(block)
    if whole.hexdigest() != sent:
        raise DemoFailed(f"what came down is not what went up: {name}")
    say(f"{SIZE:,} bytes came back from the API as they were. SHA-256: {sent}")
