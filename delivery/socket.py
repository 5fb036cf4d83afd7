"""The socket door: graphql-transport-ws, from the handshake to the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, assert_never, cast

import msgspec
from strawberry.schema.base import BaseSchema
from strawberry.types.execution import ExecutionResult

from delivery.arrivals import Arrivals
from delivery.caller import Caller
from delivery.connections import Connection
from delivery.counted import TurnSum
from delivery.endings import Ending
from delivery.errors import BadRequest, Crowded, MessageMalformed, RateLimited
from delivery.handshake import Handshake
from delivery.messages import (
    SUBPROTOCOL,
    ClientMessage,
    Complete,
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Unanswerable,
    read_message,
)
from delivery.payloads import Payloads, is_request_error, refusal_entry
from delivery.request import GraphQLRequest
from delivery.session import Session, SessionDoor
from delivery.websocket import SocketGone, WebSocket

_OPERATIONS_A_TURN: Final = 4
"""Operations that begin in one turn of the event loop: one that resumes takes a millisecond or two."""


@dataclass(frozen=True, kw_only=True)
class SocketDoor(SessionDoor):
    """`/graphql` over WebSocket.

    Any Origin is let in: who calls is told by a token inside a message, which no other site's page can send; there are
    no cookies that a browser would add by itself.
    """

    schema: BaseSchema
    payloads: Payloads
    init_timeout_seconds: float = 10.0
    max_subscriptions: int = 100
    """Running operations of one socket, queries and mutations among them."""

    operations: Arrivals = field(default_factory=lambda: Arrivals(a_turn=_OPERATIONS_A_TURN))
    """Of all sockets, in the order in which they begin."""

    @cached_property
    def delivered(self) -> TurnSum:
        """Items, of all sockets."""
        return TurnSum(self.metrics.deliveries.labels(door="socket"))

    @cached_property
    def running(self) -> Any:
        """How many operations run on all sockets."""
        return self.metrics.subscriptions.labels("socket")

    def come(self, socket: WebSocket, handshake: Handshake, address: str | None) -> None:
        """Accept a handshake, in its turn; no handshake is refused. `address` is the client's."""
        conversation = Conversation(self, socket)
        if self.handshakes.free:
            conversation.open(handshake, address)
        else:
            conversation.open_in_turn(handshake, address)


