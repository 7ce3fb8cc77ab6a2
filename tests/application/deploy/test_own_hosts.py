"""What runs on one's own hosts, read by the programs that will read it there."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from tests.application.deploy.nodes import given, make_node
from tests.application.deploy.units import (
    COMPOSE,
    GUIDE,
    OWN,
    SERVICES,
    UNITS,
    lines_of,
    told,
)
from tests.application.site import settings_of
from tests.support.ports import free_port
from tests.support.programs import program, running_program


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units in a folder where every program that they start exists."""
    root = tmp_path_factory.mktemp("units")
    shutil.copytree(UNITS, root / "system")
    for path in root.rglob("*"):
        if path.is_file():
            text = path.read_text().replace("/srv/", f"{root}/srv/")
            path.write_text(text)
            for started in re.findall(rf"{root}/srv/\S+/bin/\S+", text):
                there = Path(started)
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_text("#!/bin/sh\n")
                there.chmod(0o755)
    return root / "system"


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{units}:"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    paths = [*units.glob("*.service"), *units.glob("*.timer")]

    done = analyze(units, "verify", *map(str, sorted(paths)))

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_a_unit_may_do_little_by_systemd_s_own_measure(units: Path, unit: str) -> None:
    # In tenths, of 100: a unit without any restriction has 96.
    threshold = "--threshold=15"
    done = analyze(
        units, "security", "--offline=true", "--no-pager", threshold, str(units / unit)
    )
    assert done.returncode == 0, done.stdout[-2000:]
    (said,) = re.findall(r"Overall exposure level for \S+: (\S+ \S+)", done.stdout)
    # As the guide prints it.
    assert re.findall(rf"^    {re.escape(unit)} +(\S+ \S+)$", GUIDE, re.MULTILINE) == [
        said
    ]


@pytest.mark.parametrize("unit", SERVICES)
def test_what_is_always_begun_anew_is_never_given_up(unit: str) -> None:
    # By itself systemd gives up after five starts in ten seconds.
    always = lines_of(unit, "Restart") == ["always"]
    assert lines_of(unit, "StartLimitIntervalSec") == (["0"] if always else [])


