"""Wrong arguments have an exit status that means nothing else."""

from __future__ import annotations

import pytest

from tahoestorage.management.commands import tahoe_check, tahoe_status
from tests.support.commands import run


@pytest.mark.parametrize(
    ("command", "arguments", "status"),
    [("tahoe_check", ["--jobs", "0"], 64), ("tahoe_status", ["--none"], 3)],
)
def test_a_monitor_does_not_take_a_typing_error_for_damage(
    command: str,
    arguments: list[str],
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    modules = {"tahoe_check": tahoe_check, "tahoe_status": tahoe_status}
    with pytest.raises(SystemExit) as ended:
        modules[command].Command().run_from_argv(["manage.py", command, *arguments])
    assert ended.value.code == status
    assert "error: " in capsys.readouterr().err
    assert run(command, *arguments).status == status
