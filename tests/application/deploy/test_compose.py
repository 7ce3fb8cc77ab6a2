"""The containers of one's own host, compared with their schema and with the guide."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from docker.utils.build import exclude_paths

from tests.application.deploy.units import (
    COMPOSE,
    OWN,
    UNITS,
    commands_of,
    lines_of,
    told,
)
from tests.application.site import ROOT


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

    for name in ("site", "stand-in", "gateway", "worker", "manage", "public"):
        assert services[name]["network_mode"] == "service:pod"
        # A pod that is made anew takes them with it.
        assert services[name]["depends_on"]["pod"]["restart"]
    assert "build" not in services["pod"]
    assert "//127.0.0.1:3456/" in environment_of(services["site"])["STORAGE_URL"]
    assert open_to_others == {"nginx"}


def test_containers_write_to_volumes_alone_and_have_what_they_name() -> None:
    services = COMPOSE["services"]
    for name in ("site", "stand-in", "worker", "beat", "manage", "gateway"):
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


def test_the_site_s_stand_in_differs_by_its_port_alone() -> None:
    site, other = (dict(COMPOSE["services"][name]) for name in ("site", "stand-in"))
    mounted = COMPOSE["services"]["nginx"]["volumes"]

    assert other.pop("profiles") == ["stand-in"]
    port = other["environment"]["PORT"]
    assert other == site | {"environment": site["environment"] | {"PORT": port}}
    # nginx asks the site, unless it is told otherwise.
    assert (OWN / "site.conf").read_text() == "set $site http://site:8080;\n"
    assert "./site.conf:/etc/nginx/site.conf:ro" in mounted
    assert sum(f"ask {port}" in one for one in told()) == 1


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
    # What a unit does besides, as to delete old files, is done here, too.
    started = "\n".join(
        line
        for unit in UNITS.glob("*.service")
        if (UNITS / f"{unit.stem}.timer").exists()
        for line in lines_of(unit.name, "ExecStart")
        if "manage.py" not in line
    )
    finds = [
        [shlex.split(one) for one in re.findall(rf"{find} (/srv/.*)", text)]
        for find, text in (
            (r"/usr/bin/find", started),
            ("--entrypoint find manage", lines),
        )
    ]
    assert len(started.splitlines()) == len(finds[0]) == 1
    assert finds[0] == finds[1]
    checks = re.findall(r"flock (\S+) \$MANAGE tahoe_check", lines)
    assert len(checks) == lines.count("tahoe_check")
    assert len(set(checks)) == len(checks)


def test_where_a_backup_is_under_way_no_purge_begins(tmp_path: Path) -> None:
    (line,) = re.findall(
        r"^5 1 \* \* \* +root +(.+)$", (OWN / "compose.cron").read_text(), re.MULTILINE
    )
    line = line.replace("/run/lock/store-backup", str(tmp_path / "lock"))
    # The backup goes on until somebody reads from the pipe.
    manage, done, pipe = (tmp_path / name for name in ("manage", "done", "pipe"))
    os.mkfifo(pipe)
    manage.write_text(
        f'#!/bin/sh\necho "$1" >>{done}\n'
        f'[ "$1" != backup ] || timeout 60 sh -c "echo >{pipe}"\n'
    )
    manage.chmod(0o755)
    given = {"PATH": os.environ["PATH"], "MANAGE": str(manage)}

    with subprocess.Popen(["sh", "-c", line], env=given) as first:
        until = time.monotonic() + 60
        while not (done.exists() and "backup" in done.read_text()):
            assert time.monotonic() < until
            time.sleep(0.01)
        second = subprocess.check_output(["sh", "-c", line], env=given, text=True)
        meanwhile = done.read_text().split()
        pipe.read_text()
    third = subprocess.Popen(["sh", "-c", line], env=given, stdout=subprocess.PIPE)
    with third:
        pipe.read_text()
        said = third.communicate(timeout=60)[0]

    assert first.returncode == 0
    assert second.startswith("No backup was made")
    assert meanwhile == ["objects_purge", "backup"]
    assert said == b""
    assert done.read_text().split() == meanwhile * 2
