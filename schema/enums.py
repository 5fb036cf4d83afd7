"""The domain's closed sets as GraphQL enums, each value described."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from bus.coverage import BenefitKind, CoverageLevel, CoverageStatus, Network, TimePeriod
from bus.events import CacheMode, Priority
from bus.failure import FailureKind
from bus.fold import RequestStatus
from bus.question import Relationship
from bus.replay import GapReason
from delivery.caller import Role
from resolvers.answers import CoverageSource
from resolvers.refusal import RefusalReason
from scheduler.admission import BreakerState


class _Described:
    """An enum's GraphQL name and description, and those of its values."""

    def __init__(self, name: str, description: str, **values: str) -> None:
        self.name = name
        self.description = description
        self.values = values


_ENUMS: Final[Mapping[type[Enum], _Described]] = {
    Role: _Described(
        "Role",
        "What a caller may be; a token may carry several.",
        MEMBER="Sees and asks about themselves.",
        SERVICE="Sees and asks about all members of its tenant.",
        OPERATOR="Sees queues and payers, and no health data.",
    ),
    CacheMode: _Described(
        "CacheMode",
        "What a caller accepts from the cache.",
        DEFAULT="A fresh answer; or a stale one, which is then renewed once in the background.",
        PREFER_CACHE="A fresh or stale answer, as it is.",
        REQUIRE_FRESH="No answer from the cache: the payer is asked.",
    ),
    Priority: _Described(
        "Priority",
        "How urgent a request is.",
        INTERACTIVE="Somebody waits in front of a screen.",
        ENROLLMENT="An enrollment waits.",
        BACKGROUND="Nobody waits.",
    ),
    RequestStatus: _Described(
        "CoverageRequestStatus",
        "Where a coverage request stands.",
        SUBMITTED="Accepted, and recorded for good.",
        ENQUEUED="Waits for a slot; again, with a higher attempt, when it is retried.",
        SCHEDULED="Has a slot.",
        STARTED="The payer is being asked.",
        COMPLETED="The payer answered. Final.",
        FAILED="No answer, and no retry will bring one. Final.",
        TIMEOUT="The deadline passed. Final.",
        CANCELLED="Given up by whoever asked. Final.",
    ),
    FailureKind: _Described(
        "FailureKind",
        "Who can mend a failure, and how.",
        MEMBER_DATA="The person asking: correct the named field and submit again.",
        PROVIDER="Operators: the provider's data is wrong or not on file with the payer.",
        PAYER_UNAVAILABLE="Nobody here: the payer does not answer. Ask again later.",
        ENROLLMENT="Operators: the payer does not let this provider or account ask.",
        RATE_LIMITED="Nobody here: too many calls until the deadline. Ask again later.",
        DEADLINE="The person asking: it took longer than they gave it.",
        INTERNAL="Operators: a fault that no retry mends.",
    ),
    CoverageStatus: _Described(
        "CoverageStatus",
        "Whether the person is covered.",
        ACTIVE="Covered.",
        INACTIVE="Not covered.",
        UNKNOWN="The payer's answer does not say.",
    ),
    CoverageSource: _Described(
        "CoverageSource",
        "Where an answer was taken from.",
        PAYER="From the payer, by the request it is shown with.",
        CACHE="From what an earlier request brought.",
    ),
    BenefitKind: _Described(
        "BenefitKind",
        "What a benefit says.",
        ACTIVE_COVERAGE="The plan, or a part of it, is active.",
        INACTIVE="The plan, or a part of it, is not active.",
        COINSURANCE="The member's share, as a fraction.",
        COPAYMENT="What the member pays each time.",
        DEDUCTIBLE="What the member pays before the plan does.",
        OUT_OF_POCKET="The most the member pays.",
        LIMITATION="How much the plan pays for at most.",
        EXCLUSION="What the plan leaves out.",
        NON_COVERED="Not covered.",
        UNLIMITED="Covered without a limit.",
        COST_CONTAINMENT="A measure against costs.",
        SPEND_DOWN="What is to be spent before Medicaid pays.",
        RESERVE="Reserve days.",
        PRIMARY_CARE_PROVIDER="Who the primary care provider is.",
        OTHER_PAYER="Another payer covers, or covers first.",
        DESCRIPTION="Something told in words.",
        OTHER="Anything else.",
    ),
    Network: _Described(
        "Network",
        "Whether a benefit holds inside the payer's network.",
        IN_NETWORK="Inside it.",
        OUT_OF_NETWORK="Outside it.",
        BOTH="Inside and outside.",
        UNKNOWN="The payer's answer does not say.",
    ),
    CoverageLevel: _Described(
        "CoverageLevel",
        "Who a benefit is for.",
        INDIVIDUAL="One person.",
        FAMILY="The family.",
        EMPLOYEE_ONLY="The employee alone.",
        EMPLOYEE_AND_SPOUSE="The employee and their spouse.",
        EMPLOYEE_AND_CHILDREN="The employee and their children.",
        SPOUSE_ONLY="The spouse alone.",
        SPOUSE_AND_CHILDREN="The spouse and the children.",
        CHILDREN_ONLY="The children alone.",
        DEPENDENTS_ONLY="The dependents alone.",
    ),
    TimePeriod: _Described(
        "TimePeriod",
        "What span of time an amount is for.",
        SERVICE_YEAR="A year of service.",
        CALENDAR_YEAR="A calendar year.",
        YEAR_TO_DATE="This year until now.",
        CONTRACT="The contract.",
        EPISODE="An episode of care.",
        VISIT="A visit.",
        REMAINING="What remains of the span.",
        LIFETIME="A lifetime.",
        LIFETIME_REMAINING="What remains of the lifetime's amount.",
        ADMISSION="An admission.",
        DAY="A day.",
        WEEK="A week.",
        MONTH="A month.",
        OTHER="Another span.",
    ),
    Relationship: _Described(
        "Relationship",
        "How a dependent belongs to the subscriber.",
        SPOUSE="Their spouse.",
        CHILD="Their child.",
        OTHER_ADULT="Another adult.",
    ),
    GapReason: _Described(
        "GapReason",
        "Why a stream could not be continued from the cursor.",
        EXPIRED="Events are no longer kept that far back.",
        UNKNOWN_CURSOR="It was made up, altered, or belongs to another stream.",
        STREAM_RESET="It is of another log, or ahead of this one.",
    ),
    RefusalReason: _Described(
        "RefusalReason",
        "Why nothing was done.",
        RATE_LIMITED="Too many different people were asked about for this member today.",
        QUEUE_FULL="Too many requests wait already.",
        LOG_UNAVAILABLE="Nothing can be recorded at the moment, so nothing is accepted.",
        PAYER_UNKNOWN="No payer goes by the given id.",
        FORBIDDEN="The caller may not ask this.",
        IDEMPOTENCY_CONFLICT="The idempotency key belongs to another submission.",
        NOT_FOUND="There is no such request, or it is not the caller's.",
        ALREADY_FINISHED="The request has ended.",
    ),
    BreakerState: _Described(
        "BreakerState",
        "Whether a payer is being asked.",
        CLOSED="It answers, and is asked.",
        OPEN="It did not answer, and is left alone for a while.",
        HALF_OPEN="One call is finding out whether it answers again.",
    ),
}


def _register(enum: type[Enum], described: _Described) -> None:
    strawberry.enum(enum, name=described.name, description=described.description)
    definition: StrawberryEnumDefinition = enum.__strawberry_definition__  # type: ignore[attr-defined] # just set
    for value in definition.values:
        value.description = described.values[value.name]


for _enum, _described in _ENUMS.items():
    _register(_enum, _described)