class Conversation:
    """One socket from its handshake to its end. Owns the tasks that run for it; while it hears nothing and nothing
    was asked there are none."""

    __slots__ = ("_door", "_handling", "_init_timer", "_operations", "_session", "_socket", "_tasks", "_unhandled")

    def __init__(self, door: SocketDoor, socket: WebSocket) -> None:
        self._door = door
        self._socket = socket
        self._session = Session(door, self)
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unhandled: list[str | bytes] = []
        """Few: reading pauses while there are any."""
        self._handling = False
        self._init_timer = door.timers.after(door.init_timeout_seconds, self._init_missing)

    def open(self, handshake: Handshake, address: str | None) -> None:
        """Accept the handshake."""
        spoken = SUBPROTOCOL in handshake.subprotocols
        self._socket.open(handshake.accepted(SUBPROTOCOL if spoken else None), self)
        if not spoken:
            self.close(Ending.SUBPROTOCOL, f"Subprotocol not acceptable: use {SUBPROTOCOL}")
            return
        crowded_out = self._door.connections.open(self, address)
        if crowded_out is not None:
            self.start(_crowd_out(crowded_out), "socket crowding out")

    def open_in_turn(self, handshake: Handshake, address: str | None) -> None:
        """The same when those that came before have had their turns."""
        self._socket.await_opening(self)
        self.start(self._open_in_turn(handshake, address), "socket handshake")

    async def _open_in_turn(self, handshake: Handshake, address: str | None) -> None:
        with contextlib.suppress(Crowded):  # told after its init
            async with self._door.handshakes.place():
                pass
        self.open(handshake, address)

    # What a session, the registry and the rest of the process see of a socket:

    @property
    def closed(self) -> bool:
        """See SessionSocket."""
        return self._socket.closed

    async def say(self, message: object) -> None:
        """See SessionSocket."""
        await self._socket.send(msgspec.json.encode(message))

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """See SessionSocket."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def close(self, ending: Ending, reason: str) -> None:
        """See SessionSocket."""
        if self._socket.closed:
            return
        self._door.metrics.closes.labels(cause=ending.cause).inc()
        self._stop()
        self._socket.close(ending.code, reason)

    async def end(self, ending: Ending, reason: str) -> None:
        """See Connection. Waits for nobody."""
        self.close(ending, reason)

    # What the socket tells:

    def hear(self, message: str | bytes) -> None:
        """See Listener. Each is handled behind those before it."""
        self._unhandled.append(message)
        if self._handling:
            self._socket.pause_reading()
        else:
            self._handling = True
            self.start(self._handle(), "socket messages")

    def leave(self) -> None:
        """See Listener."""
        self._stop()
        self._door.connections.close(self)
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            self._socket.done()

    def _stop(self) -> None:
        """Its operations end at once, also where the reader is too slow to hear of it."""
        self._door.timers.cancel(self._init_timer)
        self._session.close()
        for operation_id in list(self._operations):
            self._complete(operation_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks and self._socket.left:
            self._socket.done()

    def _init_missing(self) -> None:
        if not self._session.begun:  # else it is we who are slow
            self.close(Ending.INIT_TIMEOUT, "Connection initialisation timeout")

    async def _handle(self) -> None:
        """Never raises: what nobody expected closes with 4500."""
        try:
            while self._unhandled and not self._socket.closed:
                await self._answer(_read(self._unhandled.pop(0)))
        except MessageMalformed as error:
            self.close(Ending.MALFORMED, str(error))
        except SocketGone:
            pass
        except Exception as error:
            self._door.payloads.internal("socket", error)
            self.close(Ending.INTERNAL, "Internal server error")
        finally:
            self._handling = False
            self._socket.resume_reading()

    async def _answer(self, message: ClientMessage) -> None:
        if self._session.turned_away and not isinstance(message, Ping):
            return
        match message:
            case ConnectionInit():
                if self._session.begun:
                    self.close(Ending.TOO_MANY_INITS, "Too many initialisation requests")
                    return
                self._door.timers.cancel(self._init_timer)
                await self._session.begin(message)
            case Ping():
                await self._session.answer(message)
            case Pong():
                pass
            case Subscribe():
                await self._subscribe(message.id, message.payload)
            case Unanswerable():
                await self._subscribe(message.id, BadRequest(message.reason))
            case Complete():
                self._complete(message.id)
            case _:
                assert_never(message)

    async def _subscribe(self, operation_id: str, request: GraphQLRequest | BadRequest) -> None:
        caller, context = self._session.caller, self._session.context
        if caller is None:
            self.close(Ending.NOT_ACKNOWLEDGED, "Unauthorized")
            return
        if operation_id in self._operations:
            self.close(Ending.SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
            return
        try:
            self._check_limits(caller)
            if isinstance(request, BadRequest):
                raise request
        except (RateLimited, BadRequest) as refusal:
            await self._refuse(operation_id, [refusal_entry(refusal)])
            return
        self._operations[operation_id] = self.start(self._operate(operation_id, request, context), "socket operation")
        self._door.running.inc()
        self._session.operation_began()
        self._operations[operation_id].add_done_callback(self._operation_ended)

    def _operation_ended(self, _: asyncio.Task[None]) -> None:
        self._door.running.dec()
        self._session.operation_ended()

    def _check_limits(self, caller: Caller) -> None:
        if len(self._operations) >= self._door.max_subscriptions:
            self._door.metrics.refusals.labels("subscriptions").inc()
            raise RateLimited(f"A socket may run {self._door.max_subscriptions} operations at once: end one first.")
        self._door.rates.take(caller)

    def _complete(self, operation_id: str) -> None:
        task = self._operations.pop(operation_id, None)
        if task is not None:
            task.cancel()

    async def _operate(self, operation_id: str, request: GraphQLRequest, context: object) -> None:
        """An operation's task. Its errors reach the client under its id; the socket stays."""
        door = self._door
        try:
            await door.operations.wait()
            results = await door.schema.stream(
                cast("str", request.document),
                variable_values=request.variables,
                context_value=context,
                operation_name=request.operation_name,
            )
            del request  # a document, which others have too; a subscription may run for hours
            errors = await self._tell(operation_id, cast("AsyncGenerator[ExecutionResult, None]", results))
            self._forget(operation_id)  # before its last word, behind which the id may come again
            if errors is None:
                await self.say({"id": operation_id, "type": "complete"})
            else:
                await self._refuse(operation_id, errors)
        except SocketGone:
            pass
        except Exception as error:
            entry = door.payloads.internal("socket", error)
            self._forget(operation_id)
            with contextlib.suppress(SocketGone):
                await self._refuse(operation_id, [entry])
        finally:
            self._forget(operation_id)

    async def _tell(
        self, operation_id: str, results: AsyncGenerator[ExecutionResult, None]
    ) -> list[dict[str, object]] | None:
        """Send what comes until it ends; or give the errors with which the operation was refused, or broke off."""
        payloads, send, delivered = self._door.payloads, self._socket.send, self._door.delivered
        head = b'{"id":%s,"type":"next","payload":' % msgspec.json.encode(operation_id)
        async with contextlib.aclosing(results):
            async for result in results:
                if is_request_error(result):
                    return cast("list[dict[str, object]]", payloads.payload(result)["errors"])
                await send(b"%s%s}" % (head, payloads.encoded(result)))
                delivered.add()
        return None

    def _forget(self, operation_id: str) -> None:
        """Unless the id is another operation's already."""
        if self._operations.get(operation_id) is asyncio.current_task():
            del self._operations[operation_id]

    async def _refuse(self, operation_id: str, errors: list[dict[str, object]]) -> None:
        await self.say({"id": operation_id, "type": "error", "payload": errors})


def _read(message: str | bytes) -> ClientMessage:
    if isinstance(message, bytes):
        raise MessageMalformed("Malformed message: binary")
    return read_message(message)


async def _crowd_out(other: Connection) -> None:
    await other.end(Ending.TRY_LATER, "This instance has all the sockets it takes: try again.")
