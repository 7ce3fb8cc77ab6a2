"""The guide to the store's side: what it tells to run is run, one after another."""

from __future__ import annotations

from pathlib import Path

from tests.application.site import bare_environment, make_tables, manage
from tests.application.test_accounts_guide import run
from tests.support.documents import block

PUT = """
import io
from accounts.models import Tenant, User
from objects import storing
from objects.incoming import IncomingFile
tenant = Tenant.objects.create(name="D", slug="demo")
user = User.objects.create_user("ann", tenant=tenant)
for number in range(3):
    storing.store(IncomingFile(io.BytesIO(b"content"), 7), tenant=tenant, user=user,
                  folder="", name=str(number))
"""


def test_the_guide_sweeps_moves_backs_up_and_restores(tmp_path: Path) -> None:
    cold = (tmp_path / "cold").as_uri()
    environment = bare_environment(tmp_path) | {"STORAGE_URL_COLD": cold}
    make_tables(environment)
    manage(environment, "shell", "--verbosity=0", "--command", PUT)
    elsewhere = {"/srv/backup": str(tmp_path / "backup")}

    said = run(
        environment,
        block("docs/application/store.md", "sh", 1),
        block("docs/application/store.md", "sh", 2),
        block("docs/application/store.md", "sh", 3, replacing=elsewhere),
    )

    assert "default: 3 names" in said
    assert "moved: 3" in said
    other = tmp_path / "other"
    other.mkdir()
    said = run(
        bare_environment(other) | {"STORAGE_URL_COLD": (other / "cold").as_uri()},
        block("docs/application/store.md", "sh", 4, replacing=elsewhere),
    )
    assert "All is restored." in said
    assert "cold: 3 names" in said
