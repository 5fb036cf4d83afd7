"""Writers that overtake each other, and readers that are quicker than the log's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bus.events import Cancelled, Enqueued, Event, Recorded
from bus.memory_log import MemoryLog
from tests.scheduler.world import PAYER, living
from tests.virtual_time import VirtualClock, run_virtually


class OvertakenLog(MemoryLog):
    """Something happens once just before it takes the next events."""

    first: Callable[[], Awaitable[None]] | None = None

    async def append(self, events: Sequence[Event]) -> Sequence[Recorded | None]:
        first, self.first = self.first, None
        if first is not None:
            await first()
        return await super().append(events)


def test_an_end_is_written_behind_what_came_first_also_where_the_reader_told_of_that_before_the_log_refused() -> None:
    async def main() -> None:
        log = OvertakenLog("epoch")
        async with living(log, VirtualClock()) as world:
            state = await world.record_submitted()
            world.journal.take_in(state)

            async def another() -> None:
                await world.write_as_another(state, Enqueued(payer_id=PAYER))
                await world.journal.take([(await log.read_request(state.request_id))[-1]])

            async with world.journal.holding([state.request_id]) as held:
                log.first = another
                written = await world.journal.write(held, lambda _: [Cancelled(payer_id=PAYER)])

            assert [request.state.request_id for request in written] == [state.request_id]
            assert await world.types(state) == ["submitted", "enqueued", "cancelled"]

    run_virtually(main())
