"""What a grant costs on Redis with 10,000 waiting for 500 tenants: round trips, seconds, and the script's own.

    python -m bench.redis_grant --redis redis://127.0.0.1:6379/0 [--decisions 2000]

All wait in one class, which is the worst case, and all slots but one are busy. A grant is timed from call to answer;
the script's own time is what the server's slow log says of it, and the round trips are what the server counted.
Everything is kept under a name of its own and deleted at the end. Exit 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable
from random import Random
from statistics import median
from time import monotonic, perf_counter
from typing import Final, TypeVar

from redis.asyncio import Redis

from bus.events import Priority
from bus.ids import CallId, PayerId, RequestId, TenantId, random_id
from bus.redis.connection import RedisAddress, redis_client
from scheduler.admission import Ask, CallEnd
from scheduler.policy import AdmissionPolicy
from scheduler.redis.admission import RedisAdmission
from scheduler.redis.script import SharedPolicy

WAITING: Final = 10_000
TENANTS: Final = 500
PAYERS: Final = 40
KINDS: Final = ("settle", "offer", "grant")
GRANT_BAR_SECONDS: Final = 0.005
SCRIPT_BAR_SECONDS: Final = 0.001
WINDOWS: Final = 5
_FILLERS: Final = 20
_OWN_READS: Final = 3
"""What a timed decision's own book-keeping sends: two commands about the slow log, one for the count."""
_T = TypeVar("_T")
_NOTHING: Final = "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i end return n"


def an_ask(random: Random, number: int) -> Ask:
    """One of many tenants', to one of some payers."""
    return Ask(
        request_id=RequestId(f"request-{number}"),
        tenant_id=TenantId(f"tenant-{random.randrange(TENANTS)}"),
        payer_id=PayerId(f"payer-{random.randrange(PAYERS)}"),
        question_key=f"question-{number}",
        priority=Priority.INTERACTIVE,
        deadline=1e9,
    )


