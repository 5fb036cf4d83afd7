"""Subscriptions answered over HTTP: one stream each, which counts and ends as a socket does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, cast

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send
from strawberry.schema.base import BaseSchema
from strawberry.types.execution import ExecutionResult

from bus.clock import Clock
from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.connections import Connection, Connections
from delivery.drain import Drain
from delivery.endings import Ending
from delivery.errors import Draining, ErrorCode
from delivery.payloads import EventResult, Payloads, error_entry, is_request_error
from delivery.readers import hang_up
from delivery.request import GraphQLRequest
from delivery.storm import Gate

_LONGEST_SLEEP_SECONDS: Final = 300.0
"""A wall clock that was set while a stream waits for its end is noticed within this time."""
_CODES: Final = {Ending.EXPIRED: ErrorCode.UNAUTHENTICATED, Ending.REVOKED: ErrorCode.UNAUTHENTICATED}


class StreamForm(Protocol):
    """How answers lie in the body of one HTTP answer."""

    @property
    def door(self) -> str:
        """The metrics' label."""
        ...

    @property
    def content_type(self) -> str: ...

    @property
    def heartbeat_seconds(self) -> float: ...

    @property
    def opening(self) -> bytes:
        """Comes at once, so that proxies and clients see that there is a stream."""
        ...

    @property
    def heartbeat(self) -> bytes: ...

    @property
    def completion(self) -> bytes:
        """After the last item; nothing follows."""
        ...

    def item(self, payload: bytes, cursor: str | None) -> bytes:
        """One answer, as JSON, and how the client resumes behind it."""
        ...

    def interruption(self, error: bytes) -> bytes | None:
        """The end of a stream that goes on elsewhere; None where only a broken connection says that."""
        ...


class Exchange(Struct, frozen=True):
    """One HTTP request that is being answered."""

    scope: Scope
    receive: Receive
    send: Send


class Streams:
    """Answers subscriptions over HTTP."""

    def __init__(
        self,
        *,
        schema: BaseSchema,
        connections: Connections,
        drain: Drain,
        context_factory: Callable[[Caller], object],
        payloads: Payloads,
        metrics: Metrics,
        clock: Clock,
        handshakes: Gate | None = None,
        check: Callable[[Caller], None] = lambda _: None,
    ) -> None:
        """`handshakes` is best the sockets' own; `check` raises TokenRefused where the caller's token was revoked since
        it was verified."""
        self.schema = schema
        self.connections = connections
        self.context_factory = context_factory
        self.payloads = payloads
        self.metrics = metrics
        self.clock = clock
        self._drain = drain
        self._handshakes = handshakes or Gate()
        self._check = check

    async def answer(self, exchange: Exchange, request: GraphQLRequest, caller: Caller, form: StreamForm) -> None:
        """Answer until either side ends. Raises Unavailable, TokenRefused, before anything is sent.

        Whatever is wrong with the subscription is an item in the stream.
        """
        stream = _Stream(self, exchange, form)
        client = exchange.scope.get("client")
        try:
            async with self._handshakes.place():
                await self.connections.claim(caller)
                self._check(caller)
                if self._drain.active:  # it has told all that it will tell
                    raise Draining("This instance is going away: ask again.")
                crowded_out = self.connections.open(stream, client[0] if client else None, door=form.door)
                if crowded_out is not None:
                    stream.take_the_place_of(crowded_out)
                self.connections.admit(stream, caller)
            await stream.run(request, caller)
        finally:
            self.connections.close(stream)
            stream.close()


class _Stream:
    """One subscription and its HTTP answer; see Connection. Owns its tasks.

    There is no queue: an item is taken from the subscription when the one before it was taken by the server, so that
    what a slow reader holds in memory is the transport's small buffer and one item.
    """

    def __init__(self, streams: Streams, exchange: Exchange, form: StreamForm) -> None:
        self._streams = streams
        self._exchange = exchange
        self._form = form
        self._interrupted: asyncio.Future[tuple[Ending, str] | None] = asyncio.get_running_loop().create_future()
        """Set when it ends before the subscription does; None where the client has gone."""
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delivered = streams.metrics.deliveries.labels(door=form.door)
        self._bytes = streams.metrics.bytes.labels(door=form.door)

    async def end(self, ending: Ending, reason: str) -> None:
        """See Connection: returns when the client was told."""
        self._interrupt((ending, reason))
        await self._closed.wait()

    def take_the_place_of(self, other: Connection) -> None:
        """Have the other closed, without waiting for a peer that may not read."""
        words = "This instance has all the sockets it takes: try again."
        self._start(other.end(Ending.TRY_LATER, words), "crowding out")

    def close(self) -> None:
        self._closed.set()

    async def run(self, request: GraphQLRequest, caller: Caller) -> None:
        """Stream from the head of the answer to its end."""
        running = self._streams.metrics.subscriptions.labels(self._form.door)
        running.inc()
        try:
            await self._open()
            items = self._start(self._items(request, caller), "items")
            self._start(self._beat(), "heartbeat")
            self._start(self._expire(caller), "expiry")
            self._start(self._notice_departure(), "departure")
            ends: set[asyncio.Future[Any]] = {items, self._interrupted}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            complete = items.done()
        finally:
            running.dec()
            await self._stop()
        if complete:
            await self._write(self._form.completion, more=False)
        elif (told := self._interrupted.result()) is not None:
            await self._break_off(*told)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"stream {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _interrupt(self, why: tuple[Ending, str] | None) -> None:
        if not self._interrupted.done():
            self._interrupted.set_result(why)

    async def _open(self) -> None:
        headers = [
            (b"content-type", self._form.content_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep items back until it has many
        ]
        await self._exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._write(self._form.opening)

    async def _items(self, request: GraphQLRequest, caller: Caller) -> None:
        streams = self._streams
        try:
            results = await streams.schema.stream(
                cast("str", request.document),
                variable_values=request.variables,
                context_value=streams.context_factory(caller),
                operation_name=request.operation_name,
            )
            async with contextlib.aclosing(results):
                async for each in results:
                    result = cast("ExecutionResult", each)  # incremental delivery, the other kind, is not switched on
                    cursor = result.cursor if isinstance(result, EventResult) else None
                    await self._write(self._form.item(streams.payloads.encoded(result), cursor))
                    if is_request_error(result):
                        return
                    self._delivered.inc()
        except Exception as error:
            entry = streams.payloads.internal(self._form.door, error)
            await self._write(self._form.item(msgspec.json.encode({"errors": [entry]}), None))

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        await self._exchange.send({"type": "http.response.body", "body": body, "more_body": more})
        self._bytes.inc(len(body))

    async def _beat(self) -> None:
        while True:
            await self._streams.clock.sleep(self._form.heartbeat_seconds)
            await self._write(self._form.heartbeat)

    async def _expire(self, caller: Caller) -> None:
        clock = self._streams.clock
        while (left := (caller.expires_at - clock.now()).total_seconds()) > 0:
            await clock.sleep(min(left, _LONGEST_SLEEP_SECONDS))
        self._interrupt((Ending.EXPIRED, "The token has ended: subscribe again with a new one."))

    async def _notice_departure(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._interrupt(None)

    async def _break_off(self, ending: Ending, reason: str) -> None:
        self._streams.metrics.closes.labels(cause=ending.cause).inc()
        entry = error_entry(_CODES.get(ending, ErrorCode.UNAVAILABLE), reason)
        last_words = self._form.interruption(msgspec.json.encode(entry))
        if last_words is not None:
            await self._write(last_words, more=False)
            return
        hang_up(self._exchange.scope)
        await self._notice_departure()
