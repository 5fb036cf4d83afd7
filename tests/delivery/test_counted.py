"""What goes out is counted once a turn of the event loop, and nothing is left out."""

from __future__ import annotations

import asyncio

from bus.metrics import Metrics
from delivery.counted import TurnSum


async def test_what_is_counted_in_one_turn_is_told_in_the_next_one() -> None:
    metrics = Metrics()
    delivered = TurnSum(metrics.deliveries.labels(door="socket"))

    def told() -> float | None:
        return metrics.registry.get_sample_value("covey_deliveries_total", {"door": "socket"})

    for amount in (1, 2, 3):
        delivered.add(amount)
    assert told() == 0
    await asyncio.sleep(0)
    assert told() == 6
    delivered.add()
    await asyncio.sleep(0)
    assert told() == 7
