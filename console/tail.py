"""`covey tail`: the log as it grows, one line an event, also while a server writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bus.clock import SystemClock
from bus.events import Recorded, Topic, encode_data
from bus.sealing import TenantSealer
from bus.sqlite_reader import SqliteLogReader
from console.errors import WorkFailed
from settings import Settings

_BATCH_EVENTS: Final = 256


async def tail(
    settings: Settings, *, topic: Topic | None, after: int | None, with_data: bool, write: Callable[[str], None]
) -> None:
    """Write every event of one topic or of all behind `after` (behind the log's end when None), for ever.

    Topics are told side by side: each in its own order. Raises LogUnavailable, LogCorrupt, WorkFailed.
    """
    path = settings.log_path
    if not path.exists():
        raise WorkFailed(f"There is no log at {path} yet. Start a server there first, or set COVEY_DATA or COVEY_LOG.")
    sealer = None if settings.data_key is None else TenantSealer(settings.data_key.get_secret_value().encode())
    log = await SqliteLogReader.open_for_reading(path, clock=SystemClock(), sealer=sealer)

    async def follow(topic: Topic) -> None:
        position = await log.end(topic) if after is None else after
        while True:
            for recorded in await log.read(topic, after=position, limit=_BATCH_EVENTS):
                write(line(recorded, with_data=with_data))
                position = recorded.position
            await log.wait_beyond(topic, position)

    try:
        await asyncio.gather(*(follow(each) for each in ([topic] if topic else Topic)))
    finally:
        await log.close()


def line(recorded: Recorded, *, with_data: bool) -> str:
    """Position, time, type, subject and attempt; behind them the data as JSON where it was asked for."""
    event = recorded.event
    parts = [
        f"{recorded.position:>8}",
        event.time.isoformat(timespec="milliseconds"),
        f"{event.type:<14}",
        event.subject,
        f"attempt {event.attempt}" if event.attempt else "",
        encode_data(event.data).decode() if with_data else "",
    ]
    return "  ".join(part for part in parts if part)
