"""Secrets from variables, from files, and from a Secret Manager that is played."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import secrets
from tests.application.deploy.definitions import PLANTED as VALUE
from tests.application.deploy.manager import RESOURCE, Manager
from tests.application.site import EXAMPLE
from tests.support.gcs_servers import GCS


@pytest.fixture
def manager(
    gcs: GCS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(gcs.accounts.key_file()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(secrets, "_clients", [])
    played = Manager(VALUE)
    monkeypatch.setenv("SECRET_MANAGER_ENDPOINT", played.url)
    monkeypatch.setenv("PASSWORD_SECRET", RESOURCE)
    try:
        yield played
    finally:
        played.stop()


def test_a_secret_is_a_variable_or_a_file_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert secrets.secret("PASSWORD") == ""
    monkeypatch.setenv("PASSWORD", VALUE)
    assert secrets.secret("PASSWORD") == VALUE
    monkeypatch.delenv("PASSWORD")
    file = tmp_path / "mounted"
    file.write_text("first\n")
    monkeypatch.setenv("PASSWORD_FILE", str(file))
    assert secrets.secret("PASSWORD") == "first"
    file.write_text("second\n")
    assert secrets.secret("PASSWORD") == "second"


def test_what_can_t_be_read_is_named_and_its_value_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match="none can't be read") as none:
        secrets.secret("PASSWORD")
    monkeypatch.setenv("PASSWORD", VALUE)
    with pytest.raises(ImproperlyConfigured, match="unset all but one") as both:
        secrets.secret("PASSWORD")
    monkeypatch.delenv("PASSWORD")
    monkeypatch.delenv("PASSWORD_FILE")
    monkeypatch.setenv("PASSWORD_SECRET", "my-password")
    with pytest.raises(ImproperlyConfigured, match="projects/PROJECT/secrets/SECRET"):
        secrets.secret("PASSWORD")

    assert VALUE not in f"{none.value!r}{both.value!r}"


def test_secret_manager_is_asked_once_and_again_when_the_time_is_over(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [secrets.secret("PASSWORD") for _ in range(3)] == [VALUE] * 3
    assert manager.asked == [f"/v1/{RESOURCE}/versions/latest:access"]

    manager.value = "renewed"
    monkeypatch.setattr(secrets, "RENEWED_AFTER", 0)
    monkeypatch.setattr(secrets, "_known", {})
    assert secrets.secret("PASSWORD") == "renewed"
    manager.value = None
    assert secrets.secret("PASSWORD") == "renewed"
    assert len(manager.asked) == 3


def test_a_secret_that_never_could_be_read_says_what_to_look_at(
    manager: Manager,
) -> None:
    manager.value = None
    with pytest.raises(ImproperlyConfigured, match="secretAccessor"):
        secrets.secret("PASSWORD")


def test_whoever_names_no_secret_imports_nothing_of_google_s() -> None:
    code = (
        "import sys; import config.settings;"
        "print([name for name in sys.modules if name.startswith(('google', 'grpc'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXAMPLE,
        env={"DEBUG": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
