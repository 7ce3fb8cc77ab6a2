"""OpenStack Swift with its s3api, installed by pip and run on loopback.

Four servers, with rings of one device each, no memcached and one account.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.ports import free_port, free_ports
from tests.support.programs import running_program
from tests.support.s3_servers import S3Server

SWIFT = "2.38.0"
# tempauth knows users of one account by ACCOUNT:USER.
USER, PASSWORD = "testing:tester", "testsecret12"
PARTS = ("object", "container", "account")
RINGS = """
import json, sys
from swift.common.ring import RingBuilder
directory, ports = sys.argv[1], json.loads(sys.argv[2])
for name, port in ports.items():
    builder = RingBuilder(4, 1, 0)
    builder.add_dev(dict(
        id=0, region=1, zone=1, ip="127.0.0.1", port=port, device="sda1", weight=1.0,
        replication_ip="127.0.0.1", replication_port=port, meta="",
    ))
    builder.rebalance(seed=1)
    builder.get_ring().save(f"{directory}/{name}.ring.gz")
"""
COMMON = """\
[DEFAULT]
swift_dir = {directory}
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
"""
STORING = """\
devices = {directory}/devices
mount_check = false
disable_fallocate = true
log_address = {directory}/nolog
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
recon_cache_path = {directory}/run
"""
PROXY = """\
[pipeline:main]
pipeline = catch_errors listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:tempauth]
use = egg:swift#tempauth
user_testing_tester = {password} .admin
"""
FILTERS = ("catch_errors", "listing_formats", "s3api", "copy", "slo", "dlo")
HASH = """\
[swift-hash]
swift_hash_path_prefix = a
swift_hash_path_suffix = b
[storage-policy:0]
name = default
default = yes
"""


def _lay_out(directory: Path, programs: Path, ports: dict[str, int]) -> int:
    """Write all configurations, and return the port where the s3api will listen."""
    (directory / "devices/sda1").mkdir(parents=True)
    (directory / "run").mkdir()
    (directory / "swift.conf").write_text(HASH)
    proxy = free_port()
    values = {"directory": directory, "user": getpass.getuser(), "password": PASSWORD}
    for name, port in ports.items():
        text = (COMMON + STORING).format(**values, name=name, port=port)
        (directory / f"{name}.conf").write_text(text)
    filters = "".join(f"[filter:{each}]\nuse = egg:swift#{each}\n" for each in FILTERS)
    text = (COMMON + PROXY).format(**values, port=proxy) + filters
    (directory / "proxy.conf").write_text(text)
    as_json = str(ports).replace("'", '"')
    command = [str(programs / "python"), "-c", RINGS, str(directory), as_json]
    subprocess.run(command, check=True)
    return proxy


@contextlib.contextmanager
def running_swift(directory: Path) -> Iterator[S3Server]:
    """Install a Swift in the directory, and run it within the block."""
    environment = directory / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    programs = environment / "bin"
    install = [str(programs / "pip"), "install", "--quiet", f"swift=={SWIFT}"]
    subprocess.run([*install, "--disable-pip-version-check"], check=True)
    ports = dict(zip(PARTS, free_ports(len(PARTS)), strict=True))
    proxy = _lay_out(directory, programs, ports)
    server = S3Server(f"http://127.0.0.1:{proxy}", USER, PASSWORD)
    os.environ["SWIFT_DIR"] = str(directory)

    def nothing() -> None:
        """Wait for no response: the last one needs the others."""

    try:
        with contextlib.ExitStack() as stack:
            for name in (*PARTS, "proxy"):
                command = [str(programs / f"swift-{name}-server"), f"{name}.conf"]
                ready: Callable[[], object] = nothing
                if name == "proxy":
                    ready = server.make_bucket
                stack.enter_context(running_program(directory, command, ready))
            yield server
    finally:
        del os.environ["SWIFT_DIR"]
