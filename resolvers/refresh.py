"""Renewing a stale answer in the background: one request, however many read the answer, on however many instances."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from bus.clock import Clock
from bus.coverage import Coverage
from bus.errors import LogUnavailable, StateUnavailable
from bus.events import CacheMode, Priority, Purpose, Submitted
from bus.fold import RequestState
from bus.ids import RequestId, derived_id
from bus.log import RequestView
from bus.question import Question
from delivery.caller import Caller
from resolvers.acceptance import Acceptance
from resolvers.validation import LONGEST_DEADLINE_SECONDS
from scheduler.dispatcher import Dispatcher
from scheduler.errors import QueueFull

_DEADLINE_SECONDS: Final = LONGEST_DEADLINE_SECONDS


class Refreshes:
    """Starts refreshes. Their ids are derived, so that "first in the log wins" leaves one of any that start at once."""

    def __init__(self, *, requests: RequestView, acceptance: Acceptance, dispatcher: Dispatcher, clock: Clock) -> None:
        self._requests = requests
        self._acceptance = acceptance
        self._dispatcher = dispatcher
        self._clock = clock

    async def refresh(self, caller: Caller, question: Question, stale: Coverage) -> RequestState | None:
        """The one open request that renews `stale`, the answer held for the question; started if there is none.

        None where it cannot be started now: that must not hinder the answer. One that failed is not followed by
        another before its time bucket has ended.
        """
        bucket = int(self._clock.now().timestamp() // _DEADLINE_SECONDS)
        try:
            request_id = _refresh_id(caller, question, stale, bucket)
            # One of the bucket before last is past its deadline.
            ids = [request_id, _refresh_id(caller, question, stale, bucket - 1)]
            for state in sorted(await self._requests.states(ids), key=lambda state: ids.index(state.request_id)):
                if state.tenant_id != caller.tenant_id:
                    continue
                if state.request_id == request_id or not state.status.terminal:
                    return None if state.status.terminal else state
            await self._dispatcher.room(caller.tenant_id, Priority.BACKGROUND)
            return await self._start(caller, question, request_id)
        except (LogUnavailable, StateUnavailable, QueueFull):
            return None

    async def _start(self, caller: Caller, question: Question, request_id: RequestId) -> RequestState | None:
        submitted = Submitted(
            payer_id=question.payer_id,
            question=question,
            priority=Priority.BACKGROUND,
            cache_mode=CacheMode.REQUIRE_FRESH,
            deadline=self._clock.now() + timedelta(seconds=_DEADLINE_SECONDS),
            caller=caller.subject,
            fingerprint=request_id,
            purpose=Purpose.REFRESH,
        )
        started = await self._acceptance.accept(request_id, caller.tenant_id, submitted)
        return started or await self._acceptance.standing(caller.tenant_id, request_id)


def _refresh_id(caller: Caller, question: Question, stale: Coverage, bucket: int) -> RequestId:
    key = question.key(caller.tenant_id)
    obtained_at = stale.obtained_at.isoformat()
    return RequestId(derived_id("refresh", caller.tenant_id, key, stale.request_id, obtained_at, str(bucket)))
