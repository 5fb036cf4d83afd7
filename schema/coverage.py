"""Coverage and its benefits."""
# mypy: disallow-untyped-decorators=False
# Strawberry's decorators have no types.

from __future__ import annotations

from datetime import date, datetime

import strawberry

import bus.coverage
from bus.coverage import BenefitKind, CoverageLevel, CoverageStatus, Network, TimePeriod
from resolvers.answers import CoverageAnswer, CoverageSource
from schema import enums  # noqa: F401 - makes the enums known


@strawberry.type(description="One row of what a plan pays, limits or leaves to the member.")
class Benefit:
    kind: BenefitKind = strawberry.field(description="What it says.")
    service_type_codes: list[str] = strawberry.field(description="X12 service type codes it is about.")
    amount: str | None = strawberry.field(description='US dollars as a decimal number, like "25.00".')
    percent: str | None = strawberry.field(description='The member\'s share as a fraction, like "0.2" for 20 %.')
    network: Network = strawberry.field(description="Whether it holds inside the payer's network.")
    coverage_level: CoverageLevel | None = strawberry.field(description="Who it is for.")
    time_period: TimePeriod | None = strawberry.field(description="What span of time an amount is for.")
    quantity: str | None = strawberry.field(description="How many visits, days and the like, where it counts them.")
    messages: list[str] = strawberry.field(description="The payer's own words.")

    @classmethod
    def of(cls, benefit: bus.coverage.Benefit) -> Benefit:
        return cls(
            kind=benefit.kind,
            service_type_codes=list(benefit.service_type_codes),
            amount=benefit.amount,
            percent=benefit.percent,
            network=benefit.network,
            coverage_level=benefit.coverage_level,
            time_period=benefit.time_period,
            quantity=benefit.quantity,
            messages=list(benefit.messages),
        )


@strawberry.type(description="A payer's answer: is this person covered, by which plan, and for what.")
class Coverage:
    status: CoverageStatus = strawberry.field(description="Whether the person is covered.")
    obtained_at: datetime = strawberry.field(description="When the payer's answer arrived.")
    age_seconds: float = strawberry.field(description="How old it is now.")
    source: CoverageSource = strawberry.field(description="Where it was taken from.")
    request_id: strawberry.ID = strawberry.field(description="The request whose call brought it.")
    payer_id: strawberry.ID = strawberry.field(description="Who said so.")
    plan_name: str | None = strawberry.field(description="The plan's name.")
    group_number: str | None = strawberry.field(description="The group's number.")
    plan_begin: date | None = strawberry.field(description="First day of the plan.")
    plan_end: date | None = strawberry.field(description="Last day of the plan.")
    answer: strawberry.Private[bus.coverage.Coverage]

    @strawberry.field(description="What the plan pays, limits or leaves to the member.")
    def benefits(self) -> list[Benefit]:
        return [Benefit.of(benefit) for benefit in self.answer.benefits]

    @classmethod
    def of(cls, answered: CoverageAnswer) -> Coverage:
        coverage = answered.coverage
        return cls(
            status=coverage.status,
            obtained_at=coverage.obtained_at,
            age_seconds=answered.age_seconds,
            source=answered.source,
            request_id=strawberry.ID(coverage.request_id),
            payer_id=strawberry.ID(coverage.payer_id),
            plan_name=coverage.plan_name,
            group_number=coverage.group_number,
            plan_begin=coverage.plan_begin,
            plan_end=coverage.plan_end,
            answer=coverage,
        )
