"""What is sent to Google Cloud, as the build makes it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tests.application.site import EXAMPLE, Environment

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


def pod(definition: dict[str, Any]) -> dict[str, Any]:
    """Return what runs of a service, of a pool or of a job."""
    spec = definition["spec"]["template"]["spec"]
    return dict(spec["template"]["spec"] if "template" in spec else spec)


def container(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the one container of a service, of a pool or of a job."""
    (found,) = pod(definition)["containers"]
    return dict(found)


def environment(
    definition: dict[str, Any], secrets: Mapping[str, str], directory: Path
) -> Environment:
    """Return what Cloud Run gives a container, with its secrets mounted below there.

    ``secrets`` are by their names at Secret Manager. Raises KeyError for another.
    """
    given = {}
    for one in container(definition)["env"]:
        reference = one.get("valueFrom", {}).get("secretKeyRef")
        given[one["name"]] = secrets[reference["name"]] if reference else one["value"]
    volumes = {one["name"]: one["secret"] for one in pod(definition)["volumes"]}
    for mount in container(definition)["volumeMounts"]:
        secret, path = volumes[mount["name"]], mount["mountPath"]
        place = directory / path.strip("/")
        place.mkdir(parents=True, exist_ok=True)
        for item in secret["items"]:
            (place / item["path"]).write_text(secrets[secret["secretName"]])
        for name, value in given.items():
            if value.startswith(f"{path}/"):
                given[name] = str(place) + value.removeprefix(path)
    return given
