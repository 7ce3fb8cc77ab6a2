"""Reads what `gcloud run services list --format=json` says of a service's traffic.

``traffic.py kept NEW`` prints the last lines of the service's definition: visitors keep
the revisions that they have, and the revision NEW gets none yet, but an address of its
own to be tried at, as `candidate`. At the very first time NEW gets all.
``traffic.py candidate`` prints that address.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TAG = "candidate"


def kept(services: list[dict[str, Any]], new: str) -> str:
    """Return the lines that say who gets how many percent."""
    shares = [
        {"revisionName": share["revisionName"], "percent": share["percent"]}
        for share in _traffic(services)
        if share.get("percent")
    ]
    held = shares or [{"revisionName": new, "percent": 100}]
    tried = {"revisionName": new, "percent": 0, "tag": TAG}
    # JSON is YAML.
    return f"  traffic: {json.dumps([*held, tried])}"


def candidate(services: list[dict[str, Any]]) -> str:
    """Raises SystemExit where no revision has the tag."""
    for share in _traffic(services):
        if share.get("tag") == TAG and share.get("url"):
            return str(share["url"])
    raise SystemExit("No revision has the tag candidate: was the service replaced?")


def _traffic(services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        share
        for service in services
        for share in service.get("status", {}).get("traffic", [])
    ]


def main() -> int:
    """Print it; 2 where the command line is wrong."""
    match sys.argv[1:]:
        case ["kept", new]:
            print(kept(json.load(sys.stdin), new))
        case ["candidate"]:
            print(candidate(json.load(sys.stdin)))
        case _:
            print(__doc__)
            return 0 if "--help" in sys.argv else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
