"""The subscriptions."""
# mypy: disallow-untyped-decorators=False
# Strawberry's decorators have no types.

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import cast

import strawberry

from schema.context import ContextInfo
from schema.scalars import Cursor
from schema.updates import CoverageRequestUpdate, MemberUpdate, PayerUpdate


# Each awaits what may refuse it before it gives a generator, so that a refusal comes instead of a stream. The items are
# the domain's; `schema/event_answers.py` tells each in GraphQL's types, which the field's union holds it to.
@strawberry.type(description="What can be followed.")
class Subscription:
    @strawberry.subscription(
        description="One request's events, from `after` (from its first event when null), then live. Completes after "
        "the terminal event. `progress`: also QueueProgress items while it waits, at most every 2 s, when changed."
    )
    async def coverage_request_events(
        self, info: ContextInfo, request_id: strawberry.ID, after: Cursor | None = None, progress: bool = False
    ) -> AsyncGenerator[CoverageRequestUpdate, None]:
        subscriptions, caller = info.context.use_cases.subscriptions, info.context.caller
        items = await subscriptions.request(caller, request_id, after=after, progress=progress)
        return cast("AsyncGenerator[CoverageRequestUpdate, None]", items)

    @strawberry.subscription(
        description="Everything the member may see, from `after` (from now when null). A Checkpoint comes first, and "
        "again on idle streams, so that a client always holds a fresh cursor. Services name the member."
    )
    async def member_events(
        self, info: ContextInfo, member_id: strawberry.ID | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[MemberUpdate, None]:
        items = info.context.use_cases.subscriptions.member(info.context.caller, member_id, after=after)
        return cast("AsyncGenerator[MemberUpdate, None]", items)

    @strawberry.subscription(
        description="Payers going down and coming back: of these payers (ids or aliases), or of all. The present state "
        "comes first when `after` is null."
    )
    async def payer_events(
        self, info: ContextInfo, payer_ids: list[strawberry.ID] | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[PayerUpdate, None]:
        items = info.context.use_cases.subscriptions.payers(info.context.caller, payer_ids, after=after)
        return cast("AsyncGenerator[PayerUpdate, None]", items)
