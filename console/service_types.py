"""What X12's service type codes (EB03) stand for, of those that are asked about and answered most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAMES: Final[Mapping[str, str]] = {
    "1": "medical care",
    "2": "surgical",
    "3": "consultation",
    "4": "diagnostic X-ray",
    "5": "diagnostic lab",
    "23": "diagnostic dental",
    "24": "periodontics",
    "25": "restorative dental",
    "26": "endodontics",
    "30": "health benefit plan",
    "33": "chiropractic",
    "35": "dental care",
    "38": "orthodontics",
    "39": "prosthodontics",
    "40": "oral surgery",
    "41": "preventive dental",
    "42": "home health care",
    "45": "hospice",
    "47": "hospital",
    "48": "hospital inpatient",
    "49": "hospital room and board",
    "50": "hospital outpatient",
    "53": "ambulatory surgery",
    "62": "MRI or CAT scan",
    "69": "maternity",
    "80": "immunizations",
    "86": "emergency services",
    "88": "pharmacy",
    "98": "office visit",
    "AL": "vision",
    "MH": "mental health",
    "UC": "urgent care",
}


def named(code: str) -> str:
    """The code with its name; alone where it is none of these."""
    return f"{code} {_NAMES[code]}" if code in _NAMES else code
