"""What runs on one's own hosts, read by the programs that will read it there."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
import yaml
from docker.utils.build import exclude_paths

from tests.application.site import EXAMPLE, ROOT, settings_of
from tests.support.nginx_server import LISTEN, errors, run_nginx, whole
from tests.support.ports import free_port
from tests.support.programs import program, running_program

OWN = EXAMPLE / "deploy" / "own"
UNITS = OWN / "systemd"
COMPOSE = yaml.safe_load((OWN / "compose.yaml").read_text())
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))


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


@pytest.mark.parametrize("unit", SERVICES)
def test_a_unit_sees_what_of_proc_is_no_process(units: Path, unit: str) -> None:
    # A node does not start without /proc/stat, and the cache reads the boot's id.
    command = ["--offline=true", "--no-pager", "--json=short", str(units / unit)]
    found = json.loads(analyze(units, "security", *command).stdout)

    assert [one["set"] for one in found if one["json_field"] == "ProcSubset"] == [False]


def lines_of(unit: str, name: str) -> list[str]:
    """Return the values of a name in a unit, as a program is given them."""
    text = (UNITS / unit).read_text().replace("\\\n", " ")
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return [one.replace("$$", "$").replace("%%", "%") for one in found]


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


def test_checks_of_the_grid_wait_for_each_other() -> None:
    locks = set()
    for unit in ("store-leases.service", "store-repair.service"):
        (line,) = lines_of(unit, "ExecStart")
        flock, lock, *_ = shlex.split(line)
        assert flock == "/usr/bin/flock"
        locks.add(lock)

    assert len(locks) == 1


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


def test_the_environment_is_one_that_the_site_starts_with(tmp_path: Path) -> None:
    given = {}
    for line in (OWN / "store.env").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            given[name] = value.strip('"').replace("/etc/store", str(tmp_path))
    for name in ("secret-key", "token-signing-key", "database-password", "root.cap"):
        (tmp_path / name).write_text("planted-value-of-a-secret" * 2)
    (tmp_path / "email-url").write_text("smtp+tls://u:planted-value@mail.example:587")
    said = (
        "STORAGES['default']['BACKEND']",
        "HTTPS",
        "PROXIES",
        "DATABASES['default']['ENGINE']",
        "CELERY_BROKER_URL.startswith('redis')",
    )

    assert settings_of(given, said) == [
        "tahoestorage.storage.TahoeStorage",
        True,
        1,
        "config.postgresql",
        True,
    ]


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


def unprivileged(text: str) -> str:
    """Return a whole configuration that listens where anybody may.

    nginx opens its ports to test a configuration, and does not mind if they are taken.
    """
    return whole(re.sub(r"(listen (?:\[::\]:)?)(80|443)\b", r"\g<1>18\2", text))


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-compose.conf"])
def test_nginx_takes_its_configuration(tmp_path: Path, name: str) -> None:
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*openssl, "-subj", "/CN=x", "-keyout", "privkey.pem", "-out", "fullchain.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    text = (OWN / name).read_text()
    text = re.sub(r"/etc/\S*/(fullchain|privkey)\.pem", rf"{tmp_path}/\1.pem", text)

    assert errors(tmp_path, unprivileged(text)) == ""


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-compose.conf"])
def test_visitors_have_no_store_asked(tmp_path: Path, name: str) -> None:
    # By plain HTTP, on one free port: nobody answers behind it.
    text = (OWN / name).read_text().replace("resolver 127.0.0.11 valid=10s;", "")
    text = re.sub(r"http://(site|127\.0\.0\.1):\d+;", "http://127.0.0.1:1;", text)
    text = re.sub(r"^server \{\n    listen 80.*?^\}\n", "", text, flags=re.M | re.S)
    text = re.sub(r"^    listen \[::\].*\n|^    ssl_.*\n", "", text, flags=re.M)
    text = text.replace("listen 443 ssl http2", f"listen {LISTEN}")

    with run_nginx(tmp_path, text) as address:
        found = {
            path: requests.get(address + path, timeout=60).status_code
            for path in ("/health", "/health/store", "/health/", "/healthz", "/a")
        }

    assert found == {
        "/health": 404,
        "/health/store": 404,
        "/health/": 404,
        "/healthz": 502,
        "/a": 502,
    }


def test_nginx_takes_the_site_where_debian_s_own_is_away(tmp_path: Path) -> None:
    # Debian's own says of itself that it is the default, too.
    debian = "server { listen 80 default_server; listen [::]:80 default_server; }"
    text = (OWN / "nginx.conf").read_text().replace(" ssl http2", "")
    text = re.sub(r"ssl_certificate\S* .*", "", text)
    guide = (ROOT / "docs" / "deploy" / "own-hosts.md").read_text()

    assert "duplicate default server" in errors(tmp_path, unprivileged(debian + text))
    assert errors(tmp_path, unprivileged(text)) == ""
    assert "# rm /etc/nginx/sites-enabled/default\n" in guide


def test_the_compose_file_is_one_by_its_published_schema() -> None:
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [sys.executable, *command, OWN / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = service["environment"]
    return found


def test_the_gateway_is_reached_from_the_site_s_network_alone() -> None:
    services = COMPOSE["services"]
    open_to_others = {name for name, found in services.items() if found.get("ports")}

    for name in ("site", "gateway", "worker", "manage", "public"):
        assert services[name]["network_mode"] == "service:pod"
        # A pod that is made anew takes them with it.
        assert services[name]["depends_on"]["pod"]["restart"]
    assert "build" not in services["pod"]
    assert "//127.0.0.1:3456/" in environment_of(services["site"])["STORAGE_URL"]
    assert open_to_others == {"nginx"}


def test_containers_write_to_volumes_alone_and_have_what_they_name() -> None:
    services = COMPOSE["services"]
    for name in ("site", "worker", "beat", "manage", "gateway"):
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name
    wanted = {
        value.removeprefix("/run/secrets/")
        for name, value in environment_of(services["site"]).items()
        if name.endswith("_FILE")
    }
    assert wanted | {"root-cap", "passphrase"} == set(COMPOSE["secrets"])
    for found in (services["site"], services["gateway"], services["manage"]):
        place = (OWN / found["build"]["context"]).resolve()
        assert (place / found["build"]["dockerfile"]).is_file()
        assert place == ROOT
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert "requirements/gateway.txt" in exclude_paths(str(ROOT), rules)


def test_a_backup_has_the_database_s_own_pg_dump_and_a_place_to_write() -> None:
    services = COMPOSE["services"]
    text = (OWN / "manage.Dockerfile").read_text()
    (client,) = re.findall(r"postgresql-client-(\d+)", text)
    (made,) = re.findall(
        r"install -d -o 10001 .*? ((?:/srv/\S+ ?)+)$", text, re.MULTILINE
    )
    mounted = {volume.partition(":")[2] for volume in services["manage"]["volumes"]}

    assert services["database"]["image"].startswith(f"postgres:{client}-")
    assert set(made.split()) == mounted == {"/srv/backup", "/srv/state"}
    # Where a check of the grid notes how far it is, which outlives its container.
    assert environment_of(services["manage"])["XDG_STATE_HOME"] == "/srv/state"


def test_a_container_s_health_is_asked_where_it_has_the_site() -> None:
    services = COMPOSE["services"]
    assert "healthcheck" not in services["site"]
    for name in ("worker", "beat", "manage"):
        assert services[name]["healthcheck"] == {"disable": True}, name


def test_what_runs_regularly_does_so_by_units_and_by_containers() -> None:
    lines = (OWN / "compose.cron").read_text()
    by_cron = set(re.findall(r"\$MANAGE (\w+)", lines))
    by_units: set[str] = set()
    for timer in UNITS.glob("*.timer"):
        (unit,) = re.findall(r"^Unit=(.+)$", timer.read_text(), re.MULTILINE)
        name, _, instance = unit.removesuffix(".service").partition("@")
        by_units |= {instance} if instance else commands_of(f"{name}.service")
    (before,) = lines_of("store-backup.service", "Wants")
    by_units |= set(re.findall(r"store-manage@(\w+)\.service", before))

    assert by_cron == by_units
    checks = re.findall(r"flock (\S+) \$MANAGE tahoe_check", lines)
    assert len(checks) == lines.count("tahoe_check")
    assert len(set(checks)) == 1


def commands_of(unit: str) -> set[str]:
    return set(re.findall(r"manage\.py (\w+)", " ".join(lines_of(unit, "ExecStart"))))


def test_the_gateway_listens_to_its_host_and_its_numbers_fit() -> None:
    settings = configparser.ConfigParser()
    settings.read_string((OWN / "tahoe.cfg").read_text())
    client = settings["client"]

    assert "interface=127.0.0.1" in settings["node"]["web.port"]
    assert int(client["shares.needed"]) <= int(client["shares.happy"])
    assert int(client["shares.happy"]) <= int(client["shares.total"])
