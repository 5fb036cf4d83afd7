"""What the tests of consumers on the real Kafka share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.bus.consumer.kafka_topics import Topics, kafka_topics


@pytest.fixture
async def topics(kafka_address: str) -> AsyncIterator[Topics]:
    async with kafka_topics(kafka_address) as topics:
        yield topics
