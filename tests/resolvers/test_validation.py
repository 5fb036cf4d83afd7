from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given as every
from hypothesis import strategies as st

from bus.question import Dependent, Provider, Relationship
from resolvers.errors import InputInvalid, PayerUnknown
from resolvers.given import GivenSubmission
from resolvers.problems import InputProblem
from resolvers.validation import InputRules
from tests.resolvers.world import DIRECTORY, PROVIDER, person, question, submission


class StoppedClock:
    """A moment for a clock."""

    def __init__(self, now: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


def rules(now: datetime | None = None, *, default_provider: Provider | None = PROVIDER) -> InputRules:
    clock = StoppedClock() if now is None else StoppedClock(now)
    return InputRules(directory=DIRECTORY, default_provider=default_provider, clock=clock)


def problems_of(given: GivenSubmission, using: InputRules | None = None) -> tuple[InputProblem, ...]:
    try:
        (using or rules()).submission(given)
    except InputInvalid as invalid:
        return invalid.problems
    return ()


def told(given: GivenSubmission) -> list[str]:
    return [f"{'.'.join(problem.path)} {problem.code}" for problem in problems_of(given)]


def dependent(**changes: Any) -> Dependent:
    fields: dict[str, Any] = {
        "first_name": "Leo",
        "last_name": "Rivera",
        "date_of_birth": date(2015, 1, 1),
        "relationship": Relationship.CHILD,
    }
    return Dependent(**fields | changes)


def provider(**changes: Any) -> Provider:
    return Provider(**{"npi": "1999999984", "organization_name": "Clinic"} | changes)


FINE: list[dict[str, Any]] = [
    {},
    {"member_id": "m" * 256},
    {"subscriber": person(first_name="A", last_name="O'Neil-de la Cruz", member_id="W1")},
    {"subscriber": person(first_name="é" * 60, member_id="W" * 80)},
    {"subscriber": person(first_name="Zoë\u00a0Ann", last_name="山田")},
    {"subscriber": person(first_name="\ufeffAna\u200d", last_name="あ")},
    {"subscriber": person(member_id=" W000000001 ")},
    {"member_id": "an id of ours"},
    {"subscriber": person(date_of_birth=date(1900, 1, 1))},
    {"subscriber": person(date_of_birth=date(2026, 11, 23))},
    {"dependent": dependent()},
    {"provider": provider()},
    {"provider": provider(npi="1234567893")},
    {"provider": provider(organization_name=None, first_name="Gregory", last_name="House")},
    {"service_type_codes": ("30", "A4", "1")},
    {"service_type_codes": tuple(str(n) for n in range(10, 20))},
    {"date_of_service": date(2025, 11, 23)},
    {"date_of_service": date(2026, 11, 30)},
    {"deadline_seconds": 1},
    {"deadline_seconds": 600},
    {"idempotency_key": "k"},
    {"idempotency_key": " ~" * 64},
]
MEANINGLESS = "\x00\n\x7f\x85\u0378\ufdd0\ufffe\uffff\U0010ffff\ue000\u2028"
"""Controls, unassigned code points, noncharacters, private ones, a separator of lines."""
INVISIBLE = "\u00ad\u200b\u200d\u200e\u202e\u2060\ufeff\U000e0041"
SUBSCRIBER = "input.question.subscriber"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"member_id": ""}, "input.question.memberId LENGTH"),
    ({"member_id": " "}, "input.question.memberId LENGTH"),
    ({"member_id": "m" * 257}, "input.question.memberId LENGTH"),
    ({"member_id": "m\ud800"}, "input.question.memberId CHARACTERS"),
    ({"member_id": "m\x00"}, "input.question.memberId CHARACTERS"),
    *(({"member_id": f"m-{barred}1"}, "input.question.memberId CHARACTERS") for barred in MEANINGLESS + INVISIBLE),
    *(
        ({"member_id": around}, "input.question.memberId CHARACTERS")
        for around in (" m-1 ", " m-1", "m-1 ", "m-1\u00a0", "\u3000m-1", "\u200bm-1", "\ufeff")
    ),
    *(
        ({"subscriber": person(member_id=f"W1{barred}")}, f"{SUBSCRIBER}.memberId CHARACTERS")
        for barred in MEANINGLESS + INVISIBLE
    ),
    *(
        ({"subscriber": person(first_name=f"A{barred}")}, f"{SUBSCRIBER}.firstName CHARACTERS")
        for barred in MEANINGLESS
    ),
    *(
        ({"subscriber": person(last_name=nothing)}, f"{SUBSCRIBER}.lastName CHARACTERS")
        for nothing in ("\u200b", "\u200b\u200d\ufeff", "\u202e\u2066", "\x00", "\ufffe", "\U0001ffff", "-", "7", "' .")
    ),
    ({"subscriber": person(last_name="\u0958" * 31)}, f"{SUBSCRIBER}.lastName LENGTH"),  # 62 in the normal form
    ({"provider": provider(organization_name="\u2060")}, "input.question.provider.organizationName CHARACTERS"),
    ({"subscriber": person(first_name="")}, f"{SUBSCRIBER}.firstName LENGTH"),
    ({"subscriber": person(first_name="   ")}, f"{SUBSCRIBER}.firstName LENGTH"),
    ({"subscriber": person(first_name="A" * 61)}, f"{SUBSCRIBER}.firstName LENGTH"),
    ({"subscriber": person(last_name="A" * 61)}, f"{SUBSCRIBER}.lastName LENGTH"),
    *(
        ({"subscriber": person(last_name=f"Ri{barred}vera")}, f"{SUBSCRIBER}.lastName CHARACTERS")
        for barred in "*~:^\x00\n\t\x7f\x85\u2028\ud800"
    ),
    ({"subscriber": person(member_id="W")}, f"{SUBSCRIBER}.memberId LENGTH"),
    ({"subscriber": person(member_id="W" * 81)}, f"{SUBSCRIBER}.memberId LENGTH"),
    ({"subscriber": person(member_id="W~1")}, f"{SUBSCRIBER}.memberId CHARACTERS"),
    ({"subscriber": person(date_of_birth=date(1899, 12, 31))}, f"{SUBSCRIBER}.dateOfBirth RANGE"),
    ({"subscriber": person(date_of_birth=date(2026, 11, 24))}, f"{SUBSCRIBER}.dateOfBirth RANGE"),
    ({"dependent": dependent(first_name="")}, "input.question.dependent.firstName LENGTH"),
    ({"dependent": dependent(last_name=":")}, "input.question.dependent.lastName CHARACTERS"),
    ({"dependent": dependent(date_of_birth=date(2027, 1, 1))}, "input.question.dependent.dateOfBirth RANGE"),
    ({"provider": provider(npi="1999999985")}, "input.question.provider.npi CHECK_DIGIT"),
    ({"provider": provider(npi="199999998")}, "input.question.provider.npi FORMAT"),
    ({"provider": provider(npi="١٩٩٩٩٩٩٩٨٤")}, "input.question.provider.npi FORMAT"),
    ({"provider": provider(organization_name=None)}, "input.question.provider CONFLICT"),
    ({"provider": provider(first_name="G", last_name="H")}, "input.question.provider CONFLICT"),
    ({"provider": provider(organization_name=None, first_name="G")}, "input.question.provider CONFLICT"),
    ({"provider": provider(organization_name="*")}, "input.question.provider.organizationName CHARACTERS"),
    ({"service_type_codes": ()}, "input.question.serviceTypeCodes LENGTH"),
    ({"service_type_codes": ("30",) * 11}, "input.question.serviceTypeCodes LENGTH"),
    ({"service_type_codes": ("30", "a4")}, "input.question.serviceTypeCodes.1 FORMAT"),
    ({"service_type_codes": ("",)}, "input.question.serviceTypeCodes.0 FORMAT"),
    ({"service_type_codes": ("300",)}, "input.question.serviceTypeCodes.0 FORMAT"),
    ({"date_of_service": date(2025, 11, 22)}, "input.question.dateOfService RANGE"),
    ({"date_of_service": date(2026, 12, 1)}, "input.question.dateOfService RANGE"),
    ({"deadline_seconds": 0}, "input.deadlineSeconds RANGE"),
    ({"deadline_seconds": 601}, "input.deadlineSeconds RANGE"),
    ({"idempotency_key": ""}, "input.idempotencyKey FORMAT"),
    ({"idempotency_key": "k" * 129}, "input.idempotencyKey FORMAT"),
    ({"idempotency_key": "ké"}, "input.idempotencyKey FORMAT"),
    ({"idempotency_key": "k\n"}, "input.idempotencyKey FORMAT"),
]


