"""Revocations of one process, in a file beside its log: read at the start, written whole and synced each time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bus.clock import Clock
from bus.errors import LogCorrupt, StateUnavailable
from delivery.revocation import Learner, Revoked


class RevocationFile:
    """A RevocationStore."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises LogCorrupt where the file cannot be read: tokens that ended must not come to life unnoticed."""
        self._path = path
        self._clock = clock
        self._writing = asyncio.Lock()
        try:
            self._kept = msgspec.json.decode(path.read_bytes(), type=list[Revoked])
        except FileNotFoundError:
            self._kept = []
        except (OSError, ValueError):
            raise LogCorrupt(f"{path} is no list of revocations that can be read: restore it from a copy.") from None

    async def load(self) -> Sequence[Revoked]:
        """See RevocationStore."""
        return self._kept

    async def keep(self, revoked: Revoked) -> None:
        """See RevocationStore."""
        async with self._writing:
            now = self._clock.now().timestamp()
            kept = [one for one in self._kept if one.until > now and one.name != revoked.name] + [revoked]
            try:
                await asyncio.to_thread(self._write, msgspec.json.encode(kept))
            except OSError as error:
                raise StateUnavailable("The revocation cannot be written now.") from error
            self._kept = kept

    async def follow(self, learner: Learner) -> None:
        """See RevocationStore; nobody else writes."""
        learner.learn_all(self._kept)
        await asyncio.get_running_loop().create_future()

    def _write(self, encoded: bytes) -> None:
        beside = self._path.with_suffix(".new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
