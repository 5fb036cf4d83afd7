from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from strawberry.types.execution import ExecutionResult, PreExecutionError
from structlog.testing import capture_logs

from bus.errors import LogUnavailable
from bus.replay import Checkpoint, StreamItem
from delivery.caller import Caller
from delivery.payloads import EncodedResult
from tests.resolvers.world import AETNA, MEMBER, OTHER_TENANT, member, operator, service
from tests.scheduler.world import rejection
from tests.schema.asking import Asker, asking, codes

REQUEST = """subscription Follow($id: ID!, $after: Cursor, $progress: Boolean! = false) {
  coverageRequestEvents(requestId: $id, after: $after, progress: $progress) {
    __typename
    ... on Update { cursor }
    ... on CoverageRequestEvent {
      id type time sequence attempt requestId memberId payerId queuePosition estimatedWaitSeconds
      coverage { status source ageSeconds planName } failure { code kind }
    }
    ... on QueueProgress { requestId place: queuePosition estimatedWaitSeconds }
    ... on Gap { reason }
  }
}"""
MEMBER_EVENTS = """subscription Mine($member: ID, $after: Cursor) {
  memberEvents(memberId: $member, after: $after) {
    __typename
    ... on Update { cursor }
    ... on CoverageRequestEvent { type requestId }
    ... on PayerEvent { payerId available since id time }
    ... on Gap { reason }
  }
}"""
PAYERS = """subscription Payers($ids: [ID!], $after: Cursor) {
  payerEvents(payerIds: $ids, after: $after) {
    __typename
    ... on Update { cursor }
    ... on PayerEvent { payerId available }
  }
}"""


async def items(stream: AsyncGenerator[ExecutionResult, None], field: str, most: int = 100) -> list[dict[str, Any]]:
    """The items of a stream, up to so many; the stream is closed then."""
    got: list[dict[str, Any]] = []
    async for result in stream:
        assert result.errors is None, [error.formatted for error in result.errors]
        assert result.data is not None
        got.append(result.data[field])
        if len(got) == most:
            break
    await stream.aclose()
    return got


async def follow(asker: Asker, request_id: str, **variables: Any) -> list[dict[str, Any]]:
    stream = await asker.follow(REQUEST, {"id": request_id} | variables, who=service())
    return await items(stream, "coverageRequestEvents")


def test_a_request_is_followed_to_its_end_and_resumed_from_every_cursor() -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        events = await follow(asker, request["id"])
        assert [event["type"] for event in events] == ["SUBMITTED", "ENQUEUED", "SCHEDULED", "STARTED", "COMPLETED"]
        assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5]
        assert {event["__typename"] for event in events} == {"CoverageRequestEvent"}
        assert events[1]["queuePosition"] == 1
        assert events[-1]["coverage"] == {"status": "ACTIVE", "source": "PAYER", "ageSeconds": 0.0, "planName": None}
        assert events[0]["time"] == "2026-11-23T12:00:00Z"
        for seen, event in enumerate(events, start=1):
            later = await follow(asker, request["id"], after=event["cursor"])
            assert [item["sequence"] for item in later] == list(range(seen + 1, 6))
        resumed = await follow(asker, request["id"], after=request["cursor"])
        assert [event["type"] for event in resumed] == ["SCHEDULED", "STARTED", "COMPLETED"]
        (gap,) = await follow(asker, request["id"], after="made up")
        assert (gap["__typename"], gap["reason"]) == ("Gap", "UNKNOWN_CURSOR")
        assert gap["cursor"]

    asking(scenario)


def test_a_failure_is_told_in_its_event() -> None:
    async def scenario(asker: Asker) -> None:
        asker.world.scheduler.payer.script = [rejection()]
        request = (await asker.submit())["request"]
        last = (await follow(asker, request["id"]))[-1]
        assert (last["type"], last["failure"]) == ("FAILED", {"code": "75", "kind": "MEMBER_DATA"})

    asking(scenario)


def test_progress_comes_between_events() -> None:
    async def scenario(asker: Asker) -> None:
        for name in ("Ann", "Bea", "Cho"):
            result = await asker.submit(who=service(), memberId=name)
        events = await follow(asker, result["request"]["id"], progress=True)
        progress = [event for event in events if event["__typename"] == "QueueProgress"]
        assert [event["place"] for event in progress][-1] == 1
        assert {event["requestId"] for event in progress} == {result["request"]["id"]}
        assert events[-1]["type"] == "COMPLETED"

    asking(scenario, slots=1)


@pytest.mark.parametrize("who", [member("m-2"), operator(), member(MEMBER, OTHER_TENANT), service(OTHER_TENANT)])
def test_a_request_of_another_is_not_found_before_any_stream_starts(who: Caller) -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        told = []
        for request_id in (request["id"], "unknown"):
            stream = await asker.follow(REQUEST, {"id": request_id}, who=who)
            (result,) = [result async for result in stream]
            assert isinstance(result, PreExecutionError)
            assert codes(result) == ["NOT_FOUND"]
            told.append([error.formatted for error in result.errors or ()])
        assert told[0] == told[1]

    asking(scenario)


