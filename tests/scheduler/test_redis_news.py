"""Instances hear of what others do, and notice where the line to Redis is dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from bus.errors import StateUnavailable
from bus.ids import random_id
from bus.redis.connection import RedisAddress, redis_client
from scheduler.policy import AdmissionPolicy
from scheduler.redis import admission as admission_module
from scheduler.redis.admission import RedisAdmission

pytestmark = pytest.mark.services


class Line:
    """The way to Redis through something that may cut it, or neither forward nor close any more."""

    def __init__(self, url: str) -> None:
        self._redis = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self.silent = False

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        """One that goes this way."""
        async with await asyncio.start_server(self._pipe, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with redis_client(RedisAddress(url=f"redis://127.0.0.1:{port}{self._redis.path}")) as client:
                try:
                    yield client
                finally:
                    self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._redis.hostname, self._redis.port)
        self._writers += [writer, there[1]]
        await asyncio.gather(self._forward(reader, there[1]), self._forward(there[0], writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self.silent:
                    writer.write(data)


async def test_a_line_that_breaks_rings_for_what_was_missed(redis_url: str) -> None:
    line, rung = Line(redis_url), asyncio.Event()
    async with line.client() as client:
        admission = RedisAdmission(client, AdmissionPolicy(), random_id, prefix=f"{{test-{random_id()}}}:admission")
        watching = asyncio.create_task(admission.watch(rung.set))
        async with asyncio.timeout(20):
            await rung.wait()
            rung.clear()
            line.cut()
            await rung.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_line_that_was_cut_in_silence_is_noticed_and_one_on_which_nothing_happens_is_kept(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_module, "_LISTEN_SECONDS", 0.3)
    line, rung = Line(redis_url), asyncio.Event()
    async with line.client() as client:
        admission = RedisAdmission(client, AdmissionPolicy(), random_id, prefix=f"{{test-{random_id()}}}:admission")
        watching = asyncio.create_task(admission.watch(rung.set))
        await rung.wait()
        rung.clear()
        await asyncio.wait({watching}, timeout=1.0)
        assert not watching.done() and not rung.is_set()  # nor does an answer to the question ring

        line.silent = True

        async with asyncio.timeout(20):
            with pytest.raises(StateUnavailable):
                await watching
