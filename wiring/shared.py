"""Many processes: Kafka holds the log, Redis what they share, and both may be away for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple

import structlog
from pydantic import SecretStr
from redis.asyncio import Redis

from bus.errors import CoveyError
from bus.events import Recorded
from bus.fanout import Fanout
from bus.ids import derived_id, random_id
from bus.kafka.backlog import KafkaBacklog
from bus.kafka.log import KafkaLog
from bus.kafka.reader import KafkaReader
from bus.kafka.security import KafkaLink, Scram, ScramMechanism, Tls
from bus.kafka.topics import TopicPlan, log_plans
from bus.log import EventLog
from bus.reader import Sink
from bus.redis.claims import RedisClaims
from bus.redis.connection import RedisAddress, redis_client
from bus.redis.filler import ViewFiller
from bus.redis.fresh import FreshRequests
from bus.redis.history import RedisHistory
from bus.redis.keys import RedisKeys
from bus.redis.lease import RedisLease
from bus.redis.rebuild import Rebuild
from bus.redis.todo import Keeping
from bus.redis.values import RedisValues
from bus.redis.views import RedisViews
from delivery.connections import Connections
from delivery.redis_presence import RedisPresence
from delivery.redis_revocations import RedisRevocations
from setting_kinds import KAFKA
from settings import Settings
from warming.redis_cache import RedisCoverageCache
from warming.view import CoverageAnswers
from wiring.duties import Duties
from wiring.foundation import Foundation
from wiring.store import Chore, Store

_REBUILD_LEASE_SECONDS: Final = 15.0
_FORGET_SECONDS: Final = 3600.0
_BEHIND_SECONDS: Final = 1.0
"""What a reader that goes on reading has taken by then was no reason to send anybody away."""

_WORKERS_PATIENCE_SECONDS: Final = 0.2
_GATEWAYS_PATIENCE_SECONDS: Final = 0.5
"""How long a process leaves the views to others that write them. One that holds sockets has the least to spare."""

_logger = structlog.get_logger(__name__)


class Listeners:
    """A sink that hands what is read to whoever joins: dispatchers come after the log."""

    def __init__(self) -> None:
        self._sinks: list[Sink] = []

    def join(self, sink: Sink) -> None:
        """From now on."""
        self._sinks.append(sink)

    async def take(self, batch: Sequence[Recorded]) -> None:
        """See Sink."""
        for sink in self._sinks:
            await sink.take(batch)


class SharedStore(NamedTuple):
    """The store, and what instances share beside it."""

    store: Store
    log: KafkaLog
    reader: KafkaReader
    filler: ViewFiller
    rebuild: Rebuild
    redis: Redis
    keys: RedisKeys
    listeners: Listeners


def kafka_link(settings: Settings) -> KafkaLink:
    """How Kafka is reached."""
    scram = None
    if settings.kafka_username is not None and settings.kafka_password is not None:
        scram = Scram(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            mechanism=ScramMechanism(settings.kafka_scram),
        )
    tls = None
    if settings.kafka_tls:
        tls = Tls(ca=settings.kafka_ca, certificate=settings.kafka_certificate, key=settings.kafka_key)
    return KafkaLink(
        servers=tuple((settings.log or "").removeprefix(KAFKA).split(",")),
        tls=tls,
        scram=scram,
    )


def topic_plans(settings: Settings) -> Sequence[TopicPlan]:
    """What Kafka's topics are to be like."""
    return log_plans(
        partitions=settings.topic_partitions,
        replication=settings.topic_replication,
        min_insync_replicas=settings.topic_min_in_sync,
        retention_days=settings.retention_days,
        prefix=settings.topic_prefix,
    )


def redis_address(settings: Settings) -> RedisAddress:
    """How Redis is reached."""
    return RedisAddress(
        url=settings.state,
        ca_file=settings.redis_ca,
        certificate_file=settings.redis_certificate,
        key_file=settings.redis_key,
        username=settings.redis_username,
        password=_secret(settings.redis_password),
    )


