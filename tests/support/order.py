"""Which tests come first: those that take long, then those that share a costly server.

Each worker begins with as many tests, in their order; who has none left takes over half
of what another has, from its end. So what takes long is at a beginning, or all would
wait for it at the end; and tests of one server are neighbours, for one worker to start
it, and end it, for all of them.
"""

from __future__ import annotations

import pytest

# They take more than ten seconds each, or some test in them does. Those of the servers
# come soon enough.
LONG = (
    "tests/application/test_schema.py",
    "tests/application/deploy/test_recovery.py",
    "tests/application/deploy/test_own_grid.py",
    "tests/application/deploy/test_instances.py",
    "tests/application/deploy/test_new_release.py",
    "tests/application/deploy/test_cloud_run.py",
    "tests/application/test_job_workers.py",
    "tests/application/test_export_workers.py",
    "tests/application/test_pages_browser.py",
    "tests/application/test_accounts_guide.py",
    "tests/test_chaos.py",
    "tests/test_readme.py",
    "tests/tahoe/test_fuzzed_gateway.py",
    "tests/tahoe/test_gateways.py",
    "tests/backends/test_figures.py",
    "tests/cache/test_redis_states.py",
)
SHARED = ("four_servers", "two_gateways", "tls_weed")


def place(test: pytest.Item) -> int:
    """Return a number to sort tests by; most have the same, the highest."""
    file = test.nodeid.partition("::")[0]
    fixtures = getattr(test, "fixturenames", ())
    firsts = [file == long for long in LONG] + [each in fixtures for each in SHARED]
    return firsts.index(True) if True in firsts else len(firsts)