def test_a_member_follows_everything_of_their_own_from_a_checkpoint_on() -> None:
    async def scenario(asker: Asker) -> None:
        stream = await asker.follow(MEMBER_EVENTS)
        first = await anext(stream)
        assert first.data is not None
        assert first.data["memberEvents"]["__typename"] == "Checkpoint"
        await asker.submit(who=service(), memberId="m-2")
        await asker.world.downtime(AETNA, available=False)
        await asker.submit()
        got = await items(stream, "memberEvents", 6)
        assert sorted(item["__typename"] for item in got) == [*["CoverageRequestEvent"] * 5, "PayerEvent"]
        (payer,) = [item for item in got if item["__typename"] == "PayerEvent"]
        assert (payer["payerId"], payer["available"]) == (AETNA, False)
        again = await asker.follow(MEMBER_EVENTS, {"after": got[-1]["cursor"]})
        (checkpoint,) = await items(again, "memberEvents", 1)
        assert checkpoint["__typename"] == "Checkpoint"
        other = await asker.follow(MEMBER_EVENTS, {"after": got[-1]["cursor"]}, who=member("m-2"))
        (gap,) = await items(other, "memberEvents", 1)
        assert gap["reason"] == "UNKNOWN_CURSOR"

    asking(scenario)


@pytest.mark.parametrize(
    ("who", "whose", "code"),
    [
        (member(), "m-2", "FORBIDDEN"),
        (operator(), None, "FORBIDDEN"),
        (service(), None, "BAD_USER_INPUT"),
    ],
)
def test_a_stream_that_may_not_be_is_refused(who: Caller, whose: str | None, code: str) -> None:
    async def scenario(asker: Asker) -> None:
        stream = await asker.follow(MEMBER_EVENTS, {"member": whose}, who=who)
        assert [codes(result) async for result in stream] == [[code]]

    asking(scenario)


def test_what_two_of_the_same_sockets_are_told_of_an_event_is_encoded_once() -> None:
    async def scenario(asker: Asker) -> None:
        streams = [await asker.follow(MEMBER_EVENTS) for _ in range(2)]
        for stream in streams:
            await anext(stream)  # the Checkpoint
        await asker.submit()
        first, second = [await anext(stream) for stream in streams]
        assert isinstance(first, EncodedResult) and isinstance(second, EncodedResult)
        assert first.payload is second.payload
        for stream in streams:
            await stream.aclose()

    asking(scenario)


def test_payers_are_followed_by_any_id() -> None:
    async def scenario(asker: Asker) -> None:
        await asker.world.downtime(AETNA, available=False)
        got = await items(await asker.follow(PAYERS, {"ids": ["aetna"]}, who=operator()), "payerEvents", 2)
        assert [item["__typename"] for item in got] == ["PayerEvent", "Checkpoint"]
        assert (got[0]["payerId"], got[0]["available"]) == (AETNA, False)
        refused = await asker.follow(PAYERS, {"ids": ["nobody"]})
        (result,) = [result async for result in refused]
        assert codes(result) == ["BAD_USER_INPUT"]
        assert (result.errors or [])[0].formatted["extensions"]["path"] == ["payerIds", "0"]

    asking(scenario)


@pytest.mark.parametrize(("error", "code"), [(LogUnavailable("gone"), "UNAVAILABLE"), (RuntimeError("x"), "INTERNAL")])
def test_a_stream_that_breaks_off_says_so_and_ends(error: Exception, code: str) -> None:
    async def scenario(asker: Asker) -> None:
        async def broken(*_: Any, **__: Any) -> AsyncGenerator[StreamItem, None]:
            yield Checkpoint(cursor="c-1")
            raise error

        asker.world.streams.member = broken  # type: ignore[method-assign] # to see what comes of it
        stream = await asker.follow(MEMBER_EVENTS)
        with capture_logs():
            results = [result async for result in stream]
        assert [codes(result) for result in results] == [[], [code]]
        assert results[-1].data is None

    asking(scenario)


def test_one_event_that_cannot_be_told_does_not_end_the_stream() -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        real = asker.world.use_cases.answers.coverage
        asker.world.use_cases.answers.coverage = lambda coverage, source: real(coverage, None)  # type: ignore[method-assign, arg-type] # no source
        stream = await asker.follow(REQUEST, {"id": request["id"]})
        with capture_logs():
            results = [result async for result in stream]
        assert [codes(result) for result in results] == [[], [], [], [], ["INTERNAL"]]

    asking(scenario)


@pytest.mark.parametrize("progress", [False, True])
def test_closing_a_stream_lets_go_of_everything_under_it(progress: bool) -> None:
    async def scenario(asker: Asker) -> None:
        asker.world.scheduler.payer.seconds = 1000
        request = (await asker.submit())["request"]
        await asker.world.clock.sleep(1)
        before = {task.get_name() for task in asyncio.all_tasks()}
        stream = await asker.follow(REQUEST, {"id": request["id"], "progress": progress})
        for _ in range(4):
            await anext(stream)
        waiting = asyncio.create_task(anext(stream))
        await asker.world.clock.sleep(10)
        assert {task.get_name() for task in asyncio.all_tasks()} > before
        waiting.cancel()
        await asyncio.wait({waiting})
        await stream.aclose()
        assert {task.get_name() for task in asyncio.all_tasks()} == before

    asking(scenario)
