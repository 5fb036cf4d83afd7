"""The consumer framework's errors.

CoveyError
├── TopicsMissing       create the topics it names, then start again
└── DeadLetterUnknown   look at the list again: the letter expired, was never there, or was sent back already

Rejected is what a handler raises, Undecodable what a record is; neither leaves the framework.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from bus.errors import CoveyError

_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class TopicsMissing(CoveyError):
    """The consumer needs topics that are not there."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(f"These topics are missing: {', '.join(sorted(names))}. Create them, then start again.")


class DeadLetterUnknown(CoveyError):
    """There is no such dead letter, or none any more."""


class Rejected(Exception):
    """Raised by a handler for an event that no retry will help: it is a dead letter at once.

    `code` is told in the dead letter and in logs: a fixed word for the reason, never anything from the event.
    Raises ValueError for one that is not 1 to 64 letters, digits, hyphens, dots and underscores.
    """

    def __init__(self, code: str) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError("A rejection's code has 1 to 64 letters, digits, hyphens, dots and underscores.")
        super().__init__(code)
        self.code = code


class Undecodable(Exception):
    """The record is no event of this catalogue, not of the shape of its type, or sealed with another key."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
