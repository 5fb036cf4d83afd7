"""Rights that an account lacks on the log's topics are seen before an event meets them, on a broker that asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.errors import LogUnavailable
from bus.kafka.log import KafkaLog
from tests.bus.conftest import submitted
from tests.bus.kafka_logs import link_to, new_topics, open_kafka_log
from tests.services.kafka import KafkaServer
from tests.services.topic_rights import AUTHORIZER, Right, denied

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
async def asking(tmp_path: Path, service_addresses: dict[str, str]) -> AsyncIterator[KafkaServer]:
    """A broker whose authorizer is asked."""
    kafka = KafkaServer(tmp_path / "kafka", properties=AUTHORIZER)
    await kafka.start()
    try:
        yield kafka
    finally:
        kafka.kill()


async def why_not(log: KafkaLog) -> str | None:
    """What readiness would say."""
    try:
        await log.append([])
    except LogUnavailable as error:
        return str(error)
    return None


async def until_said(log: KafkaLog, words: str | None) -> None:
    """Rights reach a broker a moment after they were changed."""
    async with asyncio.timeout(30):
        while (said := await why_not(log)) != words:
            assert said is None or "let this account" in said
            await asyncio.sleep(0.05)


async def test_a_right_that_is_missing_is_told_with_its_name_and_until_it_is_given(asking: KafkaServer) -> None:
    link = link_to(asking.address)
    async with new_topics(link) as prefix, open_kafka_log(link, prefix) as log:
        assert await why_not(log) is None
        async with denied(asking.address, prefix, Right.WRITE):
            await until_said(log, f"Kafka does not let this account write to {prefix}rte.events: give it `Write`.")
            with pytest.raises(LogUnavailable, match="`Write`"):
                await log.append([submitted()])
        await until_said(log, None)
        async with denied(asking.address, prefix, Right.READ):
            await until_said(log, f"Kafka does not let this account read {prefix}rte.events: give it `Read`.")
        await until_said(log, None)
        assert await log.append([submitted()]) != [None]
