"""Three workers, each a process, killed and frozen at random: the payer never counts too many calls."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from random import Random

import pytest

from tests.scheduler.payers_book import POLICY
from tests.scheduler.shared_slots import shared_slots

pytestmark = [pytest.mark.services, pytest.mark.slow]
_ROUNDS = 6


async def test_killed_and_frozen_workers_never_make_too_many_calls(redis_url: str) -> None:
    seed = int.from_bytes(os.urandom(2), "big")
    random = Random(seed)
    async with shared_slots(redis_url) as slots:

        async def worker() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.scheduler.payers_book", redis_url, slots.prefix
            )

        workers = [await worker() for _ in range(3)]
        try:
            await asyncio.sleep(5.0)
            for number in range(_ROUNDS):
                one = random.randrange(3)
                if number % 2:
                    workers[one].send_signal(signal.SIGSTOP)
                    await asyncio.sleep(2 * POLICY.lease_seconds * random.random())
                    workers[one].send_signal(signal.SIGCONT)
                else:
                    workers[one].kill()
                    await workers[one].wait()
                    workers[one] = await worker()
                await asyncio.sleep(random.random())
        finally:
            for process in workers:
                process.kill()
                await process.wait()
        seen = {
            int(count): int(times) for count, times in (await slots.client.hgetall(f"{slots.prefix}:book:seen")).items()
        }
        assert max(seen) == POLICY.slots, f"seed {seed}: {seen}"
        assert sum(seen.values()) > 50
