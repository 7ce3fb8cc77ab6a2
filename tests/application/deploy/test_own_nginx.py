"""The nginx before one's own site, run: what it serves, and what it writes down."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.application.deploy.units import COMPOSE, GUIDE, OWN, told
from tests.support.nginx_server import (
    LISTEN,
    await_port,
    configuration,
    errors,
    require_nginx,
    run_nginx,
    whole,
)
from tests.support.ports import free_port
from tests.support.rawserver import RawServer

BOTH = pytest.mark.parametrize("name", ["nginx.conf", "nginx-compose.conf"])


def unprivileged(text: str) -> str:
    """Return a whole configuration that listens where anybody may.

    nginx opens its ports to test a configuration, and does not mind if they are taken.
    """
    return whole(re.sub(r"(listen (?:\[::\]:)?)(80|443)\b", r"\g<1>18\2", text))


def whole_site(name: str) -> str:
    """Return a configuration with what it includes in its place."""
    site = (OWN / "site.conf").read_text()
    return (OWN / name).read_text().replace("include /etc/nginx/site.conf;", site)


@BOTH
def test_nginx_takes_its_configuration(tmp_path: Path, name: str) -> None:
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*openssl, "-subj", "/CN=x", "-keyout", "privkey.pem", "-out", "fullchain.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    text = whole_site(name)
    text = re.sub(r"/etc/\S*/(fullchain|privkey)\.pem", rf"{tmp_path}/\1.pem", text)

    assert errors(tmp_path, unprivileged(text)) == ""


def by_plain_http(name: str, redirecting: int) -> str:
    """Return a configuration whose servers listen on free ports; nobody is behind."""
    text = whole_site(name).replace("resolver 127.0.0.11 valid=10s;", "")
    text = re.sub(r"http://(site|127\.0\.0\.1):\d+;", "http://127.0.0.1:1;", text)
    text = re.sub(r"^    listen \[::\].*\n|^    ssl_.*\n", "", text, flags=re.M)
    text = text.replace("listen 80 default_server", f"listen 127.0.0.1:{redirecting}")
    return text.replace("listen 443 ssl http2", f"listen {LISTEN}")


@BOTH
def test_visitors_have_no_store_asked(tmp_path: Path, name: str) -> None:
    with run_nginx(tmp_path, by_plain_http(name, free_port())) as address:
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


@BOTH
def test_a_body_of_a_stranger_goes_to_the_site_whole(tmp_path: Path, name: str) -> None:
    open_to_all = ("/accounts/sign-in/", "/admin/login/", "/api/v1/tokens/")
    begun = dict[str, int]()

    with RawServer(lambda: [b"HTTP/1.1 204 No Content\r\n\r\n"]) as site:
        text = by_plain_http(name, free_port())
        text = text.replace("http://127.0.0.1:1;", f"{site.url};")
        with run_nginx(tmp_path, text) as address:
            host = urlsplit(address).netloc
            place = (host.partition(":")[0], int(host.partition(":")[2]))
            for path in (*open_to_all, "/files/upload/"):
                before = site.accepted
                with socket.create_connection(place) as sender:
                    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n"
                    sender.sendall(f"{head}Content-Length: 2\r\n\r\nx".encode())
                    # nginx has seen the other by then.
                    assert requests.get(f"{address}/a", timeout=60).status_code == 204
                    begun[path] = site.accepted - before - 1
            large = b"x" * ((1 << 20) + 1)
            refused = requests.post(address + open_to_all[0], large, timeout=60)

    assert begun == {**dict.fromkeys(open_to_all, 0), "/files/upload/": 1}
    assert refused.status_code == 413


@BOTH
def test_no_server_writes_down_what_visitors_ask_for(tmp_path: Path, name: str) -> None:
    redirecting, secret = free_port(), "planted-value-of-a-secret"
    text = by_plain_http(name, redirecting)
    (hosts,) = {len(re.findall(r"^server \{", text, re.MULTILINE))}

    with run_nginx(tmp_path, text) as address:
        found = [
            requests.get(
                f"{start}/s/{secret}",
                headers={"Host": host},
                timeout=60,
                allow_redirects=False,
            ).status_code
            for start, host in (
                (f"http://127.0.0.1:{redirecting}", "files.example.org"),
                (address, "files.example.org"),
                (address, "public.example.org"),
            )
        ]

    assert hosts == len(found)
    assert found == [301, 502, 502]
    written = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert secret not in written


PRELUDE = """
mount --rbind / /
mount -t tmpfs none /mnt
cp {configuration} {image} /mnt
mount -o remount,bind,ro /mnt
{writable}
mount -o remount,bind,ro /
exec nginx -p /mnt -c /mnt/image.conf -e stderr
"""
# Debian has no such folder, so that what is above it is hidden by an empty one.
MOUNTED = """
if [ ! -d {place} ]; then
    above=$(dirname {place})
    mount -t tmpfs none $above
    mkdir {place}
    mount -o remount,bind,ro $above
