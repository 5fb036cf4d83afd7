"""Whoever reads the same reads it together, and nobody notices."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import LogUnavailable
from bus.events import Recorded, Topic
from bus.replay import Delivered, StreamItem
from tests.bus.conftest import downtime, submitted
from tests.bus.keeping_log import KeepingLog
from tests.bus.stream_bench import M1, T1, Bench
from tests.bus.test_replay_property import (
    Append,
    Consume,
    Cut,
    Move,
    StreamClient,
    Writers,
    Yield,
    counted,
    moves,
    pauses,
    positions_of,
)
from tests.virtual_time import run_virtually

_CLIENTS = 3
turns = st.lists(st.integers(0, _CLIENTS - 1), max_size=40)


async def _play(moves: list[Move], turns: list[int], pauses: list[int], bounds: tuple[int, int, int]) -> None:
    paces = chain(pauses, repeat(0))

    async def pause() -> None:
        for _ in range(next(paces)):
            await asyncio.sleep(0)

    log = KeepingLog(pause)
    tail_bound, batch, reader_bound = bounds
    async with Bench(log, tail_bound=tail_bound, batch=batch, reader_bound=reader_bound).running() as bench:
        writers = Writers(log)
        clients = [StreamClient(bench.member) for _ in range(_CLIENTS)]
        for client in clients:
            await client.consume(1, patience=500)
        for move, turn in zip(moves, chain(turns, repeat(0)), strict=False):
            await _make(move, clients[turn], writers)
        for client in clients:
            while await client.consume(1, patience=2_000):
                pass
        assert bench.clock.monotonic() == 0  # nothing was healed by a later look
        for client in clients:
            await client.cut()
    whole = list(counted(log.events))
    for client in clients:
        assert positions_of(client.collected, Topic.RTE) == positions_of(whole, Topic.RTE, "m1")
        assert positions_of(client.collected, Topic.PAYER) == positions_of(whole, Topic.PAYER)


async def _make(move: Move, client: StreamClient, writers: Writers) -> None:
    match move:
        case Append():
            writers.write(move.picks)
        case Consume():
            await client.consume(move.items)
        case Cut():
            await client.cut()
        case Yield():
            for _ in range(move.steps):
                await asyncio.sleep(0)


@settings(deadline=None, max_examples=150)
@given(moves, turns, pauses, st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4)))
def test_each_of_several_collects_each_event_once_and_in_order_however_slow_or_cut_off(
    moves: list[Move], turns: list[int], pauses: list[int], bounds: tuple[int, int, int]
) -> None:
    run_virtually(_play(moves, turns, pauses, bounds))


async def _events(stream: object, count: int) -> list[Delivered]:
    got: list[Delivered] = []
    async for item in stream:  # type: ignore[attr-defined] # a generator of items
        if isinstance(item, Delivered):
            got.append(item)
        if len(got) == count:
            break
    return got


def _others_only(recorded: Recorded) -> bool:
    return recorded.event.member_id != M1


def test_those_who_may_see_the_same_are_given_the_same_object_and_others_are_not() -> None:
    async def scenario() -> None:
        log = KeepingLog()
        async with Bench(log).running() as bench:
            together = [bench.member(), bench.member()]
            apart = bench.streams.member(T1, M1, None, _others_only)
            for stream in (*together, apart):
                await anext(stream)
            log.write(submitted("r0", member="m1"))
            first, second = [(await _events(stream, 1))[0] for stream in together]
            assert first is second
            assert first.encodings == {}
            hidden: asyncio.Task[StreamItem] = asyncio.create_task(anext(apart))
            for _ in range(200):
                await asyncio.sleep(0)
            assert not hidden.done()
            hidden.cancel()
            await asyncio.wait({hidden})
            for stream in (*together, apart):
                await stream.aclose()
            assert not bench.streams._player._relays

    run_virtually(scenario())


def test_one_who_does_not_read_keeps_nobody_waiting_and_misses_nothing() -> None:
    async def scenario() -> None:
        log = KeepingLog()
        async with Bench(log, reader_bound=4).running() as bench:
            still, quick = bench.member(), bench.member()
            await anext(still)
            await anext(quick)
            for number in range(40):
                log.write(submitted(f"r{number}", member="m1"))
                assert (await _events(quick, 1))[0].recorded.event.subject == f"r{number}"
            late = await _events(still, 40)
            assert [item.recorded.event.subject for item in late] == [f"r{number}" for number in range(40)]
            await still.aclose()
            await quick.aclose()

    run_virtually(scenario())


def test_what_ends_a_shared_stream_ends_it_for_all_and_the_next_begins_anew() -> None:
    async def scenario() -> None:
        log = KeepingLog()
        async with Bench(log).running() as bench:
            streams = [bench.member(), bench.member()]
            for stream in streams:
                await anext(stream)
            whole = log.read_request

            async def away(*_: object, **__: object) -> list[Recorded]:
                raise LogUnavailable("away")

            log.read_request = away  # type: ignore[method-assign] # as when Kafka is lost
            log.write(submitted("r0", member="m1"))
            for stream in streams:
                with pytest.raises(LogUnavailable):
                    await _events(stream, 1)
            log.read_request = whole  # type: ignore[method-assign]
            again = bench.member()
            await anext(again)
            log.write(submitted("r1", member="m1"))
            assert (await _events(again, 1))[0].recorded.event.subject == "r1"
            await again.aclose()

    run_virtually(scenario())


def test_one_who_resumes_ahead_of_the_others_is_given_nothing_twice_and_no_cursor_that_would_be() -> None:
    async def scenario() -> None:
        log = KeepingLog()
        elsewhere, bench = Bench(log), Bench(log)
        async with elsewhere.running(), bench.fanout:  # here nothing is read yet: events come by hand
            behind, there = bench.member(), elsewhere.member()
            await anext(behind)
            await anext(there)
            log.write(submitted("r0", member="m1"), downtime("P1", available=False))
            had = await _events(there, 2)
            ahead = bench.member(had[-1].cursor)
            await anext(ahead)
            log.write(submitted("r1", member="m1"))
            await bench.fanout.take([recorded for recorded in log.events if recorded.event.topic is Topic.RTE])
            assert [item.recorded.event.subject for item in await _events(behind, 2)] == ["r0", "r1"]
            (own,) = await _events(ahead, 1)
            assert own.recorded.event.subject == "r1"
            again = elsewhere.member(own.cursor)
            log.write(submitted("r2", member="m1"))
            assert [item.recorded.event.subject for item in await _events(again, 1)] == ["r2"]
            for stream in (behind, there, ahead, again):
                await stream.aclose()

    run_virtually(scenario())


def test_what_goes_wrong_while_an_event_is_handed_on_ends_the_stream() -> None:
    def cannot_tell(recorded: Recorded) -> bool:
        raise ValueError(recorded.position)

    async def scenario() -> None:
        log = KeepingLog()
        async with Bench(log).running() as bench:
            stream = bench.streams.payers(T1, None, None, cannot_tell)
            await anext(stream)
            log.write(downtime("P1", available=False))  # of a payer, so that nothing has to be read for it
            with pytest.raises(ValueError, match="1"):
                await anext(stream)

    run_virtually(scenario())


def test_more_streams_and_more_events_than_one_turn_takes_are_all_handed_on_in_order() -> None:
    async def scenario() -> None:
        log = KeepingLog()
        async with Bench(log).running() as bench:
            streams = [
                bench.streams.payers(T1, None, None, lambda _, number=number: number >= 0)  # type: ignore[misc]
                for number in range(130)
            ]
            for stream in streams:
                await anext(stream)
            log.write(*(downtime(f"P{number}", available=False) for number in range(40)))
            for stream in streams:
                got = await _events(stream, 40)
                assert [item.recorded.event.subject for item in got] == [f"P{number}" for number in range(40)]
                await stream.aclose()

    run_virtually(scenario())
