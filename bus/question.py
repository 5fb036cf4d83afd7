"""What is asked of a payer, and when two questions are the same."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from msgspec import Struct

from bus.ids import MemberId, PayerId, TenantId, derived_id


class Relationship(StrEnum):
    """How a dependent belongs to the subscriber (271 individual relationship codes 01, 19, 34)."""

    SPOUSE = "SPOUSE"
    CHILD = "CHILD"
    OTHER_ADULT = "OTHER_ADULT"


class Person(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The subscriber: whose name is on the card."""

    member_id: str
    """As printed on the card; the payer's id, not ours."""
    first_name: str
    last_name: str
    date_of_birth: date


class Dependent(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Somebody covered through the subscriber, who has no card of their own."""

    first_name: str
    last_name: str
    date_of_birth: date
    relationship: Relationship


class Provider(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Who asks: an organisation, or a person with first and last name; never both."""

    npi: str
    organization_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None


class Question(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One eligibility question with every default filled in."""

    member_id: MemberId
    payer_id: PayerId
    provider: Provider
    subscriber: Person
    dependent: Dependent | None = None
    service_type_codes: tuple[str, ...]
    """X12 service type codes, sorted, without repeats."""
    date_of_service: date

    def person_key(self, tenant_id: TenantId) -> str:
        """The same for two questions of one member that ask about the same person at the same payer."""
        return derived_id(tenant_id, self.member_id, self.payer_id, *self._person())

    def key(self, tenant_id: TenantId) -> str:
        """The same for two questions that one answer serves; what the cache and the flights are keyed by.

        Never the same for two members: whoever can type a stranger's name must not get what another
        member's call brought. The provider is left out: coverage does not depend on who asks.
        """
        return derived_id(
            tenant_id,
            self.member_id,
            self.payer_id,
            *self._person(),
            ",".join(self.service_type_codes),
            self.date_of_service.isoformat(),
        )

    def _person(self) -> tuple[str, ...]:
        subscriber = self.subscriber
        parts = [
            subscriber.member_id.strip().upper(),
            _folded(subscriber.first_name),
            _folded(subscriber.last_name),
            subscriber.date_of_birth.isoformat(),
        ]
        if self.dependent is not None:
            parts += [
                _folded(self.dependent.first_name),
                _folded(self.dependent.last_name),
                self.dependent.date_of_birth.isoformat(),
                self.dependent.relationship,
            ]
        return tuple(parts)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