@pytest.mark.parametrize("changes", FINE)
def test_what_is_allowed_passes(changes: dict[str, Any]) -> None:
    assert told(submission(**changes)) == []


@pytest.mark.parametrize(("changes", "expected"), WRONG)
def test_what_is_not_allowed_is_told_at_its_path(changes: dict[str, Any], expected: str) -> None:
    assert told(submission(**changes)) == [expected]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Ana   Maria ", "Ana Maria"),
        ("Zoe\u0308", "Zoë"),
        ("\ufeffZoë\u00a0\u200bAnn\u202c", "Zoë Ann"),
        ("O\u00adNeil", "ONeil"),
    ],
)
def test_a_name_is_kept_in_one_spelling_of_those_that_look_the_same(given: str, kept: str) -> None:
    made = rules().submission(
        submission(
            subscriber=person(first_name=given),
            dependent=dependent(last_name=given),
            provider=provider(organization_name=given),
        )
    )
    assert made.dependent is not None
    assert (made.subscriber.first_name, made.dependent.last_name, made.provider.organization_name) == (kept,) * 3


def test_a_members_id_is_kept_to_the_letter_and_a_cards_without_the_spaces_around_it() -> None:
    made = rules().submission(submission(member_id="a  b", subscriber=person(member_id=" W1 ")))
    assert (made.member_id, made.subscriber.member_id) == ("a  b", "W1")


