"""The private grid: real nodes, which come and go with the process that runs them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tahoestorage.exceptions import (
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    NotEnoughServers,
)
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing import grid as grid_module
from tahoestorage.testing import griddirectory
from tahoestorage.testing.grid import LocalGrid
from tahoestorage.testing.localnode import find_tahoe

CONTENT = b"more than the fifty-five bytes that a literal cap would hold in itself"


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its status for its parent."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(true: Callable[[], bool]) -> None:
    """Return when it is true; the test's own timeout ends a wait for ever."""
    while not true():
        time.sleep(0.02)


def put(base_url: str, content: bytes = CONTENT) -> str:
    """Keep an unlinked file, and return its cap's text."""
    # A server that was connected just now may not have told its room yet: as the
    # storage does, try again.
    body = UploadBody(lambda: [content], repeatable=True)
    with closing(Gateway(base_url)) as gateway:
        return gateway.upload(body, label="a file").uri


def get(base_url: str, cap: str) -> bytes:
    response = requests.get(f"{base_url}/uri/{cap}", timeout=30)
    response.raise_for_status()
    return response.content


def connected(base_url: str) -> int:
    with closing(Gateway(base_url, retries=0)) as gateway:
        return gateway.connected_servers()


def executable(path: Path, script: str) -> Path:
    """Write a program that is run in tahoe's place."""
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o700)
    return path


class TestOneNode:
    def test_it_keeps_files_and_leaves_nothing_behind(self) -> None:
        with LocalGrid() as grid:
            directory, pids = grid.directory, grid.pids
            cap = put(grid.base_url)
            assert get(grid.base_url, cap) == CONTENT
            assert connected(grid.base_url) == 1
            assert len(pids) == 1
            assert directory.stat().st_mode & 0o777 == 0o700
        assert not directory.exists()
        assert not any(is_running(pid) for pid in pids)
        with pytest.raises(GatewayUnreachable):
            connected(grid.base_url)

    def test_a_root_is_a_new_empty_directory(self, tahoe_grid: LocalGrid) -> None:
        one, other = tahoe_grid.create_root(), tahoe_grid.create_root()
        assert one.is_directory
        assert one.is_writable
        assert one != other

    def test_the_gateway_logs_to_a_file(self, tahoe_grid: LocalGrid) -> None:
        connected(tahoe_grid.base_url)
        assert "GET /?t=json" in tahoe_grid.log_path().read_text("utf-8")

    def test_it_cannot_be_started_twice(self, tahoe_grid: LocalGrid) -> None:
        with pytest.raises(RuntimeError, match="running already"):
            tahoe_grid.start()

    def test_before_the_start_there_is_no_address(self) -> None:
        grid = LocalGrid()
        with pytest.raises(RuntimeError, match="start"):
            _ = grid.base_url
        with pytest.raises(RuntimeError, match="start"):
            _ = grid.directory

    def test_ctrl_c_does_not_reach_the_nodes(self, tahoe_grid: LocalGrid) -> None:
        # A terminal sends it to the whole process group; tests that end need the grid.
        (pid,) = tahoe_grid.pids
        assert os.getpgid(pid) != os.getpgrp()

    def test_warnings_that_are_errors_here_are_none_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONWARNINGS", "error")
        with LocalGrid() as grid:
            assert connected(grid.base_url) == 1

    def test_starting_a_running_server_changes_nothing(
        self, tahoe_grid: LocalGrid
    ) -> None:
        before = tahoe_grid.pids
        tahoe_grid.start_server(0)
        assert tahoe_grid.pids == before
        assert connected(tahoe_grid.base_url) == 1

    def test_the_end_of_a_node_is_noticed(self) -> None:
        with LocalGrid() as grid:
            (pid,) = grid.pids
            grid.check()
            os.kill(pid, signal.SIGKILL)
            # Until it can be asked for its status, but without asking.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with pytest.raises(GatewayUnreachable, match="node ended by itself"):
                grid.check()


