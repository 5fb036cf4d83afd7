"""What callers give, before anything was checked or filled in."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from bus.events import CacheMode, Priority
from bus.question import Dependent, Person, Provider


class GivenQuestion(Struct, frozen=True, kw_only=True):
    """An eligibility question as it was asked."""

    member_id: str
    payer_id: str
    """Any id or alias."""
    provider: Provider | None = None
    """The tenant's own when absent."""
    subscriber: Person
    dependent: Dependent | None = None
    service_type_codes: tuple[str, ...] = ("30",)
    date_of_service: date | None = None
    """Today when absent."""


class GivenSubmission(Struct, frozen=True, kw_only=True):
    """A question, and how it is to be answered."""

    question: GivenQuestion
    cache_mode: CacheMode = CacheMode.DEFAULT
    priority: Priority = Priority.INTERACTIVE
    deadline_seconds: int = 120
    idempotency_key: str | None = None
