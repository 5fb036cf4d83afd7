"""The queries."""
# mypy: disallow-untyped-decorators=False
# Strawberry's decorators have no types.

from __future__ import annotations

import strawberry

from bus.fold import RequestStatus
from schema.connections import InstanceConnections
from schema.context import ContextInfo
from schema.coverage import Coverage
from schema.inputs import CoverageQuestionInput
from schema.me import Me
from schema.payers import Payer, PayerConnection
from schema.requests import CoverageRequest, CoverageRequestConnection
from schema.scheduler import SchedulerStatus


@strawberry.type(description="What can be read.")
class Query:
    @strawberry.field(description="Who is calling.")
    def me(self, info: ContextInfo) -> Me:
        return Me.of(info.context.caller)

    @strawberry.field(
        description="A request by polling: for clients without a socket, and while events are cut off. Null when "
        "unknown or not the caller's to see."
    )
    async def coverage_request(self, info: ContextInfo, id: strawberry.ID) -> CoverageRequest | None:  # noqa: A002 - the contract's name
        answer = await info.context.use_cases.requests.get(info.context.caller, id)
        return None if answer is None else CoverageRequest.of(answer)

    @strawberry.field(
        description="Requests, newest first: a member's own, or for services those of the tenant or of one member."
    )
    async def coverage_requests(
        self,
        info: ContextInfo,
        member_id: strawberry.ID | None = None,
        status: list[RequestStatus] | None = None,
        first: int = 20,
        after: str | None = None,
    ) -> CoverageRequestConnection:
        page = await info.context.use_cases.requests.page(
            info.context.caller, member_id=member_id, statuses=status or (), first=first, after=after
        )
        return CoverageRequestConnection.of(page)

    @strawberry.field(description="What the cache holds, however old. Never calls a payer.")
    async def coverage(self, info: ContextInfo, input: CoverageQuestionInput) -> Coverage | None:  # noqa: A002 - the contract's name
        answer = await info.context.use_cases.cached_coverage.coverage(info.context.caller, input.given())
        return None if answer is None else Coverage.of(answer)

    @strawberry.field(description="The payer that goes by this id or alias.")
    def payer(self, info: ContextInfo, id: strawberry.ID) -> Payer | None:  # noqa: A002 - the contract's name
        found = info.context.use_cases.payers.get(id)
        return None if found is None else Payer.of(found)

    @strawberry.field(description="Payers by name; those with `search` in a name, id or alias.")
    def payers(
        self, info: ContextInfo, search: str | None = None, first: int = 20, after: str | None = None
    ) -> PayerConnection:
        use_case = info.context.use_cases.payers
        return PayerConnection.of(use_case.page(info.context.caller, search=search, first=first, after=after))

    @strawberry.field(
        description="Operators only: every instance, and how many connections the tenant has there. Nobody is named."
    )
    async def connections(self, info: ContextInfo) -> list[InstanceConnections]:
        found = await info.context.use_cases.operations.connections(info.context.caller)
        return [InstanceConnections.of(sockets) for sockets in found]

    @strawberry.field(
        description="Operators only: slots held and free, the queue by class and tenant, payers' breakers."
    )
    async def scheduler(self, info: ContextInfo) -> SchedulerStatus:
        return SchedulerStatus.of(await info.context.use_cases.operations.scheduler(info.context.caller))