class TestKeptDirectory:
    """With nodes that start quickly: the start itself is what others here look at."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "my grid é"

    def test_a_second_start_finds_the_same_grid_of_the_same_size(
        self, place: Path, tahoe: Path
    ) -> None:
        place.mkdir()
        place.chmod(0o755)
        with LocalGrid(place, tahoe=tahoe) as first:
            cap, base_url = put(first.base_url), first.base_url
            root = requests.post(f"{base_url}/uri?t=mkdir", timeout=30).text
        with pytest.raises(ValueError, match="servers=1 and gateways=1"):
            LocalGrid(place, servers=2).start()
        with LocalGrid(place, tahoe=tahoe) as second:
            assert second.base_url == base_url
            assert get(base_url, cap) == CONTENT
            # Only the server that made a directory's shares lets them be changed.
            link = f"{base_url}/uri/{root}?t=uri&name=x"
            assert requests.post(link, data={"uri": cap}, timeout=30).status_code == 200
        assert place.stat().st_mode & 0o777 == 0o700

    def test_a_taken_port_is_replaced(self, place: Path, tahoe: Path) -> None:
        with LocalGrid(place, tahoe=tahoe) as first:
            cap, base_url = put(first.base_url), first.base_url
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", int(base_url.rpartition(":")[2])))
            stranger.listen()
            with LocalGrid(place, tahoe=tahoe) as second:
                assert second.base_url != base_url
                assert get(second.base_url, cap) == CONTENT

    def test_one_process_at_a_time(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(grid_module, "ENDING", 0.1)
        with LocalGrid(place) as grid:
            with pytest.raises(GatewayError, match=f"process {os.getpid()} runs"):
                LocalGrid(place).start()
            assert connected(grid.base_url) == 1

    def test_a_folder_of_other_things_is_left_alone(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
        with pytest.raises(GatewayError, match="a directory of its own"):
            LocalGrid(tmp_path).start()
        assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
        assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.fixture(scope="module")
def large_grid(tahoe: Path) -> Iterator[LocalGrid]:
    with LocalGrid(servers=4, gateways=2, tahoe=tahoe) as grid:
        yield grid


class TestManyNodes:
    def test_all_gateways_see_all_servers(self, large_grid: LocalGrid) -> None:
        assert len(large_grid.pids) == 6
        assert len(set(large_grid.base_urls)) == 2
        assert [connected(url) for url in large_grid.base_urls] == [4, 4]

    def test_what_one_gateway_keeps_the_other_gives(
        self, large_grid: LocalGrid
    ) -> None:
        cap = put(large_grid.base_urls[0])
        assert ":2:4:" in cap  # 2 of 4 shares
        assert get(large_grid.base_urls[1], cap) == CONTENT

    def test_one_server_may_be_away_and_two_are_too_many(
        self, large_grid: LocalGrid
    ) -> None:
        gateway = Gateway(large_grid.base_url)
        large_grid.stop_server(0)
        assert [connected(url) for url in large_grid.base_urls] == [3, 3]
        gateway.probe_upload()
        large_grid.stop_server(3)
        assert [connected(url) for url in large_grid.base_urls] == [2, 2]
        with pytest.raises(NotEnoughServers):
            gateway.probe_upload()
        large_grid.start_server(0)
        large_grid.start_server(3)
        assert [connected(url) for url in large_grid.base_urls] == [4, 4]
        gateway.probe_upload()
        gateway.close()

    def test_a_gateway_comes_back_at_its_address(self, large_grid: LocalGrid) -> None:
        one, other = large_grid.base_urls
        large_grid.stop_gateway(0)
        with pytest.raises(GatewayUnreachable):
            connected(one)
        assert connected(other) == 4
        large_grid.start_gateway(0)
        assert connected(one) == 4


class TestShares:
    @pytest.mark.parametrize(
        ("servers", "shares"),
        [
            (1, (1, 1, 1)),
            (2, (2, 2, 2)),
            (3, (2, 2, 3)),
            (4, (2, 3, 4)),
            (9, (2, 3, 9)),
        ],
    )
    def test_the_defaults(self, servers: int, shares: tuple[int, int, int]) -> None:
        assert LocalGrid(servers=servers).encoding == shares

    def test_those_given_are_used(self, tahoe: Path) -> None:
        with LocalGrid(needed=3, happy=1, total=5, tahoe=tahoe) as grid:
            assert ":3:5:" in put(grid.base_url)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"servers": 0},
            {"gateways": 0},
            {"needed": 0},
            {"needed": 3, "total": 2},
            {"happy": 0},
            {"happy": 3, "total": 2},
            {"total": 257},
        ],
    )
    def test_impossible_ones_are_refused(self, wrong: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=r"at least one|expected 1 <="):
            LocalGrid(**wrong)  # type: ignore[arg-type]


class TestFailingStarts:
    def test_a_missing_executable_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(GatewayError, match=r"no executable .*/bin/tahoe"):
            LocalGrid(tahoe=tmp_path / "bin" / "tahoe").start()

    def test_without_tahoe_the_extra_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(GatewayError, match=r'"django-tahoestorage\[grid\]"'):
            LocalGrid().start()

    def test_tahoe_is_found_on_the_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = executable(tmp_path / "tahoe", "exit 0")
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert find_tahoe(None) == str(program)

    def test_a_dying_node_is_quoted_without_secrets(self, tmp_path: Path) -> None:
        tahoe = executable(
            tmp_path / "tahoe",
            "echo is wrong: URI:DIR2:abc:def pb://tub@tcp:127.0.0.1:1/swiss; exit 7",
        )
        with pytest.raises(GatewayUnreachable) as caught:
            LocalGrid(tmp_path / "grid", tahoe=tahoe).start()
        assert "status 7" in str(caught.value)
        assert str(caught.value).endswith("is wrong: URI:*** pb://***")

    def test_a_missing_cgi_module_has_a_cure(self, tmp_path: Path) -> None:
        tahoe = executable(
            tmp_path / "tahoe",
            "echo \"ModuleNotFoundError: No module named 'cgi'\"; exit 1",
        )
        with pytest.raises(GatewayUnreachable, match="pip install legacy-cgi"):
            LocalGrid(tahoe=tahoe).start()

    def test_a_program_that_cannot_run_is_reported(self, tmp_path: Path) -> None:
        tahoe = tmp_path / "tahoe"
        tahoe.write_bytes(b"\0 no program at all")
        tahoe.chmod(0o700)
        with pytest.raises(GatewayError, match="Cannot run"):
            LocalGrid(tahoe=tahoe).start()

    def test_nodes_that_never_answer_are_stopped(self, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        tahoe = executable(tmp_path / "tahoe", f"echo $$ > '{pid}'; exec sleep 1000")
        grid = LocalGrid(tmp_path / "grid", tahoe=tahoe, timeout=2)
        with pytest.raises(GatewayTimeout, match="not found each other in 2 s"):
            grid.start()
        assert grid.pids == ()
        assert not is_running(int(pid.read_text("ascii")))

    def test_a_node_that_will_not_end_is_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(grid_module, "ENDING", 0.2)
        pid = tmp_path / "pid"
        script = f"trap '' TERM; echo $$ > '{pid}'; while :; do sleep 0.1; done"
        grid = LocalGrid(tahoe=executable(tmp_path / "tahoe", script), timeout=2)
        with pytest.raises(GatewayTimeout):
            grid.start()
        assert not is_running(int(pid.read_text("ascii")))

    @pytest.mark.parametrize("first", ["web", "storage"])
    def test_a_port_that_is_taken_meanwhile_is_replaced(
        self, first: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            taken = stranger.getsockname()[1]
            find = griddirectory.free_port
            responses = [taken] if first == "web" else [find(None, ()), taken]
            monkeypatch.setattr(
                griddirectory,
                "free_port",
                lambda *known, **more: (
                    responses.pop(0) if responses else find(*known, **more)
                ),
            )
            with LocalGrid() as grid:
                assert grid.base_url != f"http://127.0.0.1:{taken}"
                assert connected(grid.base_url) == 1


PARENT = """
import os, sys, time
from tahoestorage.testing.grid import LocalGrid

