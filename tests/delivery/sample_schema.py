"""A small schema for the doors to serve: good fields, bad ones, and streams of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import strawberry
from graphql import GraphQLError
from strawberry.types.execution import ExecutionContext

from delivery.caller import Caller

SECRET: Final = "do-not-tell-Smith"
"""In exceptions that no client and no log may see."""


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "hello"

    @strawberry.field
    def echo(self, number: int) -> int:
        return number

    @strawberry.field
    def who(self, info: strawberry.Info[Caller, None]) -> str:
        return f"{info.context.tenant_id}/{info.context.member_id or info.context.subject}"

    @strawberry.field
    def boom(self) -> str | None:
        raise ValueError(SECRET)

    @strawberry.field
    def forbidden(self) -> str | None:
        raise GraphQLError("Not yours.", extensions={"code": "FORBIDDEN"})


@strawberry.type
class Mutation:
    @strawberry.mutation
    def bump(self, by: int = 1) -> int:
        return by


def _not_found() -> int:
    raise GraphQLError("There is no such request.", extensions={"code": "NOT_FOUND"})


ended: list[str] = []
"""Streams whose cleaning up has run."""


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number

    @strawberry.subscription
    async def forever(self) -> AsyncGenerator[str, None]:
        try:
            yield "started"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("forever")

    @strawberry.subscription
    async def firehose(self, size: int) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "x" * size
                await asyncio.sleep(0)
        finally:
            ended.append("firehose")

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError(SECRET)

    @strawberry.subscription
    async def missing(self) -> AsyncGenerator[int, None]:
        yield _not_found()


class CodedSchema(strawberry.Schema):
    """Gives codes to what a client can mend, as the real schema does; the rest comes without."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            if not error.extensions and isinstance(error.original_error, GraphQLError | None):
                error.extensions = {"code": "BAD_USER_INPUT"}


SCHEMA: Final = CodedSchema(query=Query, mutation=Mutation, subscription=Subscription)
