"""The subscriptions."""
# mypy: disallow-untyped-decorators=False
# Strawberry's decorators have no types.

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import strawberry

from bus.replay import StreamItem
from resolvers.answers import Answers
from resolvers.progress import QueueProgress
from schema.context import ContextInfo
from schema.scalars import Cursor
from schema.updates import CoverageRequestUpdate, MemberUpdate, PayerUpdate, update_of


# Each awaits what may refuse it before it gives a generator, so that a refusal comes instead of a stream.
@strawberry.type(description="What can be followed.")
class Subscription:
    @strawberry.subscription(
        description="One request's events, from `after` (from its first event when null), then live. Completes after "
        "the terminal event. `progress`: also QueueProgress items while it waits, at most every 2 s, when changed."
    )
    async def coverage_request_events(
        self, info: ContextInfo, request_id: strawberry.ID, after: Cursor | None = None, progress: bool = False
    ) -> AsyncGenerator[CoverageRequestUpdate, None]:
        use_cases, caller = info.context.use_cases, info.context.caller
        items = await use_cases.subscriptions.request(caller, request_id, after=after, progress=progress)
        return _updates(items, use_cases.answers)

    @strawberry.subscription(
        description="Everything the member may see, from `after` (from now when null). A Checkpoint comes first, and "
        "again on idle streams, so that a client always holds a fresh cursor. Services name the member."
    )
    async def member_events(
        self, info: ContextInfo, member_id: strawberry.ID | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[MemberUpdate, None]:
        use_cases = info.context.use_cases
        items = use_cases.subscriptions.member(info.context.caller, member_id, after=after)
        return _updates(items, use_cases.answers)

    @strawberry.subscription(
        description="Payers going down and coming back: of these payers (ids or aliases), or of all. The present state "
        "comes first when `after` is null."
    )
    async def payer_events(
        self, info: ContextInfo, payer_ids: list[strawberry.ID] | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[PayerUpdate, None]:
        use_cases = info.context.use_cases
        items = use_cases.subscriptions.payers(info.context.caller, payer_ids, after=after)
        return _updates(items, use_cases.answers)


async def _updates(
    items: AsyncGenerator[StreamItem, None] | AsyncGenerator[StreamItem | QueueProgress, None], answers: Answers
) -> AsyncGenerator[Any, None]:
    """The items in GraphQL's types, which the field's union holds each to."""
    async with aclosing(items):
        async for item in items:
            yield update_of(item, answers)
