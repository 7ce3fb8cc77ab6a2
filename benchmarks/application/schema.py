"""schemathesis over the whole schema, in all its phases: no 5xx, nothing undocumented.

The tests ask a few examples of each operation; this asks as many as there is time for.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import django


def main(arguments: Sequence[str]) -> int:
    """Print what was wrong, and how often what was asked; 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="schema", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=50, help="of each operation, %(default)s"
    )
    parser.add_argument("--seed", type=int, default=1, help="%(default)s")
    given = parser.parse_args(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.application.settings"
    django.setup()

    from django.conf import settings
    from django.test.runner import DiscoverRunner

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    runner = DiscoverRunner(verbosity=0, interactive=False)
    old = runner.setup_databases()
    try:
        from tests.application.schema_run import run

        result = run(given.examples, given.seed)
    finally:
        runner.teardown_databases(old)
    for label, count in sorted(result.statuses.items()):
        print(f"{count:6} {label}")
    for kind, shown in sorted(result.failures.items()):
        print(f"\n{kind}\n{shown}")
    print(
        f"{result.requests} requests in {', '.join(sorted(result.phases))}: "
        f"{len(result.failures)} kinds of failure, must be 0"
    )
    return 1 if result.failures else 0
