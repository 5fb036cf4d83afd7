"""Submitting a question (blueprint, section 3): checked, answered from the cache, or durably accepted."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import timedelta
from typing import assert_never

import msgspec
from msgspec import Struct

from bus.claims import Claims
from bus.clock import Clock
from bus.coverage import Coverage
from bus.errors import LogUnavailable, StateUnavailable
from bus.events import CacheMode, Priority, Submitted
from bus.fold import RequestState
from bus.ids import MemberId, NewId, RequestId, derived_id
from bus.log import RequestView
from bus.metrics import Metrics
from bus.question import Question
from delivery.caller import Caller
from resolvers.acceptance import Acceptance
from resolvers.answers import Answers, CoverageAnswer, CoverageSource, RequestAnswer
from resolvers.errors import InputInvalid, PayerUnknown
from resolvers.given import GivenSubmission
from resolvers.people_limit import PeopleLimit
from resolvers.refresh import Refreshes
from resolvers.refusal import LOG_AWAY, Invalid, RefusalReason, Refused
from resolvers.validation import InputRules
from scheduler.dispatcher import Dispatcher
from scheduler.errors import QueueFull
from warming.cache import CoverageCache
from warming.freshness import CacheDecision, Freshness


class Accepted(Struct, frozen=True, kw_only=True):
    """The request is durable and under way."""

    request: RequestAnswer


class Answered(Struct, frozen=True, kw_only=True):
    """The cache held an answer; `refresh` is the request that renews it, where one is open."""

    coverage: CoverageAnswer
    refresh: RequestAnswer | None


SubmitResult = Accepted | Answered | Invalid | Refused


class Submission:
    """The use case behind `submitCoverageRequest`."""

    def __init__(
        self,
        *,
        rules: InputRules,
        requests: RequestView,
        people: PeopleLimit,
        claims: Claims,
        cache: CoverageCache,
        freshness: Freshness,
        refreshes: Refreshes,
        dispatcher: Dispatcher,
        acceptance: Acceptance,
        answers: Answers,
        clock: Clock,
        new_id: NewId,
        metrics: Metrics,
    ) -> None:
        self._rules = rules
        self._requests = requests
        self._people = people
        self._claims = claims
        self._cache = cache
        self._freshness = freshness
        self._refreshes = refreshes
        self._dispatcher = dispatcher
        self._acceptance = acceptance
        self._answers = answers
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics

    async def submit(self, caller: Caller, given: GivenSubmission) -> SubmitResult:
        """Answer from the cache, or accept durably, or say why not; nothing that is expected is raised."""
        try:
            result = await self._submit(caller, given)
        except PayerUnknown as unknown:
            result = Refused(reason=RefusalReason.PAYER_UNKNOWN, message=str(unknown))
        except InputInvalid as invalid:
            result = Invalid(problems=invalid.problems)
        except QueueFull as full:
            result = Refused(
                reason=RefusalReason.QUEUE_FULL, message=str(full), retry_after_seconds=full.retry_after_seconds
            )
        except (LogUnavailable, StateUnavailable):
            result = LOG_AWAY
        self._metrics.submits.labels(result=_metric_label(result)).inc()
        return result

    async def _submit(self, caller: Caller, given: GivenSubmission) -> SubmitResult:
        forbidden = _forbidden(caller, given)
        if forbidden is not None:
            return forbidden
        question = self._rules.submission(given)
        request_id, fingerprint = self._request_id(caller, given), _fingerprint(given)
        if given.idempotency_key is not None:
            with suppress(StateUnavailable):  # then the append tells, which asks the log itself
                # Mostly there is none: `get` would ask the log for certainty, which the append does anyway.
                for earlier in await self._requests.states([request_id]):
                    if earlier.tenant_id == caller.tenant_id:
                        return await self._repeated(earlier, fingerprint)
        async with self._limited(caller, question) as refused:
            if refused is not None:
                return refused
            answered = await self._from_cache(caller, question, given.cache_mode)
            if answered is not None:
                return answered
            await self._dispatcher.room(caller.tenant_id, given.priority)
            if given.idempotency_key is not None and not await self._claimed(request_id, fingerprint):
                # Also where that one was refused by the log in the end: it may have been written all the same.
                return _conflict()
            submitted = self._submitted(caller, given, question, fingerprint)
            new = given.idempotency_key is None
            state = await self._acceptance.accept(request_id, caller.tenant_id, submitted, id_is_new=new)
        if state is not None:
            return Accepted(request=self._answers.request(state))
        # Another submission with the same key came first, between the look and the append.
        standing = await self._acceptance.standing(caller.tenant_id, request_id)
        return _conflict() if standing is None else await self._repeated(standing, fingerprint)

    def _request_id(self, caller: Caller, given: GivenSubmission) -> RequestId:
        """Derived from the idempotency key, so that a retry meets its own first event in the log; else new."""
        if given.idempotency_key is None:
            return RequestId(self._new_id())
        return RequestId(derived_id("submit", caller.tenant_id, caller.subject, given.idempotency_key))

    async def _claimed(self, request_id: RequestId, fingerprint: str) -> bool:
        """Whether no other submission had the id first. Of the same one there may be several; the log takes one."""
        return await self._claims.claim(request_id, fingerprint) == fingerprint

    async def _repeated(self, earlier: RequestState, fingerprint: str) -> SubmitResult:
        if earlier.fingerprint != fingerprint:
            return _conflict()
        return Accepted(request=await self._answers.present(earlier))

    def _limited(self, caller: Caller, question: Question) -> AbstractAsyncContextManager[Refused | None]:
        if caller.is_service:
            return nullcontext()
        return self._people.asking(caller, question)

    async def _from_cache(self, caller: Caller, question: Question, mode: CacheMode) -> Answered | None:
        held = await self._held(caller, question, mode)
        if held is None:
            return None
        age_seconds = (self._clock.now() - held.obtained_at).total_seconds()
        decision = self._freshness.decide(mode, age_seconds)
        match decision:
            case CacheDecision.SUBMIT:
                return None
            case CacheDecision.ANSWER:
                refresh = None
            case CacheDecision.ANSWER_AND_REFRESH:
                refresh = await self._refreshes.refresh(caller, question, held)
            case _:
                assert_never(decision)
        return Answered(
            coverage=self._answers.coverage(held, CoverageSource.CACHE),
            refresh=None if refresh is None else await self._answers.present(refresh),
        )

    async def _held(self, caller: Caller, question: Question, mode: CacheMode) -> Coverage | None:
        if mode is CacheMode.REQUIRE_FRESH:
            return None
        return await self._cache.get(caller.tenant_id, question.key(caller.tenant_id))

    def _submitted(self, caller: Caller, given: GivenSubmission, question: Question, fingerprint: str) -> Submitted:
        return Submitted(
            payer_id=question.payer_id,
            question=question,
            priority=given.priority,
            cache_mode=given.cache_mode,
            deadline=self._clock.now() + timedelta(seconds=given.deadline_seconds),
            caller=caller.subject,
            fingerprint=fingerprint,
        )


def _forbidden(caller: Caller, given: GivenSubmission) -> Refused | None:
    if not caller.may_see_member(caller.tenant_id, MemberId(given.question.member_id)):
        return _forbid("Members may ask about themselves, services about every member of their tenant.")
    # A right rather than a mistake: the very same input is fine from a service. So it is no InvalidInput.
    if not caller.is_service and given.priority is not Priority.INTERACTIVE:
        return _forbid("Members may ask with priority INTERACTIVE only.")
    return None


def _forbid(message: str) -> Refused:
    return Refused(reason=RefusalReason.FORBIDDEN, message=message)


def _conflict() -> Refused:
    return Refused(
        reason=RefusalReason.IDEMPOTENCY_CONFLICT,
        message="This idempotency key was used for another submission. Use a new key for every new submission.",
    )


def _fingerprint(given: GivenSubmission) -> str:
    """Of what was given, not of what was filled in: a retry after midnight is the same submission."""
    return derived_id(msgspec.json.encode(msgspec.structs.replace(given, idempotency_key=None)).decode())


def _metric_label(result: SubmitResult) -> str:
    match result:
        case Accepted():
            return "accepted"
        case Answered():
            return "answered"
        case Invalid():
            return "invalid"
        case Refused():
            return "refused"
        case _:
            assert_never(result)
