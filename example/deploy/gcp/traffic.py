"""Reads what `gcloud run services list --format=json` says of a service's traffic.

``traffic.py serving NAME`` prints the revision that most visitors have, or NAME where
there is none yet; ``traffic.py candidate`` prints the address of the tag `candidate`.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def serving(services: list[dict[str, Any]], otherwise: str) -> str:
    shares = [share for share in _traffic(services) if share.get("percent")]
    if not shares:
        return otherwise
    return str(max(shares, key=lambda share: share["percent"])["revisionName"])


def candidate(services: list[dict[str, Any]]) -> str:
    """Raises SystemExit where no revision has the tag."""
    for share in _traffic(services):
        if share.get("tag") == "candidate" and share.get("url"):
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
        case ["serving", name]:
            print(serving(json.load(sys.stdin), name))
        case ["candidate"]:
            print(candidate(json.load(sys.stdin)))
        case _:
            print(__doc__)
            return 0 if "--help" in sys.argv else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
