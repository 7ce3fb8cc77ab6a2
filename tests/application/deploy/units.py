"""What runs on one's own hosts, as it stands in its files."""

from __future__ import annotations

import re

import yaml

from tests.application.site import EXAMPLE, ROOT

OWN = EXAMPLE / "deploy" / "own"
UNITS = OWN / "systemd"
COMPOSE = yaml.safe_load((OWN / "compose.yaml").read_text())
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
GUIDE = (ROOT / "docs" / "deploy" / "own-hosts.md").read_text()


def lines_of(unit: str, name: str) -> list[str]:
    """Return the values of a name in a unit, as a program is given them."""
    text = (UNITS / unit).read_text().replace("\\\n", " ")
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return [one.replace("$$", "$").replace("%%", "%") for one in found]


def commands_of(unit: str) -> set[str]:
    """Return the commands of manage.py that a unit starts."""
    return set(re.findall(r"manage\.py (\w+)", " ".join(lines_of(unit, "ExecStart"))))


def told() -> list[str]:
    """Return the commands that the guide gives."""
    return re.findall(r"^ +# (.+)$", GUIDE, re.MULTILINE)
