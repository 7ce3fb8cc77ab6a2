"""Which tests come first: those that take long, then those that share a costly server.

Each worker begins with as many tests, in their order; who has none left takes over half
of what another has, from its end. So what takes long is at a beginning, or all would
wait for it at the end; and tests of one server are neighbours, for one worker to start
it, and end it, for all of them.
"""

from __future__ import annotations

import pytest

# They take more than ten seconds each. Those of the servers come soon enough.
LONG = (
    "tests/test_chaos.py::test_days_are_survived_and_their_rows_are_written",
    "tests/tahoe/test_fuzzed_gateway.py::"
    "test_no_response_hangs_or_is_tripped_over_or_stays_in_memory",
    "tests/tahoe/test_gateways.py::"
    "test_nothing_acknowledged_is_lost_and_no_name_given_twice",
    "tests/backends/test_figures.py::"
    "test_a_large_file_passes_in_constant_memory_and_is_read_in_parts",
    "tests/cache/test_redis_states.py::test_what_refuses_to_be_told_is_not_believed",
    "tests/cache/test_redis_states.py::test_workers_of_the_release_before_see_the_same",
)
SHARED = ("four_servers", "two_gateways", "tls_weed")


def place(test: pytest.Item) -> int:
    """Return a number to sort tests by; most have the same, the highest."""
    name = test.nodeid.partition("[")[0]
    fixtures = getattr(test, "fixturenames", ())
    firsts = [name == long for long in LONG] + [each in fixtures for each in SHARED]
    return firsts.index(True) if True in firsts else len(firsts)
