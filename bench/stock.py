"""The alternative that submits are measured against: Strawberry as it comes, with a mutation that does nothing."""

from __future__ import annotations

import sys

import strawberry
import uvicorn
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    ready: bool = True


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def nothing(self) -> bool:
        return True


if __name__ == "__main__":
    schema = strawberry.Schema(query=Query, mutation=Mutation)
    uvicorn.run(GraphQL(schema), port=int(sys.argv[1]), log_level="error", access_log=False)