def quantile(values: list[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    return sorted(values)[int(share * (len(values) - 1))]


def calm(values: list[float], share: float) -> float:
    """The median of a quantile over five windows: what others do on the machine now and then does not count."""
    size = len(values) // WINDOWS
    return median(quantile(values[first : first + size], share) for first in range(0, size * WINDOWS, size))


class Bench:
    """One instance and its figures: seconds of each decision, from outside and by the server."""

    def __init__(self, client: Redis, admission: RedisAdmission) -> None:
        self.client = client
        self.admission = admission
        self.random = Random(7)
        self.seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.scripts: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.asked = 0
        self.calls: list[CallId] = []

    async def offer(self) -> None:
        """One more waits."""
        self.asked += 1
        await self.admission.offer(an_ask(self.random, self.asked), monotonic())

    async def fill(self) -> None:
        """As many as shall wait, and a call in every slot but one."""

        async def some() -> None:
            for _ in range(WAITING // _FILLERS):
                await self.offer()

        await asyncio.gather(*(some() for _ in range(_FILLERS)))
        while (grant := await self.admission.grant(monotonic())) is not None:
            self.calls.append(grant.call_id)

    async def measure(self, decisions: int) -> int:
        """So many rounds of settle, offer, grant; how many commands the server counted for grants."""
        await self.client.config_set("slowlog-log-slower-than", 0)
        round_trips = 0
        for _ in range(decisions):
            call_id = self.calls.pop(self.random.randrange(len(self.calls)))
            await self._timed("settle", self.admission.settle(call_id, CallEnd.ANSWERED, monotonic()))
            await self._timed("offer", self.offer())
            before = await self._commands()
            grant = await self._timed("grant", self.admission.grant(monotonic()))
            round_trips += await self._commands() - before - _OWN_READS
            assert grant is not None
            self.calls.append(grant.call_id)
        return round_trips

    async def idle_spans(self, like_seconds: float, count: int) -> list[float]:
        """How long a script takes that counts to a number, for about so long: what the machine itself spreads."""
        loops = 10_000
        spans: list[float] = []
        while len(spans) < count:
            await self.client.slowlog_reset()
            await self.client.eval(_NOTHING, 0, loops)
            spans += [e["duration"] / 1e6 for e in await self.client.slowlog_get(4) if b"EVAL" in e["command"]][:1]
            if len(spans) == 50:
                loops = max(int(loops * like_seconds / max(quantile(spans, 0.5), 1e-6)), 1)
        return spans[50:]

    async def _timed(self, kind: str, decision: Awaitable[_T]) -> _T:
        await self.client.slowlog_reset()
        began = perf_counter()
        answer = await decision
        self.seconds[kind].append(perf_counter() - began)
        spans = [entry["duration"] for entry in await self.client.slowlog_get(8) if b"EVALSHA" in entry["command"]]
        self.scripts[kind].append(max(spans) / 1e6)
        return answer

    async def _commands(self) -> int:
        """Commands the server took from clients; those of scripts are not among them."""
        stats = await self.client.info("stats")
        return int(stats["total_reads_processed"])


async def run(url: str, decisions: int) -> int:
    async with redis_client(RedisAddress(url=url)) as client:
        prefix = f"{{bench-{random_id()}}}:admission"
        slower_than = (await client.config_get("slowlog-log-slower-than"))["slowlog-log-slower-than"]
        # So short a lease that a new instance may be granted slots soon, then the shipped one.
        shared = SharedPolicy(lag_seconds=0.0)
        short = AdmissionPolicy(lease_seconds=0.1)
        policy = AdmissionPolicy(queue_limit=10**9, slots_per_payer=15, lease_seconds=10_000.0)
        try:
            await RedisAdmission(client, short, random_id, shared=shared, prefix=prefix).grant(monotonic())
            await asyncio.sleep(0.2)
            bench = Bench(client, RedisAdmission(client, policy, random_id, shared=shared, prefix=prefix))
            await bench.fill()
            round_trips = await bench.measure(decisions)
            idle = await bench.idle_spans(quantile(bench.scripts["grant"], 0.5), decisions)
        finally:
            await client.config_set("slowlog-log-slower-than", str(slower_than))
            async for key in client.scan_iter(match=f"{prefix}:*", count=1_000):
                await client.unlink(key)
    failed = round_trips != decisions
    print(f"round trips per grant: {round_trips / decisions:.2f} (bar 1) {'FAIL' if failed else 'PASS'}")
    for kind in KINDS:
        for what, seconds, bar in (
            ("answer", bench.seconds[kind], GRANT_BAR_SECONDS),
            ("script", bench.scripts[kind], SCRIPT_BAR_SECONDS),
        ):
            p50, p99 = quantile(seconds, 0.5), calm(seconds, 0.99)
            barred = kind == "grant"
            failed |= barred and p99 > bar
            verdict = f"<= {bar * 1e3:.0f} ms {'PASS' if p99 <= bar else 'FAIL'}" if barred else ""
            print(f"{kind:<6} {what}  p50 {p50 * 1e3:7.3f} ms  p99 {p99 * 1e3:7.3f} ms  {verdict}")
    p50, p99 = quantile(idle, 0.5), calm(idle, 0.99)
    print(f"p99 is the median of {WINDOWS} windows; load average {' '.join(f'{one:.1f}' for one in os.getloadavg())}")
    print(
        f"for comparison, a script that only counts: p50 {p50 * 1e3:.3f} ms  p99 {p99 * 1e3:.3f} ms on this machine now"
    )
    return int(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", required=True, help="redis://HOST:PORT/DB")
    parser.add_argument("--decisions", type=int, default=2_000)
    options = parser.parse_args()
    return asyncio.run(run(options.redis, options.decisions))


if __name__ == "__main__":
    sys.exit(main())
