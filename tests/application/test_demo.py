"""What `make demo` runs: a grid, a site, and nothing left when it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.application.site import EVENT, Site, thumbnails_of
from tests.support.nginx_server import require_nginx

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "example/demo.py"]
SIGN_IN = "/accounts/sign-in/"
PATIENCE = 120  # seconds; only an error takes so long
# The gateway's own list of servers, and the one that the root keeps.
SERVERS = r"GET (/\?t=json|/uri/<[^>]*>/\.tahoestorage\S*) "


OUTSIDE = {
    "DEBUG": "1",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "CACHE_URL_FILE": "/nowhere/cache",
    "CELERY_BROKER_URL_SECRET": "projects/p/secrets/s",
    "EMAIL_URL": "smtp://127.0.0.1:1",
    "EXPORT_STORAGE": "elsewhere",
    "STORAGE_URL": "s3://bucket",
    "GUNICORN_CMD_ARGS": "--bind=127.0.0.1:1",
}
"""What a shell may have of a real site: the demo must keep away from it."""


def environment(directory: Path, **more: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k != "DEMO_EXIT"}
    own = {"DEMO_DIRECTORY": str(directory), "DEMO_PORT": "0"}
    return inherited | OUTSIDE | own | more


def run_demo(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment(directory, DEMO_EXIT="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def processes(directory: Path) -> list[str]:
    """The command lines of all processes that have to do with a demo's directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            known = command + (process / "environ").read_bytes()
        except OSError:  # It has ended, or is another user's.
            continue
        if os.fsencode(directory) in known:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Demo:
    """A running one, which waits for Ctrl-C."""

    def __init__(self, directory: Path, until: str = "Ctrl-C", **more: str) -> None:
        """Start it; entering waits `until` it has said that."""
        self.directory, self.until = directory, until
        self.output = directory.with_suffix(".output")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                COMMAND,
                cwd=ROOT,
                env=environment(directory, **more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Demo:
        try:
            wait_until(lambda: self.until in self.said() or self.process.poll())
            assert self.process.poll() is None, self.said()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)

    def said(self) -> str:
        return self.output.read_text()

    def address(self) -> str:
        found = re.search(
            r"The example is ready: +(http://127\.0\.0\.1:\d+)/", self.said()
        )
        assert found
        return found[1]

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


