"""The stream of payers: their present state, then what happens."""

from __future__ import annotations

from bus.replay import Checkpoint, Gap, GapReason
from tests.bus.conftest import (
    answered,
    downtime,
    submitted,
)
from tests.bus.stream_bench import T1, Bench
from tests.bus.test_replay import nothing_comes, positions, take, whole_request, with_log


def test_a_member_hears_of_every_request_and_of_payers_from_now_on() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(*whole_request("old"), downtime())
        stream = bench.member()
        (checkpoint,) = await take(stream, 1)
        assert isinstance(checkpoint, Checkpoint)
        bench.log.write(submitted("a"), submitted("b"), submitted("foreign", member="m2"), answered(), downtime("X"))
        assert sorted(positions(await take(stream, 3))) == [7, 8, 11]
        await nothing_comes(stream, bench.clock)

    with_log(scenario)


def test_the_present_state_of_payers_comes_first_then_a_checkpoint_then_what_happens() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"), downtime("B"), submitted(), downtime("A", available=True))
        stream = bench.payers()
        items = await take(stream, 3)
        assert positions(items) == [2, 4]
        assert isinstance(items[2], Checkpoint)
        bench.log.write(downtime("B", available=True))
        assert positions(await take(stream, 1)) == [5]
        assert positions(await take(bench.payers(items[2].cursor), 2)) == [5]
        assert positions(await take(bench.payers(items[0].cursor), 3)) == [4, 5]

    with_log(scenario)


def test_only_the_wanted_payers_are_told_of() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"), downtime("B"))
        stream = bench.payers(None, "B", "C")
        assert positions(await take(stream, 2)) == [2]
        bench.log.write(downtime("A"), downtime("C"))
        assert positions(await take(stream, 1)) == [4]

    with_log(scenario)


def test_payers_that_may_not_be_seen_are_left_out_of_the_present_state_too() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"), downtime("B"))
        stream = bench.streams.payers(T1, None, None, lambda recorded: recorded.event.subject == "B")
        items = await take(stream, 2)
        assert positions(items) == [2]
        assert isinstance(items[1], Checkpoint)

    with_log(scenario)


def test_a_bad_cursor_of_payers_gives_a_gap_and_no_present_state() -> None:
    async def scenario(bench: Bench) -> None:
        bench.log.write(downtime("A"))
        stream = bench.payers("junk")
        (gap,) = await take(stream, 1)
        assert isinstance(gap, Gap) and gap.reason is GapReason.UNKNOWN_CURSOR
        bench.log.write(downtime("B"))
        assert positions(await take(stream, 1)) == [2]

    with_log(scenario)
