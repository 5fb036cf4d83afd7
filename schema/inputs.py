"""The inputs, and what they are to the use cases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import strawberry
from strawberry.types.arguments import InputContext
from strawberry.types.base import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from bus.events import CacheMode, Priority
from bus.question import Dependent, Person, Provider, Relationship
from resolvers.given import GivenQuestion, GivenSubmission
from schema import enums  # noqa: F401 - makes the enums known


@strawberry.input(description="Who asks: an organisation, or a person with first and last name; never both.")
class ProviderInput:
    npi: str = strawberry.field(description="National Provider Identifier: ten digits, the last a check digit.")
    organization_name: str | None = strawberry.field(default=None, description="1 to 60 characters.")
    first_name: str | None = strawberry.field(default=None, description="1 to 60 characters.")
    last_name: str | None = strawberry.field(default=None, description="1 to 60 characters.")

    def given(self) -> Provider:
        return Provider(
            npi=self.npi,
            organization_name=self.organization_name,
            first_name=self.first_name,
            last_name=self.last_name,
        )


@strawberry.input(description="The subscriber: whose name is on the card.")
class PersonInput:
    member_id: str = strawberry.field(description="As printed on the card: 2 to 80 characters.")
    first_name: str = strawberry.field(description="1 to 60 characters, without control characters and * ~ : ^")
    last_name: str = strawberry.field(description="1 to 60 characters, without control characters and * ~ : ^")
    date_of_birth: date = strawberry.field(description="From 1900-01-01 to today.")

    def given(self) -> Person:
        return Person(
            member_id=self.member_id,
            first_name=self.first_name,
            last_name=self.last_name,
            date_of_birth=self.date_of_birth,
        )


@strawberry.input(description="Somebody covered through the subscriber, who has no card of their own.")
class DependentInput:
    first_name: str = strawberry.field(description="1 to 60 characters, without control characters and * ~ : ^")
    last_name: str = strawberry.field(description="1 to 60 characters, without control characters and * ~ : ^")
    date_of_birth: date = strawberry.field(description="From 1900-01-01 to today.")
    relationship: Relationship = strawberry.field(description="How they belong to the subscriber.")

    def given(self) -> Dependent:
        return Dependent(
            first_name=self.first_name,
            last_name=self.last_name,
            date_of_birth=self.date_of_birth,
            relationship=self.relationship,
        )


@strawberry.input(name="CoverageQuestion", description="Is this person covered by this payer, and for what?")
class CoverageQuestionInput:
    member_id: strawberry.ID = strawberry.field(
        description="Whose coverage, in our own terms; a member may name only themselves."
    )
    payer_id: strawberry.ID = strawberry.field(description="Any of the payer's ids or aliases.")
    provider: ProviderInput | None = strawberry.field(
        default=None, description="Who asks; the tenant's own provider when absent."
    )
    subscriber: PersonInput = strawberry.field(description="Whose name is on the card.")
    dependent: DependentInput | None = strawberry.field(
        default=None, description="The person asked about, where it is not the subscriber."
    )
    service_type_codes: list[str] = strawberry.field(
        default_factory=lambda: ["30"], description="1 to 10 X12 service type codes; 30 is the plan as a whole."
    )
    date_of_service: date | None = strawberry.field(
        default=None, description="From 12 months back to the end of this month; today when absent."
    )

    def given(self) -> GivenQuestion:
        return GivenQuestion(
            member_id=self.member_id,
            payer_id=self.payer_id,
            provider=None if self.provider is None else self.provider.given(),
            subscriber=self.subscriber.given(),
            dependent=None if self.dependent is None else self.dependent.given(),
            service_type_codes=tuple(self.service_type_codes),
            date_of_service=self.date_of_service,
        )


@strawberry.input(description="A question, and how it is to be answered.")
class SubmitCoverageRequestInput:
    question: CoverageQuestionInput = strawberry.field(description="What is asked.")
    cache_mode: CacheMode = strawberry.field(default=CacheMode.DEFAULT, description="What is accepted from the cache.")
    priority: Priority = strawberry.field(
        default=Priority.INTERACTIVE, description="How urgent it is; members: INTERACTIVE only."
    )
    deadline_seconds: int = strawberry.field(default=120, description="When to give up, from now; 1 to 600 seconds.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="1 to 128 printable ASCII characters, unique per caller, kept at least 24 hours: a submission with "
        "the key of an earlier one gives that one's request again.",
    )

    def given(self) -> GivenSubmission:
        return GivenSubmission(
            question=self.question.given(),
            cache_mode=self.cache_mode,
            priority=self.priority,
            deadline_seconds=self.deadline_seconds,
            idempotency_key=self.idempotency_key,
        )


def _make_quickly(input_type: type, **nested: type) -> None:
    """Have values of an input made by names looked up now: Strawberry looks them up anew for every value, which costs
    a submit a tenth of its time. `nested` are the fields, in GraphQL's names, that are inputs themselves."""
    definition = get_object_definition(input_type, strict=True)
    names = {to_camel_case(field.python_name): field.python_name for field in definition.fields}

    def make(_: type, given: Mapping[str, Any], context: InputContext) -> object:
        values = dict(given)
        for name, nested_type in nested.items():
            if values.get(name) is not None:
                values[name] = context.convert(values[name], nested_type, name)
        return input_type(**{names[name]: value for name, value in values.items()})

    definition.from_input = make


_make_quickly(ProviderInput)
_make_quickly(PersonInput)
_make_quickly(DependentInput)
_make_quickly(CoverageQuestionInput, provider=ProviderInput, subscriber=PersonInput, dependent=DependentInput)
_make_quickly(SubmitCoverageRequestInput, question=CoverageQuestionInput)