@every(st.text(max_size=20))
def test_whatever_passes_as_a_members_id_has_nothing_that_cannot_be_seen(text: str) -> None:
    if not problems_of(submission(member_id=text)):
        assert text == text.strip()
        assert not {unicodedata.category(character)[0] for character in text} & {"C"}


@every(st.text(max_size=20))
def test_whatever_passes_as_a_name_has_a_letter_and_is_in_the_normal_form(text: str) -> None:
    given = submission(subscriber=person(last_name=text))
    if not problems_of(given):
        kept = rules().submission(given).subscriber.last_name
        assert any(character.isalpha() for character in kept)
        assert kept == " ".join(unicodedata.normalize("NFC", kept).split())
        assert not {unicodedata.category(character)[0] for character in kept} & {"C"}


def test_all_mistakes_are_told_at_once() -> None:
    everything = submission(
        member_id="",
        subscriber=person(first_name="", last_name="", member_id="", date_of_birth=date(1800, 1, 1)),
        dependent=dependent(first_name=""),
        provider=provider(npi="1", organization_name=""),
        service_type_codes=("x", "y"),
        date_of_service=date(2000, 1, 1),
        deadline_seconds=9999,
        idempotency_key="",
    )
    assert len(told(everything)) == 13


def test_without_a_provider_of_the_tenant_a_question_must_name_one() -> None:
    own = rules(default_provider=None)
    (problem,) = problems_of(submission(), own)
    assert problem.path == ("input", "question", "provider")
    assert problems_of(submission(provider=provider()), own) == ()


def test_a_question_of_its_own_has_its_own_path() -> None:
    with pytest.raises(InputInvalid) as caught:
        rules().question(question(subscriber=person(first_name="")), ("input",))
    assert caught.value.problems[0].path == ("input", "subscriber", "firstName")


def test_an_unknown_payer_is_told_only_where_nothing_else_is_wrong() -> None:
    with pytest.raises(PayerUnknown) as caught:
        rules().question(question(payer_id="nobody"), ("input",))
    assert caught.value.problems[0].path == ("input", "payerId")
    with pytest.raises(InputInvalid) as other:
        rules().question(question(payer_id="nobody", member_id=""), ("input",))
    assert not isinstance(other.value, PayerUnknown)


@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        (date(2028, 2, 29), date(2027, 2, 28), date(2028, 2, 29)),
        (date(2027, 2, 1), date(2026, 2, 1), date(2027, 2, 28)),
        (date(2026, 12, 31), date(2025, 12, 31), date(2026, 12, 31)),
        (date(2026, 1, 15), date(2025, 1, 15), date(2026, 1, 31)),
    ],
)
def test_the_days_of_service_end_with_their_month_and_begin_a_year_before(today: date, first: date, last: date) -> None:
    using = rules(datetime(today.year, today.month, today.day, 9, tzinfo=UTC))
    for day in (first, last):
        assert problems_of(submission(date_of_service=day), using) == ()
    (problem,) = problems_of(submission(date_of_service=date(2031, 1, 1)), using)
    assert str(first) in problem.message
    assert str(last) in problem.message


@every(st.text(min_size=1, max_size=100))
def test_no_message_repeats_what_was_given(text: str) -> None:
    given = submission(
        subscriber=person(first_name=f"<{text}>", member_id=f"<{text}>"),
        payer_id=f"<{text}>",
        provider=provider(npi=f"<{text}>"),
        idempotency_key=f"<{text}>é",
    )
    for problem in problems_of(given):
        assert f"<{text}>" not in problem.message
