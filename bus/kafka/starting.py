"""Starting clients of aiokafka, which leave a connection open when they are cancelled half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class Starting:
    """Starts clients whole or not at all; those that nobody waits for any more are stopped behind the scenes."""

    def __init__(self) -> None:
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self, start: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], Awaitable[None]]) -> None:
        """Return once it has started. Raises what `start` does; the client was stopped then."""
        task = asyncio.create_task(start(), name="kafka client starts")
        try:
            await asyncio.shield(task)
        except BaseException:
            self.leave(_ended(task, stop))
            raise

    def leave(self, ending: Coroutine[Any, Any, None]) -> None:
        """Let this be done without waiting for it."""
        task = asyncio.create_task(ending, name="kafka client leaves")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def settle(self) -> None:
        """Wait for all that is still on its way out."""
        while self._leaving:
            await asyncio.wait(self._leaving)


async def _ended(task: asyncio.Task[None], stop: Callable[[], Awaitable[None]]) -> None:
    await asyncio.wait({task})
    task.exception()  # whoever waited heard of it, or has gone
    await stop()
