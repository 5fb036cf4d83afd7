"""How a call to a payer can end: one type for each thing that can be done about it."""

from __future__ import annotations

from msgspec import Struct

from bus.coverage import Coverage
from bus.failure import Failure


class Answer(Struct, frozen=True, kw_only=True):
    """The payer answered: done."""

    coverage: Coverage


class Rejection(Struct, frozen=True, kw_only=True):
    """No retry will bring an answer: tell whoever asked, or operators, by `failure.kind`."""

    failure: Failure


class Unreachable(Struct, frozen=True, kw_only=True):
    """The payer did not answer the clearinghouse: back off and retry; counts against the payer's health.

    AAA 42, AAA 80, AAA 79 within HTTP 200, HTTP 504.
    """

    failure: Failure


class Unfinished(Struct, frozen=True, kw_only=True):
    """We stopped waiting or lost the connection, so the exchange is not proven over: the slot stays taken until its
    lease ends. Retry; counts against the payer's health only where `timed_out`."""

    failure: Failure
    timed_out: bool


class Throttled(Struct, frozen=True, kw_only=True):
    """HTTP 429: too many calls at once for the account. Back off and retry; not the payer's fault."""

    failure: Failure


class Broken(Struct, frozen=True, kw_only=True):
    """The clearinghouse failed (HTTP 500, 503) or its answer could not be read: retry a few times, then give up.

    Not the payer's fault.
    """

    failure: Failure


Outcome = Answer | Rejection | Unreachable | Unfinished | Throttled | Broken
