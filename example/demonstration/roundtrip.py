"""A file up to the site and down again over HTTP, as a browser would do it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import requests

from demonstration import DemoFailed, say

EVENT = "/events/storage-day/"
SIGN_IN = "/accounts/sign-in/"
USER = "demo"
SIZE = 10 * 2**20  # bytes
BLOCK = 2**16
TIMEOUT = 120  # seconds without a byte from the site


class Form:
    """A multipart form with one file at its end, sent without being held in memory.

    `requests` takes the length from `len` and the content by iteration.
    """

    def __init__(self, fields: dict[str, str], name: str, file: IO[bytes]) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        start = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        texts = [f'{start}{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
        texts.append(
            f'{start}slides"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self.head = "".join(texts).encode()
        self.file = file
        self.foot = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        return len(self.head) + os.fstat(self.file.fileno()).st_size + len(self.foot)

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        self.file.seek(0)
        while block := self.file.read(BLOCK):
            yield block
        yield self.foot


class Steps:
    """Says of each step how long it took, and what it asked of the gateway."""

    def __init__(self, log: Path) -> None:
        self.log = log

    @contextlib.contextmanager
    def step(self, label: str) -> Iterator[None]:
        before, start = self.requests(), time.monotonic()
        yield
        took, made = time.monotonic() - start, self.requests()[len(before) :]
        many = f"{len(made)} gateway request{'' if len(made) == 1 else 's'}"
        say(f"{label:<34}{took:6.2f} s   {many}")
        for request in made:
            say(f"    {request}")

    def requests(self) -> list[str]:
        """Every request so far; the date and the time at its beginning are cut off."""
        return [line.split(" ", 2)[2] for line in self.log.read_text().splitlines()]


def round_trip(address: str, steps: Steps, password: str) -> None:
    """Sign in, upload a file of 10 MB, find it listed, download it, and compare.

    Raises DemoFailed, and what `requests` raises, an OSError, where the site does not
    respond.
    """
    page, form_page = address + EVENT, address + EVENT + "add-slides/"
    name = f"random-{secrets.token_hex(4)}.bin"
    with requests.Session() as visitor, tempfile.TemporaryFile() as file:
        # A proxy that the environment may name does not lead to this machine.
        visitor.trust_env = False
        sent = fill(file)
        with steps.step(f"Sign in as {USER}"):
            response = expect(200, visitor.get(address + SIGN_IN, timeout=TIMEOUT))
            fields = {"username": USER, "password": password}
            response = visitor.post(
                address + SIGN_IN,
                data={"csrfmiddlewaretoken": token_in(response), **fields},
                allow_redirects=False,
                timeout=TIMEOUT,
            )
            expect(302, response)
        with steps.step("Open the form"):
            response = expect(200, visitor.get(form_page, timeout=TIMEOUT))
            token = token_in(response)
        with steps.step(f"Upload {name}"):
            form = Form({"csrfmiddlewaretoken": token, "title": name}, name, file)
            response = visitor.post(
                form_page,
                data=form,
                headers={"Content-Type": form.content_type},
                allow_redirects=False,
                timeout=TIMEOUT,
            )
            expect(302, response)
        with steps.step("See it listed"):
            response = expect(200, visitor.get(page, timeout=TIMEOUT))
            link = find(rf'<a href="([^"]+)"[^>]*>{re.escape(name)}</a>', response)
        with steps.step("Download it"):
            got = hashlib.sha256()
            with visitor.get(address + link, stream=True, timeout=TIMEOUT) as response:
                for block in expect(200, response).iter_content(BLOCK):
                    got.update(block)
    if got.hexdigest() != sent:
        raise DemoFailed(f"what came down is not what went up: {name}")
    say(f"{SIZE:,} bytes came back as they were. SHA-256: {sent}")


def fill(file: IO[bytes]) -> str:
    """Fill the file with random bytes, and return their SHA-256."""
    content = hashlib.sha256()
    for _ in range(SIZE // BLOCK):
        block = os.urandom(BLOCK)
        content.update(block)
        file.write(block)
    file.flush()
    return content.hexdigest()


def expect(status: int, response: requests.Response) -> requests.Response:
    if response.status_code != status:
        raise DemoFailed(
            f"{response.url} responded {response.status_code} and not {status}."
        )
    return response


def token_in(response: requests.Response) -> str:
    """Return the token against forged forms that a page has."""
    return find(r'name="csrfmiddlewaretoken" value="(\w+)"', response)


def find(pattern: str, response: requests.Response) -> str:
    found = re.search(pattern, response.text)
    if found is None:
        raise DemoFailed(f"the page {response.url} has nothing like {pattern}")
    return found[1]
