"""Subscriptions as Apollo's multipart protocol, byte for byte."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.delivery.harness import Harness, eventually
from tests.delivery.issued import member_token
from tests.delivery.numbered_schema import NUMBERED
from tests.delivery.streaming import MULTIPART, subscribed

LIVE = "subscription { numbers(to: 1, live: true) { number } }"
NEXT = b"\r\n--graphql"


def part(content: object) -> bytes:
    return b"\r\ncontent-type: application/json\r\n\r\n" + msgspec.json.encode(content) + NEXT


async def test_parts_are_wrapped_and_each_comes_with_the_boundary_behind_it() -> None:
    query = "subscription { numbers(to: 2) { number } }"
    async with Harness(schema=NUMBERED).serving() as harness:
        async with subscribed(harness, query, accept=MULTIPART) as body:
            assert body.response.status_code == 200
            content_type = 'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'
            assert body.response.headers["content-type"] == content_type
            items = [part({"payload": {"data": {"numbers": {"number": number}}}}) for number in (1, 2)]
            assert await body.rest() == NEXT + b"".join(items) + b"--\r\n"
        deliveries = harness.metrics.registry.get_sample_value("covey_deliveries_total", {"door": "multipart"})
        assert deliveries == 2


async def test_an_item_can_be_read_whole_before_the_next_one_comes() -> None:
    async with Harness(schema=NUMBERED).serving() as harness, subscribed(harness, LIVE, accept=MULTIPART) as body:
        assert await body.until(NEXT) == NEXT
        assert await body.until(NEXT) == part({"payload": {"data": {"numbers": {"number": 1}}}})


async def test_a_silent_stream_beats_by_empty_objects() -> None:
    async with Harness(schema=NUMBERED).serving() as harness, subscribed(harness, LIVE, accept=MULTIPART) as body:
        await body.until(NEXT)
        await body.until(NEXT)
        await eventually(lambda: harness.clock.sleeping == 2)
        harness.clock.advance(5)
        assert await body.until(NEXT) == part({})


async def test_what_is_refused_is_one_part_with_errors_and_then_the_end() -> None:
    query = "subscription { missing }"
    async with Harness(schema=NUMBERED).serving() as harness, subscribed(harness, query, accept=MULTIPART) as body:
        assert body.response.status_code == 200
        await body.until(NEXT)
        content = msgspec.json.decode((await body.until(NEXT)).split(b"\r\n\r\n")[1].removesuffix(NEXT))
        assert [error["extensions"]["code"] for error in content["payload"]["errors"]] == ["NOT_FOUND"]
        assert set(content) == {"payload"}
        assert await body.rest() == b"--\r\n"


@pytest.mark.parametrize(("cause", "code"), [("expired", "UNAUTHENTICATED"), ("restart", "UNAVAILABLE")])
async def test_an_interrupted_stream_ends_with_the_protocols_transport_error(cause: str, code: str) -> None:
    async with Harness(schema=NUMBERED).serving() as harness:
        token = member_token(ttl_seconds=60)
        async with subscribed(harness, LIVE, accept=MULTIPART, token=token) as body:
            await body.until(NEXT)
            await body.until(NEXT)
            if cause == "expired":
                harness.clock.advance(60)
            else:
                drain = asyncio.create_task(harness.drain.run())
                await eventually(lambda: harness.clock.sleeping == 3)
                harness.clock.advance(10)
                await drain
            *_, last, end = (await body.rest()).split(NEXT)
            content = msgspec.json.decode(last.split(b"\r\n\r\n")[1])
            assert content["payload"] is None
            assert [error["extensions"]["code"] for error in content["errors"]] == [code]
            assert end == b"--\r\n"
        assert harness.closes(cause) == 1
