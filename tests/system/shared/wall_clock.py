"""A wall clock that a test sets for one process while it runs; the monotonic clock goes on as it did."""

from __future__ import annotations

from pathlib import Path

import pytest

_LIBRARY = "*/faketime/libfaketimeMT.so.1"


class WallClock:
    """Debian's libfaketime, preloaded by the processes that are given `env`."""

    def __init__(self, file: Path) -> None:
        """`file` is read by them about once a second. Skips the test where the library is not installed."""
        found = sorted(Path("/usr/lib").glob(_LIBRARY))
        if not found:
            pytest.skip("needs libfaketime: apt-get install faketime")
        self._file = file
        self.env = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.step(0)

    def step(self, seconds: int) -> None:
        """From now on it is ahead of the machine's clock by so much; behind where negative."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+d}\n")
        part.replace(self._file)
