"""The one place that makes a Redis client, against real servers: with TLS, an ACL user, and in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from bus.errors import StateUnavailable
from bus.redis.connection import RedisAddress, reached, redis_client
from tests.bus.conftest import enqueued, submitted
from tests.bus.redis_world import RedisWorld, recorded
from tests.services.certificates import Authority
from tests.services.process import ServerProcess, free_ports, listens
from tests.services.redis import RedisServer

pytestmark = pytest.mark.services
PASSWORD = "a-throw-away-password"


class SecuredRedis:
    """A Redis that speaks TLS only, and lets in one user, who may touch Covey's keys only."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("redis", host="localhost")
        (self.port,) = free_ports(1)
        users = folder / "users.acl"
        users.write_text(f"user default off\nuser covey on >{PASSWORD} ~covey:* &* +@all -@admin -@dangerous +info\n")
        command = ["redis-server", "--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
        command += ["--aclfile", str(users), "--dir", str(folder), "--set-proc-title", "no"]
        self.process = ServerProcess(folder, command)

    async def start(self) -> None:
        await self.process.start(lambda: listens(self.port))

    def address(self, **changed: object) -> RedisAddress:
        given: dict[str, object] = {
            "url": f"rediss://localhost:{self.port}/0",
            "ca_file": self.authority.ca,
            "username": "covey",
            "password": PASSWORD,
        }
        return RedisAddress(**{**given, **changed})  # type: ignore[arg-type]  # changed as the test says


@pytest.fixture
async def secured(tmp_path: Path, redis_url: str) -> AsyncIterator[SecuredRedis]:
    server = SecuredRedis(tmp_path)
    await server.start()
    yield server
    await server.process.stop()


@pytest.fixture
async def server(tmp_path: Path, redis_url: str) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    await server.start()
    yield server
    await server.stop()


async def test_views_work_over_tls_as_a_user_who_may_do_no_more_than_they_need(secured: SecuredRedis) -> None:
    async with redis_client(secured.address()) as redis:
        world = RedisWorld(redis)
        first = submitted("r1")
        views = world.views()
        await views.take(recorded([first, enqueued(first)]))
        assert not views.lacking
        assert [state.request_id async for state in world.requests.open_requests()] == ["r1"]
        with pytest.raises(StateUnavailable):
            await reached(redis.set("others:key", "x"))
        with pytest.raises(StateUnavailable):
            await reached(redis.config_get("*"))


@pytest.mark.parametrize(
    "changed",
    [{"password": "wrong"}, {"username": "nobody"}, {"username": None, "password": None}, {"ca_file": None}],
    ids=["wrong password", "unknown user", "no user", "unknown authority"],
)
async def test_who_is_not_let_in_is_told_without_the_password(
    secured: SecuredRedis, changed: dict[str, object]
) -> None:
    async with redis_client(secured.address(**changed)) as redis:
        with pytest.raises(StateUnavailable) as refused:
            await reached(redis.ping())
    assert PASSWORD not in str(refused.value)


async def test_a_certificate_for_another_host_is_refused(secured: SecuredRedis) -> None:
    async with redis_client(secured.address(url=f"rediss://127.0.0.1:{secured.port}/0")) as redis:
        with pytest.raises(StateUnavailable):
            await reached(redis.ping())


async def test_an_authority_without_tls_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="rediss://"):
        async with redis_client(RedisAddress(url="redis://localhost", ca_file=Path("ca.pem"))):
            pass


async def test_a_client_finds_its_way_back_after_a_restart(server: RedisServer) -> None:
    async with redis_client(RedisAddress(url=server.url)) as redis:
        await reached(redis.set("covey:x", "1"))
        server.kill()
        with pytest.raises(StateUnavailable):
            await reached(redis.get("covey:x"))
        await server.start()
        assert await reached(redis.get("covey:x")) == b"1"


async def test_a_frozen_redis_is_unavailable_rather_than_waited_for(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.redis.connection._ANSWER_SECONDS", 0.1)
    async with redis_client(RedisAddress(url=server.url)) as redis:
        await reached(redis.ping())
        server.process.freeze()
        with pytest.raises(StateUnavailable):
            await reached(redis.ping())
        server.process.thaw()
        assert await reached(redis.ping())


async def test_a_redis_that_takes_no_writes_is_unavailable(server: RedisServer) -> None:
    async with redis_client(RedisAddress(url=server.url)) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.set("covey:x", "y" * 2_000_000)
        await redis.config_set("maxmemory", "1mb")
        with pytest.raises(StateUnavailable):
            await reached(redis.set("covey:z", "y"))
        await redis.config_set("maxmemory", "0")
        await redis.replicaof("127.0.0.1", str(free_ports(1)[0]))
        with pytest.raises(StateUnavailable):
            await reached(redis.set("covey:x", "y"))


async def test_more_callers_than_connections_wait_for_one(server: RedisServer) -> None:
    async with redis_client(RedisAddress(url=server.url)) as redis:
        assert await asyncio.gather(*(reached(redis.echo(str(number))) for number in range(300))) == [
            str(number).encode() for number in range(300)
        ]


async def test_a_cancellation_that_the_client_loses_is_kept() -> None:
    async def loses_it() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "sent"

    asking = asyncio.create_task(reached(loses_it()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_mistake_of_our_own_is_not_passed_off_as_trouble(server: RedisServer) -> None:
    async with redis_client(RedisAddress(url=server.url)) as redis:
        await redis.set("covey:x", "text")
        with pytest.raises(ResponseError):
            await reached(redis.lpush("covey:x", "y"))
