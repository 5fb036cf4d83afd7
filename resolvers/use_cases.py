"""All use cases, made of the adapters that the composition root chose."""

from __future__ import annotations

from msgspec import Struct

from bus.claims import Claims
from bus.clock import Clock
from bus.cursor import Cursors
from bus.ids import NewId
from bus.log import EventLog, RequestView
from bus.metrics import Metrics
from bus.question import Provider
from bus.replay import Streams
from delivery.connect_tokens import ConnectTokens
from delivery.presence import Presence
from delivery.revocation import Revocations
from payer.directory import Directory
from resolvers.acceptance import Acceptance
from resolvers.answers import Answers
from resolvers.cached_coverage import CachedCoverage
from resolvers.cancellation import Cancellation
from resolvers.operations import Operations
from resolvers.payers import Payers
from resolvers.people_limit import PeopleLimit
from resolvers.refresh import Refreshes
from resolvers.requests import Requests
from resolvers.submission import Submission
from resolvers.subscriptions import Subscriptions
from resolvers.validation import InputRules
from resolvers.websocket_info import WebsocketInfo
from scheduler.dispatcher import Dispatcher
from warming.cache import CoverageCache
from warming.freshness import Freshness


class UseCases(Struct, frozen=True, kw_only=True):
    """One for each thing that can be asked of Covey."""

    submission: Submission
    cancellation: Cancellation
    requests: Requests
    cached_coverage: CachedCoverage
    subscriptions: Subscriptions
    payers: Payers
    operations: Operations
    websocket_info: WebsocketInfo
    answers: Answers
    acceptance: Acceptance
    """To be closed after the doors and before the dispatcher."""


def assemble(
    *,
    log: EventLog,
    requests: RequestView,
    cursors: Cursors,
    streams: Streams,
    dispatcher: Dispatcher,
    directory: Directory,
    default_provider: Provider | None,
    claims: Claims,
    cache: CoverageCache,
    freshness: Freshness,
    connect_tokens: ConnectTokens,
    people_per_day: int,
    clock: Clock,
    new_id: NewId,
    metrics: Metrics,
    presence: Presence,
    revocations: Revocations,
) -> UseCases:
    """The use cases over these adapters. `log` and `requests` are one log and its view."""
    answers = Answers(streams=streams, dispatcher=dispatcher, clock=clock)
    rules = InputRules(directory=directory, default_provider=default_provider, clock=clock)
    acceptance = Acceptance(log=log, dispatcher=dispatcher, clock=clock, new_id=new_id)
    submission = Submission(
        rules=rules,
        requests=requests,
        people=PeopleLimit(requests=requests, clock=clock, people_per_day=people_per_day),
        claims=claims,
        cache=cache,
        freshness=freshness,
        refreshes=Refreshes(requests=requests, acceptance=acceptance, dispatcher=dispatcher, clock=clock),
        dispatcher=dispatcher,
        acceptance=acceptance,
        answers=answers,
        clock=clock,
        new_id=new_id,
        metrics=metrics,
    )
    return UseCases(
        submission=submission,
        cancellation=Cancellation(requests=requests, dispatcher=dispatcher, answers=answers),
        requests=Requests(requests=requests, cursors=cursors, answers=answers),
        cached_coverage=CachedCoverage(rules=rules, cache=cache, answers=answers),
        subscriptions=Subscriptions(
            streams=streams, requests=requests, dispatcher=dispatcher, directory=directory, clock=clock
        ),
        payers=Payers(directory=directory, cursors=cursors),
        operations=Operations(dispatcher=dispatcher, presence=presence, revocations=revocations, metrics=metrics),
        websocket_info=WebsocketInfo(connect_tokens=connect_tokens),
        answers=answers,
        acceptance=acceptance,
    )
