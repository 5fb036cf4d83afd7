"""Events for the rivals written in Python: lines over a plain socket, which costs them less than Kafka would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def read_feed(port: int, take: Callable[[str, bytes], None]) -> None:
    """Call `take` with the member and the event's JSON, for each line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    while line := await reader.readline():
        member, _, event = line.partition(b" ")
        take(member.decode(), event)
    writer.close()
