"""What a load balancer asks."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from django.test import Client

from tests.application.site import Environment, bare_environment, manage

# By plain HTTP, and by a name that is none of the site's.
ASK = (
    "from django.test import Client;"
    "answer = Client().get('/healthz', headers={'Host': '10.0.0.7:8000'});"
    "print(answer.status_code, answer.content.decode())"
)


def asked(environment: Environment) -> str:
    production = {"HTTPS": "1", "PROXIES": "1"}
    command = ("shell", "--verbosity=0", "--command", ASK)
    return manage(environment | production, *command).strip()


def test_a_site_with_its_database_is_healthy(tmp_path: Path) -> None:
    assert asked(bare_environment(tmp_path)) == '200 {"database": "ok"}'


def test_a_site_without_its_database_is_not_and_says_no_more(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"postgres://site:secret@127.0.0.1:{taken.getsockname()[1]}/site"

    said = asked(bare_environment(tmp_path) | {"DATABASE_URL": url})

    assert said == '503 {"database": "away"}'


@pytest.mark.django_db
def test_no_cache_keeps_the_answer_and_nothing_else_is_taken() -> None:
    client = Client()

    assert client.get("/healthz").headers["Cache-Control"] == "no-store"
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 404
    assert client.get("/healthz/").status_code == 404
