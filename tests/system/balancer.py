"""A load balancer as a deployment has one: one address in front of instances, no sticky sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress


class Balancer:
    """Gives each new connection to the next of the instances chosen at that moment; those that are open stay."""

    def __init__(self, targets: Sequence[int]) -> None:
        self.targets = targets
        """The chosen instances' ports."""
        self.given: list[int] = []
        """Where each connection went."""
        self.port = 0
        self._pipes: set[asyncio.Task[None]] = set()

    async def pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end on either side."""
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            self.given.append(self.targets[len(self.given) % len(self.targets)])
            there, back = await asyncio.open_connection("127.0.0.1", self.given[-1])
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.close()
            writer.close()
            self._pipes.discard(task)

    async def close(self) -> None:
        for task in self._pipes:
            task.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


@asynccontextmanager
async def balancing(*targets: int) -> AsyncIterator[Balancer]:
    """In front of these ports first."""
    balancer = Balancer(targets)
    server = await asyncio.start_server(balancer.pipe, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        server.close()
        await balancer.close()
