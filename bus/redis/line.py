"""A connection to Redis that is kept for one trip after another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as NoAnswer


class Line:
    """One of the pool's connections, taken out of it: to look for one, to check it and to give it back costs more than
    a trip does. Between trips it is idle; one that broke connects again with the next.
    """

    def __init__(self, client: Redis, connection: Any) -> None:
        """`connection` is the client's pool's; until `give_back` nobody else uses it."""
        self._client = client
        self._connection = connection
        # redis-py makes a task or a timer of this for each write and each answer; here one stands for the trip.
        self._answer_seconds: float = connection.socket_timeout
        connection.socket_timeout = None

    @classmethod
    async def of(cls, client: Redis) -> Line:
        """Another connection of the client's pool; raises what redis-py raises."""
        pool: Any = client.connection_pool
        return cls(client, await pool.get_connection())

    async def give_back(self) -> None:
        """To the pool; not to be used any more."""
        self._connection.socket_timeout = self._answer_seconds
        await self._client.connection_pool.release(self._connection)

    async def ask(self, commands: Sequence[tuple[Any, ...]], options: Sequence[dict[str, Any]]) -> list[Any]:
        """The answer to each command, among them what Redis says against it (ResponseError).

        Over a link that broke they are sent again, as often as the client is told to. Raises what redis-py raises;
        nothing was sent where a command cannot be put into bytes.
        """
        packed = self._connection.pack_commands(commands)
        if self._connection.should_reconnect():  # Redis said that it moves; the pool looks at this when given back
            await self._connection.disconnect(nowait=True)
        try:
            async with asyncio.timeout(self._answer_seconds) as patience:
                answers: list[Any] = await self._connection.retry.call_with_retry(
                    lambda: self._there_and_back(packed, commands, options, patience),
                    lambda _: self._connection.disconnect(nowait=True),
                )
                return answers
        except TimeoutError as error:
            raise NoAnswer("Redis did not answer in time.") from error
        except BaseException:
            # Whatever is left of the answers is nobody's.
            await self._connection.disconnect(nowait=True)
            raise

    async def _there_and_back(
        self,
        packed: Any,
        commands: Sequence[tuple[Any, ...]],
        options: Sequence[dict[str, Any]],
        patience: asyncio.Timeout,
    ) -> list[Any]:
        await self._connection.send_packed_command(packed)
        answers: list[Any] = []
        for command, own_options in zip(commands, options, strict=True):
            if answers:  # as long again for each
                patience.reschedule(asyncio.get_running_loop().time() + self._answer_seconds)
            try:
                answers.append(await self._client.parse_response(self._connection, command[0], **own_options))
            except ResponseError as refusal:
                answers.append(refusal)
        return answers
