"""A small HTTP load on bare asyncio streams, so that the client costs little beside the server."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """What a load measured."""

    seconds: list[float]
    """One answer time each, in order of their ends."""
    elapsed_seconds: float

    def windows(self, count: int) -> list[Times]:
        """The same load as so many stretches of it, one after another."""
        size = len(self.seconds) // count
        stretches = [self.seconds[number * size : (number + 1) * size] for number in range(count)]
        return [Times(stretch, self.elapsed_seconds / count) for stretch in stretches]

    def calm_percentile_ms(self, percent: float) -> float:
        """The median of a percentile over five windows: what others do on the machine now and then does not count."""
        return statistics.median(window.percentile_ms(percent) for window in self.windows(5))

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.elapsed_seconds

    def percentile_ms(self, percent: float) -> float:
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))] * 1000


class Connection:
    """One keep-alive connection that posts JSON."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str | None) -> None:
        self._reader = reader
        self._writer = writer
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\n{authorization}Content-Length: "
        ).encode()

    @classmethod
    async def open(cls, port: int, token: str | None) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port), token)

    async def post(self, body: bytes) -> bytes:
        self._writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head.splitlines()[0]!r}: {answer[:300]!r}")
        return answer

    def close(self) -> None:
        self._writer.close()


async def paced(
    port: int, token: str | None, body: Callable[[int], bytes], check: bytes, *, per_second: float, seconds: float
) -> Times:
    """Start a request every 1/`per_second`, whether earlier ones have answered or not; times count from when each was
    due, so that a stalled server is not spared."""
    idle: deque[Connection] = deque()  # used in turn: one that rests too long is closed by the server
    times: list[float] = []

    async def one(number: int, due: float) -> None:
        connection = idle.popleft() if idle else await Connection.open(port, token)
        answer = await connection.post(body(number))
        times.append(time.perf_counter() - due)
        if check not in answer:
            raise RuntimeError(answer[:300].decode())
        idle.append(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(number, due))
    elapsed = time.perf_counter() - began
    for connection in idle:
        connection.close()
    return Times(times, elapsed)


async def saturated(
    port: int, token: str | None, body: Callable[[int], bytes], check: bytes, *, connections: int, seconds: float
) -> Times:
    """Every connection asks again as soon as it was answered."""
    times: list[float] = []
    numbers = iter(range(10**9))
    began = time.perf_counter()

    async def ask() -> None:
        connection = await Connection.open(port, token)
        while (start := time.perf_counter()) < began + seconds:
            answer = await connection.post(body(next(numbers)))
            times.append(time.perf_counter() - start)
            if check not in answer:
                raise RuntimeError(answer[:300].decode())
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(ask())
    return Times(times, time.perf_counter() - began)