class Kept:
    """The demo of one directory: who needs it running need not start it anew."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._demo: Demo | None = None

    def running(self) -> Demo:
        """Return it as it runs, started unless it does."""
        if self._demo is None or self._demo.process.poll() is not None:
            self._demo = Demo(self._directory).__enter__()
        return self._demo

    def started(self, **more: str) -> Demo:
        """Return one that was started just now."""
        self.end()
        self._demo = Demo(self._directory, **more).__enter__()
        return self._demo

    def end(self) -> None:
        if self._demo is not None:
            self._demo.__exit__()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory of a demo that went through once by itself, and what it said."""
    directory = tmp_path_factory.mktemp("demo") / "kept"
    done = run_demo(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert processes(directory) == []
    return directory, done.stdout


@pytest.fixture(scope="module")
def kept(first: tuple[Path, str]) -> Iterator[Kept]:
    """The demo of that directory."""
    kept = Kept(first[0])
    yield kept
    kept.end()


def test_by_itself_it_takes_a_file_up_and_down(first: tuple[Path, str]) -> None:
    _, said = first

    for step in (
        *("Sign in as", "Open the form", "Upload random-", "See it listed"),
        "Download it",
        *("Make tokens for", "Put random-", "List the folder", "Download a range"),
        "Download the whole",
    ):
        assert re.search(rf"^{step}.* \d+ gateway requests?$", said, re.MULTILINE)
    assert "10,485,760 bytes came back as they were." in said
    assert "10,485,760 bytes came back from the API as they were." in said
    assert "The archive has what is in the folder" in said
    # A listing that has just been patched is not asked for again. An object's path is
    # new: a directory is made for its levels, and linked once; what was stored is read
    # back. Objects have one of 256 directories: now and then it is there already.
    stored = ["PUT /uri", "POST mkdir-with-children", "POST set_children", "GET file"]
    read = ["GET directory", "GET file"]
    steps = {label: asked for label, asked in requests_by_step(said).items() if asked}
    for label in ("Upload random", "Put random"):
        if "POST mkdir-with-children" not in steps[label]:
            steps[label].insert(1, "POST mkdir-with-children")
    assert steps == {
        "Upload random": stored,
        "Download it": read,
        "Put random": stored,
        "Download a": read,
        "Download the whole": ["GET file"],
        "Download the archive": read,
    }


def requests_by_step(said: str) -> dict[str, list[str]]:
    """Return by the beginning of each step's line what it asked of the gateway.

    Which servers there are is left out: it is asked for each second while something is
    saved, and by each process before its first save.
    """
    steps: dict[str, list[str]] = {}
    for line in said.splitlines():
        if begun := re.match(r"(Download the \w+|\w+ \w+).* \d+ gateway request", line):
            asked = steps.setdefault(begun[1], [])
        elif line.startswith("    ") and not re.match(SERVERS, line.strip()):
            asked.append(in_short(line.strip()))
    return steps


def in_short(request: str) -> str:
    """Return the verb of a request, and what it asks for, without its cap."""
    verb, target, _ = re.sub(r"<Cap (\w+)[^>]*>", r"\1", request).split(" ", 2)
    if label := re.search(r"\bt=([\w-]+)", target):
        return f"{verb} {'directory' if label[1] == 'json' else label[1]}"
    return f"{verb} file" if target == "/uri/CHK" else f"{verb} {target}"


def test_a_taken_port_is_noticed_and_another_chosen(kept: Kept) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = kept.started(DEMO_PORT=str(port))
        response = requests.get(demo.address(), timeout=PATIENCE)

    assert response.status_code == 200
    assert f"Port {port} cannot be had" in demo.said()
    assert not demo.address().endswith(f":{port}")


def test_its_photos_come_through_the_read_only_proxy(kept: Kept) -> None:
    require_nginx()
    demo = kept.running()
    public = re.search(r"Its photos: +come from (http://\S+)/", demo.said())
    assert public
    photos = small_photos(demo.address(), f"{public[1]}/")
    assert len(photos) == 3
    for photo in photos:
        assert photo.startswith(f"{public[1]}/named/URI%3ACHK%3A")
        response = requests.get(photo, timeout=PATIENCE)
        # The proxy goes by the name in the store, which tells no type; browsers know
        # a picture by its content.
        assert response.content[8:12] == b"WEBP"
    response = requests.post(f"{public[1]}/uri", timeout=PATIENCE)
    assert response.status_code == 405


def small_photos(address: str, place: str) -> list[str]:
    """Return where the event's page has its photos from, once they come from there.

    Until a worker has made the small pictures, the site itself is asked for them.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page = requests.get(f"{address}{EVENT}", timeout=PATIENCE).text
        photos = thumbnails_of(page)
        if all(photo.startswith(place) for photo in photos):
            break
        for photo in photos:
            if photo.startswith("/"):
                requests.get(address + photo, timeout=PATIENCE).raise_for_status()
        time.sleep(0.5)
    return photos


def test_its_secrets_are_for_their_owner_alone(first: tuple[Path, str]) -> None:
    directory, said = first

    for name in ("root.cap", "secret.key", "admin.password"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    cap = (directory / "root.cap").read_text().strip()
    for text in (said, *(log.read_text() for log in directory.glob("*.log"))):
        assert cap not in text
        assert "URI:" not in text


def test_a_second_start_still_has_the_files(kept: Kept) -> None:
    demo = kept.running()
    page = requests.get(demo.address() + "/events/storage-day/", timeout=PATIENCE)
    link = re.search(r'<a href="([^"]+)"[^>]*>random-\w+\.bin</a>', page.text)
    assert link
    file = requests.get(demo.address() + link[1], timeout=PATIENCE)

    assert len(file.content) == 10 * 2**20
    assert "Making" not in demo.said()


def test_it_tells_the_users_of_each_tenant_and_their_password(kept: Kept) -> None:
    demo = kept.running()
    password = re.search(r"The password of each is (\S+)", demo.said())
    assert password
    users = re.findall(r"^  (\S+) +(\S+)  +\w", demo.said(), re.MULTILINE)

    assert len(users) == 7
    assert {tenant for _, tenant in users} == {"Operator", "Demonstration", "Neighbour"}
    for name, tenant in users:
        site = Site(demo.address(), demo.output)
        with site.visitor:
            site.post(SIGN_IN, {"username": name, "password": password[1]})
            page = site.get("/files/").text
        assert f"<strong>{name}</strong>" in page
        assert f">{tenant}<" in page


def test_two_at_once_in_one_directory_are_one_too_many(kept: Kept) -> None:
    second = run_demo(kept.running().directory)

    assert second.returncode == 1
    assert "another one is running" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_leaves_nothing_running(kept: Kept, number: int) -> None:
    demo = kept.running()
    assert len(processes(demo.directory)) >= 3

    status = demo.stop(number)

    assert status == 0
    assert processes(demo.directory) == []
    assert demo.said().endswith("Stopping…\nStopped.\n")


def test_stopped_while_it_starts_it_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "early"
    with Demo(directory, until="Starting") as demo:
        wait_until(lambda: (directory / "grid" / "grid.json").exists())

        # An impatient visitor: the second Ctrl-C must not cut short the stopping.
        demo.process.send_signal(signal.SIGINT)
        wait_until(lambda: "Stopping" in demo.said())
        status = demo.stop(signal.SIGINT)

    assert status == 0
    assert processes(directory) == []
    assert "Traceback" not in demo.said()


def test_killed_outright_it_leaves_nothing_running(kept: Kept) -> None:
    demo = kept.running()

    demo.stop(signal.SIGKILL)

    wait_until(lambda: not processes(demo.directory))


def test_what_fails_is_said_and_ends_it(tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "root.cap").write_text("This is no cap.")

    done = run_demo(directory)

    assert done.returncode == 1
    assert "The demo failed: " in done.stderr
    assert "root.cap" in done.stderr
    assert processes(directory) == []
