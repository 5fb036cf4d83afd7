"""The mutations."""
# mypy: disallow-untyped-decorators=False
# Strawberry's decorators have no types.

from __future__ import annotations

import strawberry

from schema.connections import AccessRevoked, RevokeAccessInput
from schema.context import ContextInfo
from schema.inputs import SubmitCoverageRequestInput
from schema.results import (
    CancelCoverageRequestResult,
    SubmitCoverageRequestResult,
    cancel_result,
    submit_result,
)


@strawberry.type(description="What can be done.")
class Mutation:
    @strawberry.mutation(
        description="Ask whether somebody is covered. Answers at once: from the cache, or with a request to follow."
    )
    async def submit_coverage_request(
        self,
        info: ContextInfo,
        input: SubmitCoverageRequestInput,  # noqa: A002 - the contract's name
    ) -> SubmitCoverageRequestResult:
        return submit_result(await info.context.use_cases.submission.submit(info.context.caller, input.given()))

    @strawberry.mutation(description="Give a request up. It ends at once; a call under way runs on.")
    async def cancel_coverage_request(
        self,
        info: ContextInfo,
        id: strawberry.ID,  # noqa: A002 - the contract's name
    ) -> CancelCoverageRequestResult:
        return cancel_result(await info.context.use_cases.cancellation.cancel(info.context.caller, id))

    @strawberry.mutation(
        description="Operators only: end tokens of the tenant before their time, and the connections opened with them."
    )
    async def revoke_access(
        self,
        info: ContextInfo,
        input: RevokeAccessInput,  # noqa: A002 - the contract's name
    ) -> AccessRevoked:
        until = await info.context.use_cases.operations.revoke(
            info.context.caller, member_id=input.member_id, token_id=input.token_id, everybody=input.everybody
        )
        return AccessRevoked(remembered_until=until)
