"""Why a request ended without an answer, told so that somebody can act on it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class FailureKind(StrEnum):
    """Who can mend it, and how."""

    MEMBER_DATA = "MEMBER_DATA"
    """The person asking: correct the named field and submit again."""
    PROVIDER = "PROVIDER"
    """Operators: the provider's own data is wrong or not on file with the payer."""
    PAYER_UNAVAILABLE = "PAYER_UNAVAILABLE"
    """Nobody here: the payer does not answer. Ask again later."""
    ENROLLMENT = "ENROLLMENT"
    """Operators: the payer does not let this provider or account ask."""
    RATE_LIMITED = "RATE_LIMITED"
    """Nobody here: the clearinghouse refused for load until the deadline. Ask again later."""
    DEADLINE = "DEADLINE"
    """The person asking: it took longer than they gave it."""
    INTERNAL = "INTERNAL"
    """Operators: a fault of ours or of the clearinghouse that no retry mends."""


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason, in the payer's code and in words.

    `code` is the AAA code where the payer gave one ("75"), else a word in upper case ("HTTP_500", "TIMEOUT").
    `field` names the input to correct as a dotted path from the question ("subscriber.memberId"), for MEMBER_DATA.
    `message` never repeats what was asked: it may be shown, and logged.
    """

    code: str
    kind: FailureKind
    message: str
    field: str | None = None
    follow_up: str | None = None
