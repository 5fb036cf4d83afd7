"""What holds for every room's tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

SERVICES = ("node", "browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that needs a service may be skipped at a desk that lacks it; in CI the skip is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and any(map(item.get_closest_marker, SERVICES)):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI, where everything it needs must be installed."
    return report
