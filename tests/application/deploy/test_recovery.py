"""A lost web host, a lost database and a lost storage server, each brought back."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tahoestorage.testing.grid import LocalGrid
from tests.application.deploy.nodes import (
    given,
    make_here,
    make_node,
    running_gateway,
)
from tests.application.deploy.units import GUIDE, UNITS
from tests.application.postgres import TABLES, Postgres
from tests.application.site import EXAMPLE, Environment, bare_environment, manage

SERVERS = 5
FILL = """
import io
from accounts.models import Tenant, User
from objects import storing
from objects.incoming import IncomingFile
tenant = Tenant.objects.create(name="Acme", slug="acme")
user = User.objects.create_user("ann", tenant=tenant)
for size, name in ((10, "small"), (100_000, "large")):
    storing.store(IncomingFile(io.BytesIO(b"x" * size), size), tenant=tenant,
                  user=user, folder="a", name=name)
"""
LOOK = """
import json
import os
import re
from objects.models import Version
from objects.reading import hashed
print(json.dumps(sorted(
    [v.object.path, hashed(v.storage, v.key) == (v.size, v.sha256)]
    for v in Version.objects.all())))
"""
LATER = """
import io
from accounts.models import Tenant
from objects import storing
from objects.incoming import IncomingFile
tenant = Tenant.objects.get()
storing.store(IncomingFile(io.BytesIO(b"y" * 200), 200), tenant=tenant,
              user=tenant.users.get(), folder="a", name="later")
"""
BACKED_UP = [["a/large", True], ["a/small", True]]
WHOLE = [["a/large", True], ["a/later", True], ["a/small", True]]


@dataclass
class Site:
    """A site on a grid of five servers, as the guide makes it, and its backup."""

    grid: LocalGrid
    cap: Path
    environment: Environment
    backup: Path


def shell(environment: Environment, *scripts: str) -> Any:
    said = manage(
        environment, "shell", "--verbosity=0", "--no-imports", "-c", "".join(scripts)
    )
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def site(
    postgres: Postgres, tahoe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("own")
    with LocalGrid(
        directory / "grid",
        servers=SERVERS,
        gateways=1,
        introducer=True,
        needed=2,
        happy=4,
        total=5,
        tahoe=tahoe,
    ) as grid:
        cap = directory / "root.cap"
        cap.write_text(grid.create_root().uri)
        environment = bare_environment(directory) | {
            "DATABASE_URL": postgres.make_database(TABLES),
            "TAHOE_STORAGE_BASE_URL": grid.base_urls[0],
            "TAHOE_STORAGE_BASE_CAP_FILE": str(cap),
            "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
        }
        assert shell(environment, FILL, LOOK) == BACKED_UP
        backup = directory / "backup"
        manage(environment, "backup", str(backup))
        # Somebody uploads before the host is lost.
        assert shell(environment, LATER, LOOK) == WHOLE
        yield Site(grid, cap, environment, backup)


def bring_back(site: Site, environment: Environment) -> None:
    """Give the commands of the guide."""
    (lost,) = re.findall(r"## Lost, and brought back\n(.*?)^## ", GUIDE, re.M | re.S)
    commands = [line.split() for line in re.findall(r"# manage (.+)", lost)]
    assert [name for name, *_ in commands] == ["restore", "migrate", "objects_sweep"]
    for command in commands:
        given = [part.replace("/srv/backup/site", str(site.backup)) for part in command]
        manage(environment, *given)


def test_a_new_web_host_needs_the_root_cap_and_the_backup(
    site: Site, postgres: Postgres, tmp_path: Path
) -> None:
    """The database was on it; the gateway is made anew, and no cache is there."""
    gateway = tmp_path / "gateway"
    port = make_here("create-client", gateway)
    # Of the old one's folder this is backed up, and brought back.
    shutil.rmtree(gateway / "private")
    shutil.copytree(site.grid.directory / "gateway-0" / "private", gateway / "private")
    content = os.urandom(1000)

    with running_gateway(gateway, port, SERVERS) as url:
        other = site.environment | {
            "DATABASE_URL": postgres.make_database("template0"),
            "TAHOE_STORAGE_BASE_URL": url,
            "TAHOE_STORAGE_CACHE_DIRECTORY": str(tmp_path / "cache"),
            "SECRET_KEY": "another-key-than-before-" * 3,
        }
        bring_back(site, other)
        found = shell(other, LOOK)
        first, second = (
            requests.put(f"{each}/uri", data=content, timeout=60).text
            for each in (site.grid.base_url, url)
        )
        are_equal = first == second  # No test prints a cap.

    assert found == WHOLE
    # `convergence` is the old one's: equal files are equal on the grid.
    assert are_equal


def test_a_lost_database_comes_back_from_the_backup(
    site: Site, postgres: Postgres
) -> None:
    other = site.environment | {"DATABASE_URL": postgres.make_database("template0")}

    bring_back(site, other)

    assert shell(other, LOOK) == WHOLE


def check(site: Site, directory: Path, *options: str) -> tuple[int, str]:
    """Run the command of a unit, and return its exit status and what it said."""
    done = subprocess.run(
        [sys.executable, "manage.py", "tahoe_check", *options],
        cwd=EXAMPLE,
        env=site.environment | {"XDG_STATE_HOME": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def options_of(unit: str) -> list[str]:
    text = (UNITS / unit).read_text()
    (options,) = re.findall(r"manage.py tahoe_check((?: --[\w-]+)*)", text)
    return str(options).split()


def servers_of(site: Site) -> set[str]:
    """Return the ids of the storage servers that the gateway knows."""
    page = requests.get(f"{site.grid.base_url}/?t=json", timeout=60).json()
    return {each["nodeid"] for each in page["servers"]}


def test_a_lost_storage_server_is_set_up_again_and_filled_by_a_repair(
    site: Site, tmp_path: Path
) -> None:
    server, lost = site.grid.directory / "server-1", tmp_path / "lost"
    known = servers_of(site)
    site.grid.stop_server(1)
    server.rename(lost)
    while_away = shell(site.environment, LOOK)
    make_node("create-node", given("create-node")[0], server)
    # The old private/ and tahoe.cfg are backed up, and all else is lost.
    shutil.rmtree(server / "private")
    shutil.copytree(lost / "private", server / "private")
    shutil.copy(lost / "tahoe.cfg", server)
    site.grid.start_server(1)

    hurt, _ = check(site, tmp_path, *options_of("store-leases.service"))
    repaired, told = check(site, tmp_path, *options_of("store-repair.service"))
    after, said = check(site, tmp_path, *options_of("store-leases.service"))

    assert while_away == WHOLE
    assert (hurt, repaired, after) == (2, 1, 0), told + said
    assert any((server / "storage" / "shares").rglob("*"))
    # It is the same server as before to the gateway.
    assert len(known) == SERVERS
    assert servers_of(site) == known
