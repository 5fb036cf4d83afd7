"""The texts that both shapes put beside X12's codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from payer.codes import BENEFIT_GROUPS, STATUS_WORDS

SERVICE_TYPES: Final[Mapping[str, str]] = {
    "23": "Diagnostic Dental",
    "25": "Restorative",
    "26": "Endodontics",
    "30": "Health Benefit Plan Coverage",
    "33": "Chiropractic",
    "35": "Dental Care",
    "38": "Orthodontics",
    "39": "Prosthodontics",
    "41": "Routine (Preventive) Dental",
    "47": "Hospital",
    "48": "Hospital - Inpatient",
    "49": "Hospital - Room and Board",
    "50": "Hospital - Outpatient",
    "86": "Emergency Services",
    "88": "Pharmacy",
    "98": "Professional (Physician) Visit - Office",
    "AL": "Vision (Optometry)",
    "MH": "Mental Health",
    "UC": "Urgent Care",
}

AAA_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "42": "Unable to Respond at Current Time",
    "43": "Invalid/Missing Provider Identification",
    "65": "Invalid/Missing Patient Name",
    "67": "Patient Not Found",
    "71": "Patient Birth Date Does Not Match That for the Patient on the Database",
    "72": "Invalid/Missing Subscriber/Insured ID",
    "73": "Invalid/Missing Subscriber/Insured Name",
    "75": "Subscriber/Insured Not Found",
    "77": "Subscriber Found, Patient Not Found",
    "79": "Invalid Participant Identification",
    "80": "No Response Received - Transaction Terminated",
}

_TRY_AGAIN: Final = ("42", "79", "80")


def follow_up(code: str) -> str:
    """What a payer advises with an AAA code."""
    return "Please Resubmit Original Transaction" if code in _TRY_AGAIN else "Please Correct and Resubmit"


def service_type(code: str) -> str:
    """The name of a service type."""
    return SERVICE_TYPES.get(code, "Other Medical")


def benefit_name(code: str) -> str:
    """The name of an EB01 code, in words."""
    words = {status: word for word, status in STATUS_WORDS.items()} | {c: group for group, c in BENEFIT_GROUPS.items()}
    return words[code]
