"""A schema whose streams can be resumed: numbers, each with its own as cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final, NewType

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionResult

from delivery.payloads import EventResult
from tests.delivery.sample_schema import CodedSchema, Mutation, Query
from tests.delivery.sample_schema import Subscription as SampleSubscription

Cursor = NewType("Cursor", str)


@strawberry.type
class Numbered:
    number: int


@strawberry.type
class Subscription(SampleSubscription):
    @strawberry.subscription
    async def numbers(self, to: int, after: Cursor | None = None, live: bool = False) -> AsyncGenerator[Numbered, None]:
        """From 1, or behind `after`; `live`: does not end."""
        for number in range(int(after or 0) + 1, to + 1):
            yield Numbered(number=number)
        if live:
            await asyncio.Event().wait()

    @strawberry.subscription
    async def bulk(self, size: int) -> AsyncGenerator[str, None]:
        """One item of this size, and nothing more."""
        yield "x" * size
        await asyncio.Event().wait()


class NumberedSchema(CodedSchema):
    """Tells the cursor of every number, as the real schema does for its items."""

    async def stream(self, *args: Any, **kwargs: Any) -> Any:
        return _with_cursors(await super().stream(*args, **kwargs))


async def _with_cursors(results: Any) -> AsyncGenerator[ExecutionResult, None]:
    try:
        async for result in results:
            item = next(iter((result.data or {}).values()), None)
            number = item.get("number") if isinstance(item, dict) else None
            yield result if number is None else EventResult(result, str(number))
    finally:
        await results.aclose()


NUMBERED: Final = NumberedSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map={Cursor: strawberry.scalar(name="Cursor", serialize=str, parse_value=str)}),
)