grid = LocalGrid(sys.argv[1])
grid.start()
child = os.fork() if "fork" in sys.argv else 0
if "fork" not in sys.argv or child:
    os.write(1, f"{grid.pids[0]} {child}\\n".encode())
time.sleep(1000)
"""
FORK_AND_STOP = """
import os
from tahoestorage.testing.grid import LocalGrid

grid = LocalGrid()
grid.start()
child = os.fork()
if not child:
    grid.stop()
    raise SystemExit(0 if grid.pids == () else 1)
assert os.waitpid(child, 0)[1] == 0
assert (grid.directory / "grid.json").exists()
grid.check()
assert grid.create_root().is_writable
grid.stop()
"""


class TestDeathOfTheParent:
    @pytest.fixture
    def parent(self) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        started = []

        def start(*arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-P", "-c", PARENT, *map(str, arguments)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()

    def read(self, process: subprocess.Popen[str]) -> tuple[int, int]:
        """Return the node's process, and the forked child's or 0."""
        assert process.stdout
        node, child = process.stdout.readline().split()
        return int(node), int(child)

    def test_no_node_outlives_a_killed_process(
        self, parent: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        process = parent(tmp_path / "grid")
        node, _ = self.read(process)
        assert is_running(node)
        process.kill()
        wait_until(lambda: not is_running(node))

    def test_after_a_kill_a_start_waits_for_the_old_nodes(
        self,
        parent: Callable[..., subprocess.Popen[str]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        process = parent(tmp_path / "grid")
        node, _ = self.read(process)
        still_there = []
        begin = griddirectory.lay_out

        def lay_out(*arguments: Any) -> Any:
            still_there.append(is_running(node))
            return begin(*arguments)

        monkeypatch.setattr(grid_module, "lay_out", lay_out)
        process.kill()
        with LocalGrid(tmp_path / "grid") as grid:
            assert connected(grid.base_url) == 1
        assert still_there == [False]

    def test_a_forked_child_keeps_no_node_and_no_lock(
        self, parent: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        process = parent(tmp_path / "grid", "fork")
        node, child = self.read(process)
        try:
            process.kill()
            wait_until(lambda: not is_running(node))
            assert is_running(child)
            with LocalGrid(tmp_path / "grid") as grid:
                assert connected(grid.base_url) == 1
        finally:
            os.kill(child, signal.SIGKILL)

    def test_a_forked_child_stops_no_node(self) -> None:
        subprocess.run([sys.executable, "-P", "-c", FORK_AND_STOP], check=True)

    def test_a_program_that_forgets_to_stop_leaves_nothing(
        self, tmp_path: Path
    ) -> None:
        script = (
            "from tahoestorage.testing.grid import LocalGrid\n"
            "grid = LocalGrid()\n"
            "grid.start()\n"
            "print(grid.directory, *grid.pids)"
        )
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        said = subprocess.check_output(
            [sys.executable, "-P", "-c", script], text=True, env=environment
        )
        directory, node = said.split()
        assert not is_running(int(node))
        assert list(tmp_path.iterdir()) == []
        assert directory.startswith(str(tmp_path))


class TestCommand:
    @pytest.fixture
    def manage(self, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        """Start a command of a site that has no root cap, and fails Django's checks."""
        (tmp_path / "site_settings.py").write_text(
            "SECRET_KEY = 'x'\n"
            "INSTALLED_APPS = ['tahoestorage']\n"
            "LANGUAGE_CODE = '?'\n",
            "utf-8",
        )
        started = []

        def start(*arguments: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "django", *map(str, arguments)],
                cwd=tmp_path,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"},
                process_group=0,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.communicate()

    def read(self, process: subprocess.Popen[str], last: str) -> str:
        """Return what the command says, until it says the last words."""
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if last in line:
                return "".join(lines)
        raise AssertionError(f"It ended early: {process.communicate()}")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_it_runs_until_it_is_interrupted(
        self,
        number: signal.Signals,
        manage: Callable[..., subprocess.Popen[str]],
        tmp_path: Path,
    ) -> None:
        place = tmp_path / "grid"
        process = manage("tahoe_grid", "--directory", place)
        said = self.read(process, "Stop the grid with Ctrl-C")
        base_url = said.partition("Gateway: ")[2].split()[0]
        assert f'TAHOE_STORAGE_BASE_URL = "{base_url}"' in said
        assert "loses the files" in said
        assert connected(base_url) == 1
        node = int((place / "node" / "running.process").read_text("ascii").split()[0])

        # As a terminal does it: to all of the group, at once.
        os.killpg(process.pid, number)
        said, complaints = process.communicate()

        assert process.returncode == 0
        assert "The grid is stopped." in said
        assert complaints == ""
        assert not is_running(node)

    def test_a_temporary_directory_is_announced_and_removed(
        self, manage: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = manage("tahoe_grid", "--servers", "2", "--gateways", "2")
        said = self.read(process, "Stop the grid with Ctrl-C")
        place = Path(said.partition("The files are in ")[2].split(".\n")[0])
        assert "temporary" in said
        assert said.count("Gateway: ") == 2
        assert place.exists()
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert not place.exists()

    def test_what_fails_is_said_without_a_traceback(
        self, manage: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        process = manage("tahoe_grid", "--tahoe", tmp_path / "none")
        _, complaints = process.communicate()
        assert process.returncode == 1
        assert complaints.startswith("CommandError: There is no executable")

    def test_a_node_that_dies_ends_the_command(
        self, manage: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        place = tmp_path / "grid"
        process = manage("tahoe_grid", "--directory", place)
        self.read(process, "Stop the grid with Ctrl-C")
        node = int((place / "node" / "running.process").read_text("ascii").split()[0])
        os.kill(node, signal.SIGKILL)
        _, complaints = process.communicate()
        assert process.returncode == 1
        assert "node ended by itself" in complaints


def test_interrupted_while_a_node_is_made_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes when the process is there, and Popen has not returned."""
    name, made = "_execute_child", []
    execute = getattr(subprocess.Popen, name)

    def interrupted(self: subprocess.Popen[bytes], *arguments: Any) -> None:
        execute(self, *arguments)
        made.append(self.pid)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, name, interrupted)

    with pytest.raises(KeyboardInterrupt):
        LocalGrid(tmp_path / "grid").start()

    assert len(made) == 1
    assert not is_running(made[0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
