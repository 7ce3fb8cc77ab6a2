"""What is sent to Google Cloud, as the build makes it."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import yaml

from tests.application.site import EXAMPLE

GCP = EXAMPLE / "deploy" / "gcp"
TERRAFORM = sorted((GCP / "terraform").glob("*.tf"))
PLANTED = "planted-value-of-a-secret"


def loaded(name: str) -> ModuleType:
    """Import a script of the folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, GCP / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


render, traffic = loaded("render"), loaded("traffic")
BUILD = yaml.safe_load((GCP / "cloudbuild.yaml").read_text())


SERVICES = [
    {
        "metadata": {"name": "store"},
        "status": {
            "traffic": [
                {"revisionName": "store-1", "percent": 10},
                {"revisionName": "store-2", "percent": 90, "latestRevision": True},
                {"revisionName": "store-3", "tag": "candidate", "url": "https://x"},
            ]
        },
    }
]
"""What gcloud says of a service of which two revisions have visitors."""


def step(name: str) -> dict[str, Any]:
    """Return a step of the build."""
    (found,) = (step for step in BUILD["steps"] if step["id"] == name)
    return dict(found)


def variables() -> dict[str, str]:
    """What Cloud Build's step gives: the names from its file, and other values."""
    names = [given.partition("=")[0] for given in step("render")["env"]]
    given = {name: f"value-{name.lower()}" for name in names}
    return given | {
        "CLOUDSQL_INSTANCE": BUILD["substitutions"]["_CLOUDSQL_INSTANCE"],
        "PROXIES": BUILD["substitutions"]["_PROXIES"],
        "REVISION": "value-revision",
    }


def definitions(**more: str) -> dict[str, Any]:
    """Return what is sent, by the names of its files; ``more`` are other variables."""
    made = render.rendered(variables() | more)
    made["service.yaml"] += traffic.kept(SERVICES, "value-revision")
    return {name: yaml.safe_load(text) for name, text in made.items()}


def container(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the one container of a service, of a pool or of a job."""
    spec = definition["spec"]["template"]["spec"]
    spec = spec["template"]["spec"] if "template" in spec else spec
    (found,) = spec["containers"]
    return dict(found)
