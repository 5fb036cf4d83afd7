"""Strawberry as it comes, over uvicorn: python -m bench.gateway.stock_server PORT FEED"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import strawberry
import uvicorn
from strawberry.asgi import GraphQL

from bench.gateway.rival_feed import open_feed


@strawberry.interface
class Update:
    cursor: str


@strawberry.type
class Coverage:
    status: str
    plan_name: str | None


@strawberry.type
class Failure:
    code: str
    kind: str
    message: str


@strawberry.type
class Checkpoint(Update):
    pass


@strawberry.type
class CoverageRequestEvent(Update):
    id: strawberry.ID
    type: str
    time: str
    sequence: int
    attempt: int
    request_id: strawberry.ID
    member_id: strawberry.ID
    payer_id: strawberry.ID
    queue_position: int | None
    estimated_wait_seconds: float | None
    coverage: Coverage | None
    failure: Failure | None


MemberUpdate = Annotated[CoverageRequestEvent | Checkpoint, strawberry.union("MemberUpdate")]
queues: defaultdict[str, set[asyncio.Queue[CoverageRequestEvent]]] = defaultdict(set)


def take(member: str, line: bytes) -> None:
    given: dict[str, Any] = json.loads(line)
    coverage = given["coverage"]
    event = CoverageRequestEvent(
        cursor=given["cursor"],
        id=given["id"],
        type=given["type"],
        time=given["time"],
        sequence=given["sequence"],
        attempt=given["attempt"],
        request_id=given["requestId"],
        member_id=given["memberId"],
        payer_id=given["payerId"],
        queue_position=given["queuePosition"],
        estimated_wait_seconds=given["estimatedWaitSeconds"],
        coverage=None if coverage is None else Coverage(status=coverage["status"], plan_name=coverage["planName"]),
        failure=None,
    )
    for queue in queues[member]:
        queue.put_nowait(event)


@strawberry.type
class Query:
    ready: bool = True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def member_events(self, member_id: strawberry.ID) -> AsyncGenerator[MemberUpdate, None]:
        queue: asyncio.Queue[CoverageRequestEvent] = asyncio.Queue()
        queues[member_id].add(queue)
        try:
            yield Checkpoint(cursor="c")
            while True:
                yield await queue.get()
        finally:
            queues[member_id].discard(queue)


async def main() -> None:
    read_feed = await open_feed(sys.argv[2])
    schema = strawberry.Schema(query=Query, subscription=Subscription)
    config = uvicorn.Config(
        GraphQL(schema), port=int(sys.argv[1]), log_level="error", access_log=False, ws_per_message_deflate=False
    )
    feed = asyncio.create_task(read_feed(take))
    await uvicorn.Server(config).serve()
    feed.cancel()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
