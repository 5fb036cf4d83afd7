"""What an operation costs is charged to its caller's bucket, once the schema knows it."""

from __future__ import annotations

from typing import Any

import pytest

from delivery.caller import Caller
from delivery.errors import RateLimited
from delivery.rates import Rates
from schema.limits import Limits
from tests.resolvers.world import World, in_world, member, service
from tests.schema.asking import SUBMIT, Asker, formatted, made, submit_variables
from tests.schema.hostile import HOSTILE

BURST = 200
PADDED = "{ me { id } } #" + "x" * 2_000
NODES = "coverageRequests(first: 100) { edges { node { id status } } }"


def left(rates: Rates, who: Caller) -> int:
    """How many operations the caller has left."""
    for count in range(BURST + 1):
        try:
            rates.take(who)
        except RateLimited:
            return count
    return BURST + 1


async def _spent(
    world: World, documents: list[str], variables: dict[str, Any] | None = None, who: Caller | None = None
) -> int:
    """How much these documents of one caller cost beyond an operation each, which the doors take."""
    rates = Rates(clock=world.clock, burst=BURST)
    asker = Asker(world, made(rates=rates))
    for document in documents:
        await asker.ask(document, variables, who=who)
    return BURST - left(rates, who or member())


@pytest.mark.parametrize(
    ("documents", "spent"),
    [
        (["{ me { id } }"], 0),
        ([SUBMIT], len(SUBMIT) // 512),  # a submission counts as one operation
        ([SUBMIT] * 5, len(SUBMIT) // 512),
        ([f"{{ {NODES} }}"], (11 + 225 - 150) // 25),
        ([f"{{ {NODES} }}"] * 3, (11 + 225 - 150) // 25 * 3),
        ([PADDED], len(PADDED) // 512),
        ([PADDED] * 3, len(PADDED) // 512),
        ([PADDED, PADDED + " "], 2 * (len(PADDED) // 512)),
        ([HOSTILE["many unknown fields"][0]] * 3, len(HOSTILE["many unknown fields"][0]) // 512),
        ([HOSTILE["over the tokens"][0]], len(HOSTILE["over the tokens"][0]) // 512),
        ([HOSTILE["over the size"][0]], 0),  # is seen without reading it
        ([f"{{ a: {NODES} b: {NODES} c: {NODES} d: {NODES} e: {NODES} }}"], 0),  # is not run
    ],
)
def test_what_an_operation_costs_beyond_one_is_charged(documents: list[str], spent: int) -> None:
    async def scenario(world: World) -> None:
        assert await _spent(world, documents, submit_variables() if SUBMIT in documents else None) == spent

    in_world(scenario)


def test_services_are_charged_nothing() -> None:
    async def scenario(world: World) -> None:
        assert await _spent(world, [PADDED], who=service()) == -1  # there is always more

    in_world(scenario)


def test_a_caller_who_asked_for_much_waits_before_the_next() -> None:
    async def scenario(world: World) -> None:
        rates = Rates(clock=world.clock, operations_per_second=10, burst=3)
        asker = Asker(world, made(rates=rates))
        rates.take(member())
        await asker.ask(f"{{ {NODES} }}")
        with pytest.raises(RateLimited):
            rates.take(member())
        await world.clock.sleep(0.2)
        rates.take(member())

    in_world(scenario)


def test_thirty_questions_about_coverage_cost_as_much_as_thirty_operations() -> None:
    async def scenario(world: World) -> None:
        asked = "query($q: CoverageQuestion!) { %s }"
        questions = " ".join(f"a{number}: coverage(input: $q) {{ status }}" for number in range(30))
        question = submit_variables(payerId="unheard of")["input"]["question"]
        spent = await _spent(world, [asked % questions], {"q": question})
        assert spent - len(questions) // 512 >= 30
        over = Asker(world, made(limits=Limits(complexity=900)))
        assert "too costly" in formatted(await over.ask(asked % questions, {"q": question}))[0]["message"]

    in_world(scenario)
