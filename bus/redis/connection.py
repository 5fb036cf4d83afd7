"""The one place that makes a Redis client: how long it waits, how often it tries again, how it proves who it is.

Every failure of the link becomes StateUnavailable through `reaching`, so that nobody above has to know redis-py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import FullJitterBackoff

from bus.errors import StateUnavailable
from bus.redis.together import TogetherRedis

_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 5.0
"""Longer than any script here takes by far; whoever waits longer for Redis would be better off without it."""
_TRIES_AGAIN: Final = 2
_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.2
_HEALTH_CHECK_SECONDS: Final = 15
"""A connection idle that long is asked first, so that one which a firewall cut is found before it is needed."""
_CONNECTIONS: Final = 64


class RedisAddress(Struct, frozen=True, kw_only=True):
    """Where Redis is and how to be let in; never to be shown, it may hold a password."""

    url: str
    """`redis://HOST:PORT/DB`, or `rediss://` for TLS; a user and password in it are used unless given below."""
    ca_file: Path | None = None
    """The authority that signed the server's certificate; the machine's own authorities when absent."""
    certificate_file: Path | None = None
    """This client's certificate, where the server asks for one; goes with `key_file`."""
    key_file: Path | None = None
    """Its private key."""
    username: str | None = None
    """The ACL user."""
    password: str | None = None


@asynccontextmanager
async def redis_client(address: RedisAddress) -> AsyncIterator[Redis]:
    """A client that answers in bytes, closed at the end. Does not connect before it is first used.

    A command whose connection broke is sent again: everything Covey sends is safe to repeat. Raises ValueError for a
    URL that is none, or a `ca_file` without TLS.
    """
    client = _client(address)
    try:
        yield client
    finally:
        await client.aclose()


@contextmanager
def reaching() -> Iterator[None]:
    """What is done within talks to Redis: raises StateUnavailable where that fails for reasons of the link.

    A task that was cancelled meanwhile is cancelled: redis-py sends by `asyncio.wait_for`, which before Python 3.12
    loses a cancellation that comes as the sending ends (https://github.com/python/cpython/issues/81839).
    """
    task = asyncio.current_task()
    cancellations = 0 if task is None else task.cancelling()
    try:
        yield
        if task is not None and task.cancelling() > cancellations:
            raise asyncio.CancelledError
    except (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError) as error:
        raise StateUnavailable("Redis refuses this user or password, or what the user may do is too little.") from error
    except exceptions.OutOfMemoryError as error:
        raise StateUnavailable("Redis has no memory left for this.") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError, OSError) as error:
        raise StateUnavailable("Redis cannot be reached now.") from error
    except exceptions.ResponseError as error:
        # LOADING, MASTERDOWN, MISCONF, BUSY and their like pass; a mistake in a command is ours and must be seen.
        if str(error).split(" ", 1)[0] in _PASSING:
            raise StateUnavailable("Redis cannot serve now.") from error
        raise


async def reached(command: Awaitable[Any]) -> Any:
    """What Redis answers; raises as `reaching`. The client's own types allow text as well, which is never asked for."""
    with reaching():
        return await command


_PASSING: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY"}
)


def _client(address: RedisAddress) -> Redis:
    options: dict[str, Any] = {}
    if address.ca_file is not None:
        if urlsplit(address.url).scheme != "rediss":
            raise ValueError("An authority for Redis' certificate is of use with a rediss:// URL only.")
        options["ssl_ca_certs"] = str(address.ca_file)
    if address.certificate_file is not None:
        options["ssl_certfile"], options["ssl_keyfile"] = str(address.certificate_file), str(address.key_file)
    if address.username is not None:
        options["username"] = address.username
    if address.password is not None:
        options["password"] = address.password
    pool = BlockingConnectionPool.from_url(
        address.url,
        **options,
        max_connections=_CONNECTIONS,
        timeout=_ANSWER_SECONDS,  # for a connection, where all are in use
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        socket_keepalive=True,
        health_check_interval=_HEALTH_CHECK_SECONDS,
        retry=Retry(
            FullJitterBackoff(cap=_LONGEST_PAUSE_SECONDS, base=_FIRST_PAUSE_SECONDS),
            _TRIES_AGAIN,
            # Not a timeout: three of them in a row are three times what anybody is made to wait for Redis.
            supported_errors=(exceptions.ConnectionError,),
        ),
        client_name="covey",
    )
    return TogetherRedis.from_pool(pool)
