"""What mutations answer: expected failures are data."""

from __future__ import annotations

from typing import Annotated, assert_never

import strawberry

import resolvers.refusal
from resolvers.cancellation import Cancelled, CancelResult
from resolvers.refusal import Invalid, RefusalReason
from resolvers.submission import Accepted, Answered, SubmitResult
from schema.coverage import Coverage
from schema.requests import CoverageRequest


@strawberry.type(description="The request is recorded for good and under way.")
class CoverageRequestAccepted:
    request: CoverageRequest = strawberry.field(description="Follow it by its id.")


@strawberry.type(description="The cache held an answer.")
class CoverageAnswered:
    coverage: Coverage = strawberry.field(description="The answer.")
    refresh: CoverageRequest | None = strawberry.field(
        description="The one request that renews the answer in the background, if one is open."
    )


@strawberry.type(description="One mistake in what was given.")
class InputProblem:
    path: list[str] = strawberry.field(description='Where, beginning at the argument, like ["input", "question"].')
    code: str = strawberry.field(description="The kind of mistake, in upper case.")
    message: str = strawberry.field(description="What is allowed; never repeats what was given.")


@strawberry.type(description="Nothing was done, since what was given is not allowed.")
class InvalidInput:
    problems: list[InputProblem] = strawberry.field(description="Every mistake that was found.")


@strawberry.type(description="Nothing was done.")
class Refused:
    reason: RefusalReason = strawberry.field(description="Why.")
    message: str = strawberry.field(description="Why, for people.")
    retry_after_seconds: int | None = strawberry.field(description="When asking again may help, where time mends it.")


@strawberry.type(description="The request has ended; a call under way runs on and feeds the cache.")
class CoverageRequestCancelled:
    request: CoverageRequest = strawberry.field(description="As it stands now.")


SubmitCoverageRequestResult = Annotated[
    CoverageRequestAccepted | CoverageAnswered | InvalidInput | Refused,
    strawberry.union("SubmitCoverageRequestResult", description="What became of a submission."),
]
CancelCoverageRequestResult = Annotated[
    CoverageRequestCancelled | Refused,
    strawberry.union("CancelCoverageRequestResult", description="What became of giving a request up."),
]


def submit_result(result: SubmitResult) -> CoverageRequestAccepted | CoverageAnswered | InvalidInput | Refused:
    """The use case's answer in GraphQL's types."""
    match result:
        case Accepted():
            return CoverageRequestAccepted(request=CoverageRequest.of(result.request))
        case Answered():
            refresh = None if result.refresh is None else CoverageRequest.of(result.refresh)
            return CoverageAnswered(coverage=Coverage.of(result.coverage), refresh=refresh)
        case Invalid():
            problems = [
                InputProblem(path=list(problem.path), code=problem.code.value, message=problem.message)
                for problem in result.problems
            ]
            return InvalidInput(problems=problems)
        case resolvers.refusal.Refused():
            return _refused(result)
        case _:
            assert_never(result)


def cancel_result(result: CancelResult) -> CoverageRequestCancelled | Refused:
    """The use case's answer in GraphQL's types."""
    match result:
        case Cancelled():
            return CoverageRequestCancelled(request=CoverageRequest.of(result.request))
        case resolvers.refusal.Refused():
            return _refused(result)
        case _:
            assert_never(result)


def _refused(refused: resolvers.refusal.Refused) -> Refused:
    return Refused(reason=refused.reason, message=refused.message, retry_after_seconds=refused.retry_after_seconds)
