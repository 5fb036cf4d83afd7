"""Asking the whole schema in virtual time."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from strawberry.types.execution import ExecutionResult

from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.payloads import Payloads
from delivery.rates import Rates
from schema.context import Context
from schema.execution import CoveySchema, build_schema
from schema.limits import Limits
from tests.resolvers.world import World, in_world, member

SUBMIT = """mutation Submit($input: SubmitCoverageRequestInput!) {
  submitCoverageRequest(input: $input) {
    __typename
    ... on CoverageRequestAccepted { request { ...Standing } }
    ... on CoverageAnswered { coverage { status ageSeconds source requestId } refresh { ...Standing } }
    ... on InvalidInput { problems { path code message } }
    ... on Refused { reason message retryAfterSeconds }
  }
}
fragment Standing on CoverageRequest { id memberId payerId status priority attempt queuePosition cursor }"""


def made(*, development: bool = False, limits: Limits | None = None, rates: Rates | None = None) -> CoveySchema:
    """A schema; with `asking` it needs a world, without one it can still refuse."""
    payloads = Payloads(metrics=Metrics(), new_id=lambda: "error-1")
    return build_schema(payloads=payloads, limits=limits, development=development, rates=rates)


class Asker:
    """One caller before one schema."""

    def __init__(self, world: World, schema: CoveySchema) -> None:
        self.world = world
        self.schema = schema

    async def ask(
        self, document: str, variables: dict[str, Any] | None = None, *, who: Caller | None = None
    ) -> ExecutionResult:
        context = Context(who or member(), self.world.use_cases)
        return await self.schema.execute(document, variable_values=variables, context_value=context)

    async def data(
        self, document: str, variables: dict[str, Any] | None = None, *, who: Caller | None = None
    ) -> dict[str, Any]:
        result = await self.ask(document, variables, who=who)
        assert result.errors is None, [error.formatted for error in result.errors]
        assert result.data is not None
        return result.data

    async def submit(self, *, who: Caller | None = None, **changes: Any) -> dict[str, Any]:
        answer = await self.data(SUBMIT, submit_variables(**changes), who=who)
        result: dict[str, Any] = answer["submitCoverageRequest"]
        return result

    async def follow(
        self, document: str, variables: dict[str, Any] | None = None, *, who: Caller | None = None
    ) -> AsyncGenerator[ExecutionResult, None]:
        context = Context(who or member(), self.world.use_cases)
        stream: Any = await self.schema.stream(document, variable_values=variables, context_value=context)
        return stream  # type: ignore[no-any-return] # of results only: nothing here is delivered incrementally


def submit_variables(**changes: Any) -> dict[str, Any]:
    """Variables of SUBMIT; changes of the submission, or of its question."""
    own = {name: changes.pop(name) for name in list(changes) if name not in _QUESTION}
    return {"input": {"question": question_input(**changes)} | own}


_QUESTION = {"memberId", "payerId", "subscriber", "dependent", "provider", "serviceTypeCodes", "dateOfService"}


def question_input(**changes: Any) -> dict[str, Any]:
    fields = {"memberId": "m-1", "payerId": "AETNA", "subscriber": subscriber_input()} | changes
    return {name: value for name, value in fields.items() if value is not ...}


def subscriber_input(**changes: Any) -> dict[str, Any]:
    fields = {
        "memberId": "W000000001",
        "firstName": "Ana",
        "lastName": "Rivera",
        "dateOfBirth": "1980-01-01",
    } | changes
    return {name: value for name, value in fields.items() if value is not ...}


def asking(
    scenario: Callable[[Asker], Awaitable[None]],
    *,
    development: bool = False,
    limits: Limits | None = None,
    slots: int = 15,
) -> None:
    """Run a scenario from start to end."""

    async def with_world(world: World) -> None:
        await scenario(Asker(world, made(development=development, limits=limits)))

    in_world(with_world, slots=slots)


def formatted(result: ExecutionResult) -> list[dict[str, Any]]:
    """The errors as clients get them."""
    return [{**error.formatted} for error in result.errors or ()]


def codes(result: ExecutionResult) -> list[str]:
    """Of the errors, each of which has one."""
    return [error.formatted["extensions"]["code"] for error in result.errors or ()]


def literal(value: Any) -> str:
    """The value as it is written in a document."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)