fi
mount -t tmpfs none {place}
"""
# As the image's own /etc/nginx/nginx.conf, for one who may be anybody.
IMAGE = """
daemon off;
{user}
pid /run/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log /dev/stdout;
    {temporary}
    include /mnt/public.conf;
}}
"""


def test_the_container_of_the_proxy_starts_with_the_places_that_it_may_write_to(
    tmp_path: Path,
) -> None:
    service, port = COMPOSE["services"]["public"], free_port()
    (command,) = (one for one in told() if "docker" in one and "tahoe_nginx" in one)
    arguments = shlex.split(command.partition("tahoe_nginx ")[2].partition(" >")[0])
    text = configuration(
        *arguments,
        TAHOE_STORAGE_BASE_URL="http://127.0.0.1:3456",
        TAHOE_PUBLIC_BASE_URL="https://public.example.org",
    ).replace("0.0.0.0:8081", f"127.0.0.1:{port}")
    volumes = [one.split(":") for one in service["volumes"]]
    places = [*service["tmpfs"], *(one[1] for one in volumes if one[2:] != ["ro"])]
    (tmp_path / "public.conf").write_text(text)
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    whole = IMAGE.format(
        user="user root;" if os.geteuid() == 0 else "",
        temporary="".join(f"{n}_temp_path /var/cache/nginx/{n};" for n in names),
    )
    (tmp_path / "image.conf").write_text(whole)
    script = PRELUDE.format(
        configuration=tmp_path / "public.conf",
        image=tmp_path / "image.conf",
        writable="\n".join(MOUNTED.format(place=place) for place in places),
    )
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    program = Path(require_nginx()).parent
    # As a pipe, to which nginx and its logs append.
    with (tmp_path / "output").open("ab") as output:
        process = subprocess.Popen(
            ["unshare", *mapped, "--mount", "sh", "-ec", script],
            env={"PATH": f"{program}:{os.environ['PATH']}"},
            stdout=output,
            stderr=output,
        )
    try:
        await_port(process, port)
        asked = requests.get(f"http://127.0.0.1:{port}/named/none/a", timeout=60)
    finally:
        process.terminate()
        process.wait()

    assert service["read_only"]
    assert asked.status_code == 404
    # Who asked is in the container's log.
    said = (tmp_path / "output").read_text()
    assert re.search(r'^127.0.0.1 .* GET "" 404 ', said, re.MULTILINE)


def test_nginx_takes_the_site_where_debian_s_own_is_away(tmp_path: Path) -> None:
    # Debian's own says of itself that it is the default, too.
    debian = "server { listen 80 default_server; listen [::]:80 default_server; }"
    text = (OWN / "nginx.conf").read_text().replace(" ssl http2", "")
    text = re.sub(r"ssl_certificate\S* .*", "", text)

    assert "duplicate default server" in errors(tmp_path, unprivileged(debian + text))
    assert errors(tmp_path, unprivileged(text)) == ""
    assert "# rm /etc/nginx/sites-enabled/default\n" in GUIDE
