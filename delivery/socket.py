"""The socket door: graphql-transport-ws on Strawberry's handler."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, assert_never, cast

import msgspec
from graphql import GraphQLFormattedError
from starlette.types import Receive, Scope, Send
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.schema.base import BaseSchema
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    CompleteMessage,
    ErrorMessage,
)
from strawberry.types.execution import ExecutionResult

from delivery.caller import Caller
from delivery.connections import Connection
from delivery.counted import TurnSum, counted
from delivery.endings import Ending
from delivery.errors import BadRequest, Crowded, MessageMalformed, RateLimited
from delivery.frames import Frames
from delivery.messages import (
    SUBPROTOCOL,
    ClientMessage,
    Complete,
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Unanswerable,
)
from delivery.payloads import Payloads, is_request_error, refusal_entry
from delivery.request import GraphQLRequest
from delivery.session import Session, SessionDoor


@dataclass(frozen=True, kw_only=True)
class SocketDoor(SessionDoor):
    """An ASGI application for `/graphql` over WebSocket.

    Any Origin is let in: who calls is told by a token inside a message, which no other site's page can send; there are
    no cookies that a browser would add by itself.
    """

    schema: BaseSchema
    context_factory: Callable[[Caller], object]
    payloads: Payloads
    init_timeout_seconds: float = 10.0
    max_subscriptions: int = 100
    """Running operations of one socket, queries and mutations among them."""

    @cached_property
    def sent_bytes(self) -> TurnSum:
        return TurnSum(self.metrics.bytes.labels(door="socket"))

    @cached_property
    def delivered(self) -> TurnSum:
        """Items, of all sockets."""
        return TurnSum(self.metrics.deliveries.labels(door="socket"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        spoken = SUBPROTOCOL in scope["subprotocols"]
        with contextlib.suppress(Crowded):  # told after its init: no handshake is refused
            async with self.handshakes.place():
                pass
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if spoken else None})
        frames = Frames(receive, counted(send, self.sent_bytes), self.metrics)
        if not spoken:
            await frames.end(Ending.SUBPROTOCOL, f"Subprotocol not acceptable: use {SUBPROTOCOL}")
            return
        conversation = Conversation(self, frames)
        client = scope.get("client")
        crowded_out = self.connections.open(conversation, client[0] if client else None)
        try:
            if crowded_out is not None:
                conversation.take_the_place_of(crowded_out)
            await conversation.handle()
        finally:
            self.connections.close(conversation)


class Conversation(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket from its handshake to its end. Owns the tasks of its operations and of its two timers."""

    def __init__(self, door: SocketDoor, frames: Frames) -> None:
        super().__init__(
            view=cast("Any", None),  # Strawberry's HTTP part, of which only hooks replaced here would make use
            websocket=frames,
            context=None,
            root_value=None,
            schema=door.schema,
            connection_init_wait_timeout=timedelta(seconds=door.init_timeout_seconds),
        )
        self._door = door
        self._frames = frames
        self._tasks: set[asyncio.Task[None]] = set()
        self._session = Session(door, self, frames)
        self._running = door.metrics.subscriptions.labels("socket")

    async def end(self, ending: Ending, reason: str) -> None:
        """Close the socket; its operations end at once, also where the reader is too slow to hear of it."""
        if not self._frames.closed:
            for operation_id in list(self.operations):
                await self.cleanup_operation(operation_id)
            await self._frames.end(ending, reason)

    def take_the_place_of(self, other: Connection) -> None:
        """Have the other closed, without waiting for a peer that may not read."""
        words = "This instance has all the sockets it takes: try again."
        self.start(other.end(Ending.TRY_LATER, words), "socket crowding out")

    async def handle(self) -> None:
        """Talk until either side closes. Never raises: what nobody expected closes with 4500."""
        init_timeout = self.start(self._wait_for_init(), "socket init timeout")
        try:
            async with contextlib.aclosing(self._frames.iter_json()) as messages:
                async for message in messages:
                    await self.handle_message(message)
                    if self.connection_init_received:
                        init_timeout.cancel()
                    del message  # a document; not held while the next message is waited for
        except MessageMalformed as error:
            await self.end(Ending.MALFORMED, str(error))
        except WebSocketDisconnected:
            pass
        except Exception as error:
            self._door.payloads.internal("socket", error)
            await self.end(Ending.INTERNAL, "Internal server error")
        finally:
            await self.shutdown()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """See SessionSocket."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _wait_for_init(self) -> None:
        await self._door.clock.sleep(self._door.init_timeout_seconds)
        if not self.connection_init_received:  # else it is we who are slow
            await self.end(Ending.INIT_TIMEOUT, "Connection initialisation timeout")

    async def shutdown(self) -> None:
        """Cancel and await every task of this socket."""
        await super().shutdown()
        tasks = list(self._tasks)
        for task in tasks:
            if not task.cancelling():  # a second cancellation would break into the cleaning up after the first
                task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def handle_message(self, message: ClientMessage) -> None:  # type: ignore[override]  # ours are checked values
        if self._session.turned_away and not isinstance(message, Ping):
            return
        match message:
            case ConnectionInit():
                await self._init(message)
            case Ping():
                await self._session.answer(message)
            case Pong():
                pass
            case Subscribe():
                await self._subscribe(message.id, message.payload)
            case Unanswerable():
                await self._subscribe(message.id, BadRequest(message.reason))
            case Complete():
                await self.cleanup_operation(message.id)
            case _:
                assert_never(message)

    async def _init(self, message: ConnectionInit) -> None:
        if self.connection_init_received:
            await self.end(Ending.TOO_MANY_INITS, "Too many initialisation requests")
            return
        self.connection_init_received = True
        self.connection_acknowledged = await self._session.begin(message)
        if self._session.caller is not None:
            self.context = self._door.context_factory(self._session.caller)

    async def _subscribe(self, operation_id: str, request: GraphQLRequest | BadRequest) -> None:
        caller = self._session.caller
        if caller is None or not self.connection_acknowledged:
            await self.end(Ending.NOT_ACKNOWLEDGED, "Unauthorized")
            return
        if operation_id in self.operations:
            await self.end(Ending.SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
            return
        try:
            self._check_limits(caller)
            if isinstance(request, BadRequest):
                raise request
        except (RateLimited, BadRequest) as refusal:
            await self._frames.send_json({"id": operation_id, "type": "error", "payload": [refusal_entry(refusal)]})
            return
        operation = Operation(
            self, operation_id, cast("str", request.document), request.variables, request.operation_name
        )
        operation.task = self.start(self.run_operation(operation), "socket operation")
        self.operations[operation_id] = operation
        self._running.inc()
        self._session.operation_began()
        operation.task.add_done_callback(self._operation_ended)

    def _operation_ended(self, _: asyncio.Task[None]) -> None:
        self._running.dec()
        self._session.operation_ended()

    def _check_limits(self, caller: Caller) -> None:
        if len(self.operations) >= self._door.max_subscriptions:
            self._door.metrics.refusals.labels("subscriptions").inc()
            raise RateLimited(f"A socket may run {self._door.max_subscriptions} operations at once: end one first.")
        self._door.rates.take(caller)

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        """The operation's task. Its errors reach the client under its id; the socket stays."""
        try:
            await self._run(operation)
        except WebSocketDisconnected:
            pass
        except Exception as error:
            entry = self._door.payloads.internal("socket", error)
            with contextlib.suppress(WebSocketDisconnected):
                await _refuse(operation, [entry])
        finally:
            if self.operations.get(operation.id) is operation:
                del self.operations[operation.id]

    async def _run(self, operation: Operation[Any, None]) -> None:
        results = await self.schema.stream(
            operation.query,
            variable_values=operation.variables,
            context_value=self.context,
            operation_name=operation.operation_name,
        )
        payloads, send, delivered = self._door.payloads, self._frames.send_text, self._door.delivered
        operation.query = ""  # read; and other subscriptions' are the same
        head = b'{"id":%s,"type":"next","payload":' % msgspec.json.encode(operation.id)
        async with contextlib.aclosing(results):
            async for each in results:
                result = cast("ExecutionResult", each)  # incremental delivery, the other kind, is not switched on
                if is_request_error(result):
                    await _refuse(operation, payloads.payload(result)["errors"])
                    return
                await send(b"%s%s}" % (head, payloads.encoded(result)))
                delivered.add()
        await operation.send_operation_message(CompleteMessage(id=operation.id, type="complete"))


async def _refuse(operation: Operation[Any, None], errors: list[dict[str, object]]) -> None:
    payload = cast("list[GraphQLFormattedError]", errors)
    await operation.send_operation_message(ErrorMessage(id=operation.id, type="error", payload=payload))
