"""Why there was no answer, and what can be done about it: X12's AAA codes and Stedi's HTTP statuses as outcomes.

The classes are those of the clearinghouse's retry advice. Where several codes come together, the class that stands
first in `AaaClass` decides, except that 42 and 79 together always mean a payer that cannot be reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Final, assert_never

from msgspec import Struct

from bus.failure import Failure, FailureKind
from bus.question import Question
from payer.outcome import Broken, Outcome, Rejection, Throttled, Unreachable
from payer.statement import AaaError


class AaaClass(IntEnum):
    """What a code asks for, the most urgent first: what a person can mend, then operators, then time."""

    MEMBER_DATA = 1
    """The person asking corrects who was asked about."""
    REQUEST_DATA = 2
    """Something else about the question is wrong; the person asking corrects it where a field is named."""
    PROVIDER = 3
    ENROLLMENT = 4
    NOT_CONFIGURED = 5
    """The clearinghouse does not know the payer."""
    CONNECTIVITY = 6
    """The payer did not answer the clearinghouse: retry."""
    REVIEW = 7
    """Somebody has to read it; also any code that is not in the table."""


class Field(StrEnum):
    """What to correct, below the question. PATIENT is the dependent where one was asked about."""

    MEMBER_ID = "subscriber.memberId"
    SUBSCRIBER_NAME = "subscriber.lastName"
    PATIENT_NAME = "lastName"
    PATIENT_FIRST_NAME = "firstName"
    PATIENT_BIRTH = "dateOfBirth"
    DATE_OF_SERVICE = "dateOfService"
    SERVICE_TYPES = "serviceTypeCodes"


class AaaMeaning(Struct, frozen=True):
    """A row of the table."""

    aaa_class: AaaClass
    message: str
    field: Field | None = None


_MEMBER: Final = AaaClass.MEMBER_DATA
_REQUEST: Final = AaaClass.REQUEST_DATA
_PROVIDER: Final = AaaClass.PROVIDER
_REVIEW: Final = AaaClass.REVIEW
_NO_AUTHORIZATION: Final = "The payer asks for an authorization or details that an eligibility check does not carry."

MEANINGS: Final[Mapping[str, AaaMeaning]] = {
    "42": AaaMeaning(AaaClass.CONNECTIVITY, "The payer cannot respond at the moment."),
    "80": AaaMeaning(AaaClass.CONNECTIVITY, "The payer did not respond."),
    "79": AaaMeaning(AaaClass.CONNECTIVITY, "The payer could not be reached."),  # at HTTP 400: NOT_CONFIGURED
    "41": AaaMeaning(AaaClass.ENROLLMENT, "The payer does not let this provider or account ask."),
    "43": AaaMeaning(_PROVIDER, "The payer does not accept the provider's NPI."),
    "44": AaaMeaning(_PROVIDER, "The payer does not accept the provider's name."),
    "45": AaaMeaning(_PROVIDER, "The payer does not accept the provider's specialty."),
    "46": AaaMeaning(_PROVIDER, "The payer does not accept the provider's phone number."),
    "47": AaaMeaning(_PROVIDER, "The payer does not accept the provider's state."),
    "48": AaaMeaning(_PROVIDER, "The payer does not accept the referring provider's number."),
    "49": AaaMeaning(_PROVIDER, "The provider is not the member's primary care physician."),
    "50": AaaMeaning(_PROVIDER, "The payer does not let the provider inquire."),
    "51": AaaMeaning(_PROVIDER, "The provider is not on file with the payer."),
    "52": AaaMeaning(_PROVIDER, "The provider was not enrolled with the plan on the date of service."),
    "53": AaaMeaning(_PROVIDER, "The services asked about do not fit the provider's type."),
    "97": AaaMeaning(_PROVIDER, "The payer does not accept the provider's address."),
    "58": AaaMeaning(_MEMBER, "The payer does not accept the date of birth.", Field.PATIENT_BIRTH),
    "64": AaaMeaning(_MEMBER, "The payer does not accept the patient's member ID.", Field.MEMBER_ID),
    "65": AaaMeaning(_MEMBER, "The payer does not accept the patient's name.", Field.PATIENT_NAME),
    "66": AaaMeaning(_MEMBER, "The payer does not accept the patient's gender."),
    "67": AaaMeaning(_MEMBER, "The payer does not find the patient.", Field.PATIENT_FIRST_NAME),
    "68": AaaMeaning(_MEMBER, "The payer has several patients with this member ID.", Field.MEMBER_ID),
    "71": AaaMeaning(_MEMBER, "The payer has another date of birth on file.", Field.PATIENT_BIRTH),
    "72": AaaMeaning(_MEMBER, "The payer does not accept the member ID.", Field.MEMBER_ID),
    "73": AaaMeaning(_MEMBER, "The payer does not accept the subscriber's name.", Field.SUBSCRIBER_NAME),
    "74": AaaMeaning(_MEMBER, "The payer does not accept the subscriber's gender."),
    "75": AaaMeaning(_MEMBER, "The payer does not find the subscriber.", Field.MEMBER_ID),
    "76": AaaMeaning(_MEMBER, "The payer has several subscribers with this member ID.", Field.MEMBER_ID),
    "77": AaaMeaning(_MEMBER, "The payer finds the subscriber, but not the patient.", Field.PATIENT_FIRST_NAME),
    "78": AaaMeaning(_MEMBER, "The subscriber is not in the group or plan asked about.", Field.MEMBER_ID),
    "15": AaaMeaning(_REQUEST, "The payer misses data that the question did not hold."),
    "33": AaaMeaning(_REQUEST, "The payer does not accept something in the question."),
    "54": AaaMeaning(_REQUEST, "The payer does not know the kind of service codes used.", Field.SERVICE_TYPES),
    "55": AaaMeaning(_REQUEST, "The payer does not answer for the services asked about.", Field.SERVICE_TYPES),
    "56": AaaMeaning(_REQUEST, "The payer does not accept the date.", Field.DATE_OF_SERVICE),
    "57": AaaMeaning(_REQUEST, "The payer does not accept the date of service.", Field.DATE_OF_SERVICE),
    "60": AaaMeaning(_REQUEST, "The date of birth is after the date of service.", Field.DATE_OF_SERVICE),
    "61": AaaMeaning(_REQUEST, "The date of death is before the date of service.", Field.DATE_OF_SERVICE),
    "62": AaaMeaning(_REQUEST, "The payer does not answer for a date that far away.", Field.DATE_OF_SERVICE),
    "63": AaaMeaning(_REQUEST, "The payer does not answer for dates to come.", Field.DATE_OF_SERVICE),
    "69": AaaMeaning(_REQUEST, "The services asked about do not fit the patient's age.", Field.SERVICE_TYPES),
    "70": AaaMeaning(_REQUEST, "The services asked about do not fit the patient's gender.", Field.SERVICE_TYPES),
    "T4": AaaMeaning(_REQUEST, "The payer's name or identifier did not reach it."),
    "04": AaaMeaning(_REVIEW, "The authorized quantity is used up."),
    "35": AaaMeaning(_REVIEW, "The provider is outside the plan's network."),
    "98": AaaMeaning(_REVIEW, "The payer holds the service for experimental."),
    **dict.fromkeys(("AA", "AE", "AF", "AG", "AO", "CI", "E8", "IA", "MA"), AaaMeaning(_REVIEW, _NO_AUTHORIZATION)),
}
"""Every code that the 271 guide allows, with what it means for a real-time check."""

_UNKNOWN: Final = AaaMeaning(_REVIEW, "The payer refused for a reason that is not known here.")
_NOT_CONFIGURED: Final = AaaMeaning(AaaClass.NOT_CONFIGURED, "The clearinghouse does not serve this payer.")

FOLLOW_UPS: Final = frozenset(
    {
        "Please Correct and Resubmit",
        "Resubmission Not Allowed",
        "Resubmission Allowed",
        "Please Resubmit Original Transaction",
        "Do Not Resubmit; Inquiry Initiated to a Third Party",
        "Please Wait 30 Days and Resubmit",
        "Please Wait 10 Days and Resubmit",
        "Do Not Resubmit; We Will Hold Your Request and Respond Again Shortly",
    }
)
"""The advice that X12 knows; other texts are not passed on, since a payer may have written anything into them."""

_CODE: Final = re.compile(r"[0-9A-Z]{1,3}", re.ASCII)  # anything else is not a code, and may be anything
_HTTP_BAD_REQUEST: Final = 400


def outcome_of_errors(errors: Sequence[AaaError], http_status: int, question: Question) -> Outcome:
    """What the AAA errors of one answer (at least one) come to together."""
    if {"42", "79"} <= {error.code for error in errors}:
        decisive = next(error for error in errors if error.code == "42")
    else:
        decisive = min(errors, key=lambda error: _meaning(error.code, http_status).aaa_class)
    meaning = _meaning(decisive.code, http_status)
    field = _path(meaning.field, decisive, question)
    failure = Failure(
        code=decisive.code if _CODE.fullmatch(decisive.code) else "AAA_UNKNOWN",
        kind=_kind(meaning.aaa_class, field),
        message=meaning.message,
        field=field,
        follow_up=decisive.follow_up if decisive.follow_up in FOLLOW_UPS else None,
    )
    return Unreachable(failure=failure) if meaning.aaa_class is AaaClass.CONNECTIVITY else Rejection(failure=failure)


def outcome_of_status(http_status: int, refused_pointers: Iterable[str] = ()) -> Outcome:
    """What an HTTP status other than 200 comes to; with 400, the JSON pointers of what the clearinghouse refused."""
    code = f"HTTP_{http_status}"
    match http_status:
        case 429:
            return Throttled(failure=Failure(code=code, kind=FailureKind.RATE_LIMITED, message=_TOO_MANY))
        case 504:
            return Unreachable(failure=Failure(code=code, kind=FailureKind.PAYER_UNAVAILABLE, message=_NO_ANSWER))
        case 400:
            return _invalid_request(code, refused_pointers)
        case _ if 400 <= http_status < 500:
            message = _REFUSALS.get(http_status, "The clearinghouse refused the call.")
            return Rejection(failure=Failure(code=code, kind=FailureKind.INTERNAL, message=message))
        case _:
            return Broken(failure=Failure(code=code, kind=FailureKind.INTERNAL, message=_FAILED))


_TOO_MANY: Final = "Too many calls to the clearinghouse were under way."
_NO_ANSWER: Final = "The payer did not answer the clearinghouse in time."
_FAILED: Final = "The clearinghouse failed."
_REFUSALS: Final[Mapping[int, str]] = {
    401: "The clearinghouse does not accept our key.",
    403: "The clearinghouse does not let us in.",
    404: "The clearinghouse does not know what was called.",
    413: "The question was too large for the clearinghouse.",
}

_POINTERS: Final[Mapping[str, str]] = {
    "/subscriber/memberId/": "subscriber.memberId",
    "/subscriber/dateOfBirth/": "subscriber.dateOfBirth",
    "/subscriber/name/person/firstName/": "subscriber.firstName",
    "/subscriber/name/person/lastName/": "subscriber.lastName",
    "/subscriber/firstName/": "subscriber.firstName",
    "/subscriber/lastName/": "subscriber.lastName",
    "/dependent/dateOfBirth/": "dependent.dateOfBirth",
    "/dependent/name/person/firstName/": "dependent.firstName",
    "/dependent/name/person/lastName/": "dependent.lastName",
    "/dependents/0/dateOfBirth/": "dependent.dateOfBirth",
    "/dependents/0/firstName/": "dependent.firstName",
    "/dependents/0/lastName/": "dependent.lastName",
    "/encounter/dates/service/start/": "dateOfService",
    "/encounter/dateOfService/": "dateOfService",
    "/encounter/services/": "serviceTypeCodes",
    "/encounter/serviceTypeCodes/": "serviceTypeCodes",
}
"""What can be corrected of a request body in either shape, as JSON pointers (RFC 6901) with an
ending slash: what lies below counts too."""


def _invalid_request(code: str, pointers: Iterable[str]) -> Rejection:
    known = [f"{pointer}/" for pointer in pointers]
    field = next((named for place, named in _POINTERS.items() for pointer in known if pointer.startswith(place)), None)
    if field is not None:
        kind, message = FailureKind.MEMBER_DATA, "The clearinghouse does not accept what the field holds."
    elif any(pointer.startswith("/provider/") for pointer in known):
        kind, message = FailureKind.PROVIDER, "The clearinghouse does not accept the provider."
    else:
        kind, message = FailureKind.INTERNAL, "The clearinghouse does not accept the question as it was sent."
    return Rejection(failure=Failure(code=code, kind=kind, message=message, field=field))


def _meaning(code: str, http_status: int) -> AaaMeaning:
    if code == "79" and http_status == _HTTP_BAD_REQUEST:
        return _NOT_CONFIGURED
    return MEANINGS.get(code, _UNKNOWN)


def _kind(aaa_class: AaaClass, field: str | None) -> FailureKind:
    match aaa_class:
        case AaaClass.MEMBER_DATA:
            return FailureKind.MEMBER_DATA
        case AaaClass.REQUEST_DATA:
            return FailureKind.INTERNAL if field is None else FailureKind.MEMBER_DATA
        case AaaClass.PROVIDER:
            return FailureKind.PROVIDER
        case AaaClass.ENROLLMENT:
            return FailureKind.ENROLLMENT
        case AaaClass.CONNECTIVITY:
            return FailureKind.PAYER_UNAVAILABLE
        case AaaClass.NOT_CONFIGURED | AaaClass.REVIEW:
            return FailureKind.INTERNAL
        case _:
            assert_never(aaa_class)


def _path(field: Field | None, error: AaaError, question: Question) -> str | None:
    match field:
        case None:
            return None
        case Field.PATIENT_FIRST_NAME:
            return f"{'subscriber' if question.dependent is None else 'dependent'}.{field}"
        case Field.PATIENT_NAME | Field.PATIENT_BIRTH:
            subscriber = question.dependent is None or error.about_subscriber
            return f"{'subscriber' if subscriber else 'dependent'}.{field}"
        case Field.MEMBER_ID | Field.SUBSCRIBER_NAME | Field.DATE_OF_SERVICE | Field.SERVICE_TYPES:
            return field.value
        case _:
            assert_never(field)
