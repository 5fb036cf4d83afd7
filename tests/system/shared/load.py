"""Requests that keep coming whatever is killed, and what must hold of them afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from tests.system.program import question
from tests.system.shared.cluster import Cluster
from tests.system.shared.roaming import Roaming
from tests.system.shared.truth import truth

PAYERS: Final = (
    "60054", "62308", "87726", "SIMOK", "SIMOK", "SIMSLOW", "SIMHANG",
    "SIMDOWN", "SIMFLAKY", "SIM500", "SIMREJECT", "SIMGARBAGE",
)  # fmt: skip
QUICK_PAYERS: Final = tuple(payer for payer in PAYERS if payer not in {"SIMHANG", "SIMDOWN", "SIM500"})
"""None for whose breaker requests wait out their deadlines."""
_MEMBERS: Final = 20
_ENDED_SECONDS: Final = 90.0


class Load:
    """One after another, every third followed from its first event on."""

    def __init__(
        self,
        client: Roaming,
        rng: Random,
        *,
        pause_seconds: float = 0.2,
        deadline_seconds: int = 60,
        payers: Sequence[str] = PAYERS,
    ) -> None:
        """A deadline of less than 30 s spares time where no worker dies: a dead one is noticed after so long."""
        self.acknowledged: list[str] = []
        self._client = client
        self._rng = rng
        self._pause_seconds = pause_seconds
        self._payers = payers
        self._deadline_seconds = deadline_seconds
        self._followers: dict[str, asyncio.Task[list[dict[str, Any]]]] = {}
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Submit no more; raises what went wrong."""
        self._running.cancel()
        try:
            await self._running
        except asyncio.CancelledError:
            return

    async def verify(self, cluster: Cluster, kafka: str) -> None:
        """Everything that was acknowledged ends once, the payer saw no more than 15, and followers missed nothing."""
        async with asyncio.timeout(_ENDED_SECONDS):
            for request_id in self.acknowledged:
                await self._client.ended(request_id)
            seen = {request_id: await task for request_id, task in self._followers.items()}
        stats = await cluster.stats()
        told = await truth(kafka, cluster.prefix)
        assert self.acknowledged
        assert stats["max_in_flight"] <= 15, stats
        assert stats["refused"] == 0, stats
        assert {request_id: told.endings[request_id] for request_id in self.acknowledged} == dict.fromkeys(
            self.acknowledged, 1
        )
        assert [request_id for request_id, items in seen.items() if not told.agrees(request_id, items)] == []

    async def _run(self) -> None:
        number = 0
        while True:
            number += 1
            asked = question(
                f"m-{number % _MEMBERS}", self._rng.choice(self._payers), last_name=f"Name{'abcdefghij'[number % 10]}"
            )
            request_id = await self._client.submitted_surely(
                asked,
                f"key-{number}",
                at=self._rng.randrange(len(self._client.ports)),
                priority=self._rng.choice(["INTERACTIVE", "ENROLLMENT", "BACKGROUND"]),
                deadlineSeconds=self._deadline_seconds,
            )
            self.acknowledged.append(request_id)
            if number % 3 == 0:
                at = self._rng.randrange(len(self._client.ports))
                self._followers[request_id] = asyncio.create_task(self._client.follow(request_id, at=at))
            await asyncio.sleep(self._rng.uniform(0, 2 * self._pause_seconds))
