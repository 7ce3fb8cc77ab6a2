"""A folder exported by the API, as a program would do it, by the worker; fetched."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Callable

import requests

from demonstration import DemoFailed, say
from demonstration.apitrip import USER
from demonstration.roundtrip import BLOCK, TIMEOUT, Steps, expect

FOLDER = "demo"
PATIENCE = 120.0  # seconds for the worker to make it
PAUSE = 0.1


def export_trip(address: str, steps: Steps, manage: Callable[..., str]) -> None:
    """Export the folder, download the archive, and compare what is in it.

    Raises DemoFailed, and what `requests` raises, an OSError, where the site does not
    respond.
    """
    api = f"{address}/api/v1"
    with requests.Session() as client, tempfile.TemporaryFile() as file:
        client.trust_env = False
        tokens = json.loads(manage("createusertoken", USER))
        client.headers["Authorization"] = f"Bearer {tokens['access']}"
        with steps.step(f"Export the folder {FOLDER}"):
            response = client.post(
                f"{api}/exports/", json={"folder": FOLDER}, timeout=TIMEOUT
            )
            export = f"{api}/exports/{expect(201, response).json()['id']}/"
            made = await_end(client, export)
        if made["state"] != "ready":
            raise DemoFailed(f"the export is {made['state']}: {made['error']}")
        with steps.step("Download the archive"):
            url = f"{export}content/"
            with client.get(url, stream=True, timeout=TIMEOUT) as response:
                for block in expect(200, response).iter_content(BLOCK):
                    file.write(block)
        listed = client.get(
            f"{api}/objects/", params={"folder": FOLDER}, timeout=TIMEOUT
        )
        known = {one["name"]: one["sha256"] for one in listed.json()["results"]}
        with zipfile.ZipFile(file) as zipped:
            said = json.loads(zipped.read("manifest.json"))
            found = {one["name"]: digest(zipped, one["path"]) for one in said["files"]}
    if found != known:
        raise DemoFailed("what is in the archive is not what is in the folder")
    say(f"The archive has what is in the folder, {len(found)} in all, as it was.")


def await_end(client: requests.Session, export: str) -> dict[str, str]:
    """Return the export once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found: dict[str, str] = expect(200, client.get(export, timeout=TIMEOUT)).json()
        if found["state"] != "pending":
            return found
        time.sleep(PAUSE)
    raise DemoFailed("the worker does not make the export")


def digest(zipped: zipfile.ZipFile, path: str) -> str:
    with zipped.open(path) as member:
        # A member of an archive can be read; the stubs want more.
        return hashlib.file_digest(member, "sha256").hexdigest()  # type: ignore[arg-type]