@asynccontextmanager
async def shared_store(base: Foundation, duties: Duties) -> AsyncIterator[SharedStore]:
    """Connect to Kafka, and read what is new into the fan-out and Redis. Raises LogUnavailable."""
    settings, clock, metrics, link = base.settings, base.clock, base.metrics, kafka_link(base.settings)
    keeping = Keeping(retention=timedelta(days=settings.retention_days))
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_client(redis_address(settings)))
        values = RedisValues(base.sealer)

        def history(epoch: str) -> RedisHistory:
            return RedisHistory(redis, redis_keys(settings, epoch), values, clock, keeping)

        log = await KafkaLog.open(
            link, clock=clock, metrics=metrics, sealer=base.sealer, history=history, prefix=settings.topic_prefix
        )
        stack.push_async_callback(log.close)
        keys = redis_keys(settings, log.epoch)
        cache = RedisCoverageCache(
            redis, keys, base.sealer, retention=keeping.retention, capacity=settings.cache_entries
        )
        answers = CoverageAnswers(cache)
        views = RedisViews(redis, keys, values, clock, keeping=keeping)
        listeners = Listeners()
        fanout = await stack.enter_async_context(Fanout(tail_bound=settings.undelivered_events))
        patience_seconds = _WORKERS_PATIENCE_SECONDS if duties.workers else _GATEWAYS_PATIENCE_SECONDS
        filler = await stack.enter_async_context(
            ViewFiller(views, clock, before=[answers], patience_seconds=patience_seconds)
        )
        sinks: list[Sink] = [listeners, fanout, filler]
        reader = KafkaReader(link, log, sinks, metrics, clock, prefix=settings.topic_prefix)
        await stack.enter_async_context(reader)
        backlog = KafkaBacklog(link, log, prefix=settings.topic_prefix)
        lease = RedisLease(redis, keys.rebuild, clock, random_id, seconds=_REBUILD_LEASE_SECONDS)
        rebuild = Rebuild(views, backlog, lease, clock, before=[answers])

        async def forget() -> None:
            while True:
                try:
                    await cache.delete_before(clock.now() - keeping.retention)
                except CoveyError as error:
                    _logger.warning("retention postponed", reason=str(error))
                await clock.sleep(_FORGET_SECONDS)

        store = Store(
            log=log,
            requests=FreshRequests(
                redis,
                keys,
                values,
                log,
                caught_up=lambda: reader.caught_up(_BEHIND_SECONDS),
                whole=rebuild.whole_now,
            ),
            cache=cache,
            fanout=fanout,
            claims=RedisClaims(redis, keys),
            revocations=RedisRevocations(redis, clock, prefix=f"covey:{settings.topic_prefix}"),
            # Not Redis: without it events are still delivered; requests, nearly all of which are then refused, would be
            # refused elsewhere too. So clients should not be sent away.
            checks={"log": lambda: _log_away(log), "readers": lambda: _behind(reader)},
            chores={"rebuild": rebuild.run, "retention": forget},
        )
        yield SharedStore(
            store=store,
            log=log,
            reader=reader,
            filler=filler,
            rebuild=rebuild,
            redis=redis,
            keys=keys,
            listeners=listeners,
        )


async def views_whole(shared: SharedStore) -> bool:
    """Whether the views hold all that the log had when this was asked. May raise LogUnavailable, StateUnavailable."""
    return (
        await shared.reader.caught_up(_BEHIND_SECONDS)
        and await shared.filler.settled(_BEHIND_SECONDS)
        and await shared.rebuild.whole_now()
    )


def present(base: Foundation, shared: SharedStore, connections: Connections) -> tuple[RedisPresence, Chore]:
    """This instance's sockets, told to all, and the chore that tells them: while it runs limits hold over all."""
    presence = RedisPresence(shared.redis, shared.keys, base.clock, random_id())
    connections.share(presence)
    return presence, lambda: presence.run(lambda: connections.counts)


def redis_keys(settings: Settings, epoch: str) -> RedisKeys:
    """The names of what lies in Redis for this log, under this data key."""
    data_key = _secret(settings.data_key)
    return RedisKeys(epoch, "" if data_key is None else derived_id("data key", data_key))


async def _log_away(log: EventLog) -> str | None:
    try:
        await log.append([])  # of nothing: tells whether something could be written
    except CoveyError as error:
        return str(error)
    return None


async def _behind(reader: KafkaReader) -> str | None:
    try:
        return None if await reader.caught_up(_BEHIND_SECONDS) else "The reader is behind the log."
    except CoveyError as error:
        return str(error)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
