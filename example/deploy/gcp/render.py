"""Fills in the definitions of Cloud Run's resources: ``render.py DIRECTORY``.

In ``service.yaml``, ``worker.yaml`` and ``job.yaml``, ``${NAME}`` is replaced by the
variable of that name; they are written into the directory, with one job for each of
``JOBS``. A variable that is missing or empty is an error, and nothing is written.

The database is at ``DATABASE_HOST``; or, where ``CLOUDSQL_INSTANCE`` names its
instance, as PROJECT:REGION:NAME, at the socket that Cloud Run has below /cloudsql.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
JOBS = {
    "migrate": ["migrate", "--no-input"],
    "collectstatic": ["collectstatic", "--no-input"],
    "manage": ["check", "--deploy"],  # --args says something else.
    "uploads-sweep": ["uploads_sweep"],
    "objects-purge": ["objects_purge"],
    "objects-sweep": ["objects_sweep"],
    "clearsessions": ["clearsessions"],
}
"""What `manage.py` does in a job of each name. Terraform schedules the last four."""
DEPLOYING = {"migrate", "collectstatic", "manage"}
"""Jobs of the account that may write static files; the others have the service's."""


def rendered(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the definitions by the names of their files. Raises KeyError."""
    given = {name: value for name, value in variables.items() if value}
    instance = given.get("CLOUDSQL_INSTANCE")
    at = f"//cloudsql/{instance}" if instance else f"{given['DATABASE_HOST']}:5432"
    given["DATABASE_AT"] = at
    made = {name: _filled(name, given) for name in ("service.yaml", "worker.yaml")}
    deploying = given["DEPLOY_ACCOUNT"]
    for job, arguments in JOBS.items():
        # JSON is YAML.
        more = {
            "JOB": job,
            "JOB_ACCOUNT": deploying if job in DEPLOYING else given["SERVICE_ACCOUNT"],
            "ARGUMENTS": json.dumps(["manage.py", *arguments]),
        }
        made[f"job-{job}.yaml"] = _filled("job.yaml", given | more)
    return made


def _filled(name: str, variables: Mapping[str, str]) -> str:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines(keepends=True)
    if "CLOUDSQL_INSTANCE" not in variables:
        lines = [line for line in lines if "${CLOUDSQL_INSTANCE}" not in line]
    return Template("".join(lines)).substitute(variables)


def main() -> int:
    """Write them; 2 where the command line or the environment lacks something."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 0 if "--help" in sys.argv else 2
    try:
        made = rendered(os.environ)
    except KeyError as missing:
        print(f"The variable {missing.args[0]} is not set.", file=sys.stderr)
        return 2
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (directory / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} definitions are in {directory}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
