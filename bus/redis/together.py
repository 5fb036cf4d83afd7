"""Commands that are given in one turn of the event loop go to Redis in one write, and come back in one read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as NoAnswer

from bus.redis.line import Line

_COMMANDS_AT_ONCE: Final = 200
"""Redis serves nobody else meanwhile, and their answers lie in memory together."""
_ON_THEIR_WAY: Final = 8
"""While so many writes wait for their answers, commands gather for the next."""
_WAITING_COMMANDS: Final = 10_000
"""More than a server that answers ever leaves waiting."""

_Command = tuple[tuple[Any, ...], dict[str, Any], asyncio.Future[Any]]


class TogetherRedis(Redis):
    """A client whose single commands travel together: each costs a fraction of a trip of its own.

    A caller that is cancelled no longer waits; the command is carried out all the same, and the connection stays
    whole. Pipelines and subscriptions travel alone, as ever.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gathered: list[_Command] = []
        self._trips: set[asyncio.Task[None]] = set()
        self._idle: list[Line] = []
        self._leaving: asyncio.Handle | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """What Redis answers to this one command; raises what redis-py raises, and as for a link that broke where too
        many commands wait already.
        """
        if len(self._gathered) >= _WAITING_COMMANDS:
            raise Disconnected(f"{len(self._gathered)} commands wait for Redis.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._gathered.append((args, options, answer))
        if self._leaving is None:
            self._leaving = loop.call_soon(self._leave)
        return await answer

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Let what is on its way arrive, then close."""
        while self._trips or self._gathered:
            self._leave()
            await asyncio.wait(self._trips)
        while self._idle:
            await self._idle.pop().give_back()
        await super().aclose(close_connection_pool)

    def _leave(self) -> None:
        self._leaving = None
        while self._gathered and len(self._trips) < _ON_THEIR_WAY:
            together = self._gathered[:_COMMANDS_AT_ONCE]
            del self._gathered[:_COMMANDS_AT_ONCE]
            trip = asyncio.create_task(self._travel(together), name="redis commands")
            self._trips.add(trip)
            trip.add_done_callback(self._back)

    def _back(self, trip: asyncio.Task[None]) -> None:
        self._trips.discard(trip)
        self._leave()

    async def _travel(self, together: list[_Command]) -> None:
        wanted = [command for command in together if not command[2].done()]
        if not wanted:
            return
        try:
            answers = await self._asked([args for args, _, _ in wanted], [options for _, options, _ in wanted])
        except Exception as error:  # everybody's who waits here, unless somebody's words cannot be written
            if unwritable := self._unwritable(wanted):  # then nothing was sent
                _answer([command for command, _ in unwritable], [reason for _, reason in unwritable])
                await self._travel(wanted)
                return
            answers = [error] * len(wanted)
            if isinstance(error, NoAnswer):  # whoever gathered meanwhile has waited for Redis as long
                late, self._gathered = self._gathered, []
                _answer(late, [error] * len(late))
        _answer(wanted, answers)

    async def _asked(self, commands: Sequence[tuple[Any, ...]], options: Sequence[dict[str, Any]]) -> list[Any]:
        line = self._idle.pop() if self._idle else await Line.of(self)
        try:
            return await line.ask(commands, options)
        finally:
            self._idle.append(line)

    def _unwritable(self, commands: Sequence[_Command]) -> list[tuple[_Command, Exception]]:
        """Those that redis-py cannot put into bytes, and why."""
        pool: Any = self.connection_pool
        encoder = pool.get_encoder()
        found: list[tuple[_Command, Exception]] = []
        for command in commands:
            try:
                for argument in command[0]:
                    encoder.encode(argument)
            except Exception as error:  # a type it does not take, text that is no Unicode
                found.append((command, error))
        return found


def _answer(commands: Sequence[_Command], answers: Sequence[Any]) -> None:
    for (_, _, waiting), answer in zip(commands, answers, strict=True):
        if waiting.done():
            continue
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)