@pytest.mark.parametrize("unit", SERVICES)
def test_a_unit_sees_what_of_proc_is_no_process(units: Path, unit: str) -> None:
    # A node does not start without /proc/stat, and the cache reads the boot's id.
    command = ["--offline=true", "--no-pager", "--json=short", str(units / unit)]
    found = json.loads(analyze(units, "security", *command).stdout)

    assert [one["set"] for one in found if one["json_field"] == "ProcSubset"] == [False]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a Tahoe-LAFS client, which was never started."""
    folder = tmp_path_factory.mktemp("node") / "node"
    subprocess.run(
        [program("tahoe"), "create-client", "--webport=none", folder],
        check=True,
        capture_output=True,
    )
    return folder


def test_gateways_are_made_with_what_the_folder_has_of_them(tmp_path: Path) -> None:
    # By containers there is another one.
    made = []
    for number, options in enumerate(given("create-client")):
        make_node("create-client", options, tmp_path / str(number))
        settings = configparser.ConfigParser()
        settings.read(tmp_path / str(number) / "tahoe.cfg")
        made.append(settings)

    assert len(made) == 2
    wanted = configparser.ConfigParser()
    wanted.read(OWN / "tahoe.cfg")
    for settings in made:
        for section in wanted.sections():
            assert wanted[section].items() <= settings[section].items()


@pytest.mark.parametrize(
    ("place", "left"),
    [("gateway", "empty"), ("server", "of-another"), ("container", "of-another")],
    ids=["gateway", "server", "container"],
)
def test_a_node_starts_again_after_it_was_killed(
    node: Path, place: str, left: str
) -> None:
    if place == "container":
        (text,) = re.findall(
            r"^CMD (.+)$", (OWN / "gateway.Dockerfile").read_text(), re.MULTILINE
        )
        commands = [json.loads(text)]
        folder = "/gateway"
    else:
        unit = {"gateway": "store-gateway", "server": "tahoe-storage"}[place]
        wanted = ("ExecStartPre", "ExecStart")
        names = [line for name in wanted for line in lines_of(f"{unit}.service", name)]
        commands = [shlex.split(line) for line in names]
        folder = f"/srv/tahoe/{place}"
    *before, last = [
        [
            part.replace("/srv/tahoe/.venv/bin/tahoe", "tahoe")
            .replace(folder, str(node))
            .replace("tahoe run", f"{program('tahoe')} run")
            for part in command
        ]
        for command in commands
    ]
    last[0] = program(last[0])
    # A process that lives, as the one of number 1 does in each container.
    planted = "" if left == "empty" else f"{os.getpid()} 1.0\n"
    noted = node / "running.process"
    noted.write_text(planted)

    for command in before:
        subprocess.run(command, check=True)

    def started() -> None:
        number, _ = noted.read_text().split()
        assert int(number) != os.getpid()

    with running_program(node, last, started):
        pass


@pytest.mark.parametrize(
    ("said", "ended", "status"),
    [
        ('{"status": "repaired"}', 1, 0),
        ("", 1, 1),
        ('{"status": "whole"}', 0, 0),
        ('{"status": "lost"}', 3, 3),
    ],
    ids=["repaired", "broken-off", "whole", "lost"],
)
def test_a_repair_is_a_success_and_a_program_that_breaks_off_is_none(
    tmp_path: Path, said: str, ended: int, status: int
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}'\nexit {ended}\n")
    python.chmod(0o755)
    (line,) = lines_of("store-repair.service", "ExecStart")
    line = line.replace("/srv/store/.venv/bin/python", str(python))
    line = line.replace("/var/lib/store-state", str(tmp_path))
    # systemd knows backslashes between single quotes, too.
    command = [part.replace("\\\\", "\\") for part in shlex.split(line)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (status, f"{said}\n")


def test_a_long_repair_keeps_no_lease_from_being_renewed() -> None:
    locks = set()
    for unit in ("store-leases.service", "store-repair.service"):
        (line,) = lines_of(unit, "ExecStart")
        flock, lock, *_ = shlex.split(line)
        assert flock == "/usr/bin/flock"
        locks.add(lock)

    assert len(locks) == 2


def test_a_backup_waits_for_the_purge_and_is_made_where_that_fails() -> None:
    purge = "store-manage@objects_purge.service"
    name = "store-backup.service"

    assert purge in " ".join(lines_of(name, "After")).split()
    assert purge in " ".join(lines_of(name, "Wants")).split()
    assert len(lines_of(name, "ExecStart")) == 1


def test_jobs_and_requests_may_end_when_their_service_is_stopped() -> None:
    for unit in ("store-web.service", "store-worker.service"):
        assert lines_of(unit, "KillMode") == ["mixed"]
    worker = COMPOSE["services"]["worker"]
    assert worker["stop_grace_period"] == "60s"


def test_each_timer_starts_a_unit_and_each_regular_command_has_a_timer() -> None:
    started = set()
    for path in UNITS.glob("*.timer"):
        unit = configparser.ConfigParser()
        unit.read_string(path.read_text())
        started.add(unit["Timer"]["Unit"])
    named = {re.sub(r"@\w+", "@", unit) for unit in started}

    assert named <= set(SERVICES)
    assert started == {
        "store-backup.service",
        "store-leases.service",
        "store-repair.service",
        "store-root.service",
        "store-manage@clearsessions.service",
        "store-manage@objects_sweep.service",
        "store-manage@uploads_sweep.service",
    }


def of_units() -> dict[str, str]:
    """The environment of the units, with secrets in a folder DIRECTORY."""
    given = {}
    for line in (OWN / "store.env").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            given[name] = value.strip('"').replace("/etc/store", "DIRECTORY")
    return given


def of_containers() -> dict[str, str]:
    """The environment of the container of the site, in the same way."""
    given = {}
    for name, said in COMPOSE["services"]["site"]["environment"].items():
        value = re.sub(r"\$\{HOST[^}]*\}", "example.org", str(said))
        value = value.replace("root-cap", "root.cap")
        given[name] = value.replace("/run/secrets", "DIRECTORY")
    return given


@pytest.mark.parametrize(
    "given", [of_units(), of_containers()], ids=["unit", "container"]
)
def test_the_environment_is_one_that_the_site_starts_with(
    tmp_path: Path, given: dict[str, str]
) -> None:
    given = {n: value.replace("DIRECTORY", str(tmp_path)) for n, value in given.items()}
    keys = ("secret-key", "token-signing-key", "metrics-token", "database-password")
    for name in (*keys, "root.cap"):
        (tmp_path / name).write_text("planted-value-of-a-secret" * 2)
    (tmp_path / "email-url").write_text("smtp+tls://u:planted-value@mail.example:587")
    said = (
        "STORAGES['default']['BACKEND']",
        "HTTPS",
        "PROXIES",
        "DATABASES['default']['ENGINE']",
        "CELERY_BROKER_URL.startswith('redis')",
        "PUBLIC_LINKS",
        "SHOWN",
    )

    assert settings_of(given, said) == [
        "tahoestorage.storage.TahoeStorage",
        True,
        1,
        "config.postgresql",
        True,
        # Pages show photos from the proxy, and from nowhere else.
        True,
        ["'self'", "https://public.example.org"],
    ]


def test_the_site_s_processes_count_in_a_directory_that_is_empty_at_each_start() -> (
    None
):
    unit = "store-web.service"
    (made,) = lines_of(unit, "RuntimeDirectory")
    # Unless told otherwise, systemd removes it at each stop.
    assert lines_of(unit, "RuntimeDirectoryPreserve") == []
    assert lines_of(unit, "Environment") == [f"PROMETHEUS_MULTIPROC_DIR=%t/{made}"]
    # Where commands by hand find it.
    (told_so,) = (one for one in told() if "storage_cache stats" in one)
    assert f"PROMETHEUS_MULTIPROC_DIR=/run/{made} " in told_so
    # Others could not write there, and must not empty it.
    named = (OWN / "store.env").read_text() + "".join(
        path.read_text()
        for path in UNITS.rglob("*")
        if path.name != unit
        if path.is_file()
    )
    assert "MULTIPROC" not in named
    site = COMPOSE["services"]["site"]
    place = site["environment"]["PROMETHEUS_MULTIPROC_DIR"]
    assert place in [mounted.partition(":")[0] for mounted in site["tmpfs"]]


def test_redis_takes_its_configuration_and_keeps_locks_when_it_is_full(
    tmp_path: Path,
) -> None:
    port = free_port()
    text = (OWN / "redis.conf").read_text().replace("port 6379", f"port {port}")
    (tmp_path / "redis.conf").write_text(text.replace("bind 127.0.0.1 -::1", ""))
    client = redis.Redis(port=port)

    with running_program(tmp_path, ["redis-server", "redis.conf"], client.ping), client:
        found = {
            name: client.config_get(name)[name]
            for name in ("maxmemory-policy", "save", "appendonly")
        }

    # What has no lifetime, as counters, locks and messages, is never dropped.
    assert found == {"maxmemory-policy": "volatile-lru", "save": "", "appendonly": "no"}


def test_the_gateway_listens_to_its_host_and_its_numbers_fit() -> None:
    settings = configparser.ConfigParser()
    settings.read_string((OWN / "tahoe.cfg").read_text())
    client = settings["client"]

    assert "interface=127.0.0.1" in settings["node"]["web.port"]
    assert int(client["shares.needed"]) <= int(client["shares.happy"])
    assert int(client["shares.happy"]) <= int(client["shares.total"])
