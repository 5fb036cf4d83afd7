"""The command line's options for what a question holds, so that a message names what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OPTIONS: Final[Mapping[str, str]] = {
    "memberId": "--member",
    "payerId": "--payer",
    "subscriber.memberId": "--card",
    "subscriber.firstName": "--first-name",
    "subscriber.lastName": "--last-name",
    "subscriber.dateOfBirth": "--birth-date",
    "serviceTypeCodes": "--service-type",
    "dateOfService": "--date-of-service",
    "provider.npi": "--npi",
    "provider.organizationName": "--provider-name",
}


def option_of(path: str) -> str:
    """The option that gave what is at a path of the question ("subscriber.memberId", "serviceTypeCodes.0").

    The path itself where no option gives it.
    """
    return next((option for place, option in _OPTIONS.items() if f"{path}.".startswith(f"{place}.")), path)
