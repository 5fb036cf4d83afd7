"""The use cases' errors: what cannot be said as data in an answer. A class is one thing a caller can do about it.

CoveyError
├── Forbidden           ask as somebody who may
├── NotFound            ask for something that exists and is yours
└── InputInvalid        correct what `problems` name
    └── PayerUnknown    use one of the payers that the message names
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.errors import CoveyError
from resolvers.problems import InputProblem


class Forbidden(CoveyError):
    """The caller's roles do not let them do this."""


class NotFound(CoveyError):
    """There is no such thing, or it is not the caller's; which of the two is not told."""


class InputInvalid(CoveyError):
    """Something given is not allowed. Correct what `problems` name; no message repeats what was given."""

    def __init__(self, problems: Sequence[InputProblem]) -> None:
        super().__init__(problems[0].message)
        self.problems = tuple(problems)


class PayerUnknown(InputInvalid):
    """No payer goes by the id that was given."""

    def __init__(self, problem: InputProblem) -> None:
        super().__init__([problem])
