"""What holds for every room's tests."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test

from tests.services.addresses import ADDRESSES

SERVICES = ("node", "browser", "services")
MEASURED = ("bus", "scheduler", "warming", "resolvers", "schema")
"""Rooms whose coverage is judged."""
_TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def service_addresses() -> dict[str, str]:
    """Where the real servers listen that `scripts/services start` left running."""
    if not ADDRESSES.exists():
        pytest.skip("needs a real Kafka and a real Redis: scripts/services start")
    addresses: dict[str, str] = json.loads(ADDRESSES.read_text())
    return addresses


@pytest.fixture(scope="session")
def kafka_address(service_addresses: dict[str, str]) -> str:
    """`host:port`, several separated by commas. For tests marked `services`."""
    return service_addresses["kafka"]


@pytest.fixture(scope="session")
def redis_url(service_addresses: dict[str, str]) -> str:
    """Of a database that tests share: keys need a prefix of their own. For tests marked `services`."""
    return service_addresses["redis"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: run side by side, tests then end together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def measures(item: pytest.Item) -> bool:
    """Whether the test adds to coverage: a room's own tests do, and not those that draw their examples, for they reach
    other lines each time."""
    own = item.path.relative_to(_TESTS).parts[0] in MEASURED
    return own and not is_hypothesis_test(getattr(item, "obj", None)) and item.get_closest_marker("unmeasured") is None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that does not add to coverage is spared its cost, up to five times its own.

    pytest-cov's `no_cover` does nothing in the processes of pytest-xdist: a second measurement goes on beneath.
    """
    if measures(item):
        return (yield)
    noting, noting_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(noting)
        threading.settrace(noting_threads)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that needs a service may be skipped at a desk that lacks it; in CI the skip is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and any(map(item.get_closest_marker, SERVICES)):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI, where everything it needs must be installed."
    return report
