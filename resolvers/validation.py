"""The rules for what callers give (contract, "Default limits"): every mistake is found, not only the first.

Names and card ids go into an X12 270, whose delimiters they must not hold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from bus.clock import Clock
from bus.ids import MemberId
from bus.question import Dependent, Person, Provider, Question
from payer.directory import Directory
from resolvers.errors import InputInvalid, PayerUnknown
from resolvers.given import GivenQuestion, GivenSubmission
from resolvers.problems import InputProblem, Path, ProblemCode

LONGEST_DEADLINE_SECONDS: Final = 600
QUESTION: Final[Path] = ("input", "question")
"""Where a submission has its question."""

_X12_DELIMITERS: Final = frozenset("*~:^")
_MEANINGLESS: Final = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})
"""Unicode categories that nothing given holds: controls, halves of surrogate pairs, code points that stand for no
character or for a private one, line and paragraph separators."""
_INVISIBLE: Final = frozenset({"Cf"})
"""Marks of formatting. Ids that differ in these alone look the same, so no id holds them; names come with them where
they are pasted, or rightly in some scripts, and lose them."""
_FIRST_BIRTH: Final = date(1900, 1, 1)
_SERVICE_TYPES_MAX: Final = 10
_SERVICE_TYPE: Final = re.compile(r"[A-Z0-9]{1,2}")
_NPI: Final = re.compile(r"[0-9]{10}")
_NPI_PREFIX: Final = "80840"
"""Stands before an NPI when its check digit is computed: the United States' health card issuer."""
_LONGEST_NAME: Final = 60
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x20-\x7e]{1,128}")


class InputRules:
    """Turns what was given into a `Question` with every default filled in."""

    def __init__(self, *, directory: Directory, default_provider: Provider | None, clock: Clock) -> None:
        """`default_provider` is asked for where a question names none; without one, such questions are refused."""
        self._directory = directory
        self._default_provider = default_provider
        self._clock = clock

    def submission(self, given: GivenSubmission) -> Question:
        """The question of a submission. Raises InputInvalid with everything that is wrong with it; PayerUnknown."""
        problems = [*self._question_problems(given.question, QUESTION), *_submission_problems(given)]
        return self._question(given.question, QUESTION, problems)

    def question(self, given: GivenQuestion, path: Path) -> Question:
        """A question that stands at `path` of the arguments. Raises InputInvalid; PayerUnknown."""
        return self._question(given, path, [*self._question_problems(given, path)])

    def _question(self, given: GivenQuestion, path: Path, problems: list[InputProblem]) -> Question:
        provider = given.provider or self._default_provider
        if provider is None:
            problems.append(_problem((*path, "provider"), ProblemCode.REQUIRED, "Say which provider asks."))
        if problems or provider is None:
            raise InputInvalid(problems)
        payer = self._directory.find(given.payer_id)
        if payer is None:
            raise PayerUnknown(self._unknown_payer(given.payer_id, (*path, "payerId")))
        return Question(
            member_id=MemberId(given.member_id),
            payer_id=payer.id,
            provider=_clean_provider(provider),
            subscriber=_clean_person(given.subscriber),
            dependent=None if given.dependent is None else _clean_dependent(given.dependent),
            service_type_codes=tuple(sorted(set(given.service_type_codes))),
            date_of_service=given.date_of_service or self._clock.now().date(),
        )

    def _unknown_payer(self, given: str, path: Path) -> InputProblem:
        nearest = [f"{payer.name} ({payer.id})" for payer in self._directory.nearest(given)]
        hint = f"Perhaps one of these was meant: {', '.join(nearest)}." if nearest else "Look it up: `payers(search:)`."
        return _problem(path, ProblemCode.PAYER_UNKNOWN, f"No payer goes by this id. {hint}")

    def _question_problems(self, given: GivenQuestion, path: Path) -> Iterator[InputProblem]:
        today = self._clock.now().date()
        yield from _member_id_problems((*path, "memberId"), given.member_id)
        if given.provider is not None:
            yield from _provider_problems((*path, "provider"), given.provider)
        yield from _person_problems((*path, "subscriber"), given.subscriber, today)
        yield from _id((*path, "subscriber", "memberId"), given.subscriber.member_id, 2, 80, _X12_DELIMITERS)
        if given.dependent is not None:
            yield from _person_problems((*path, "dependent"), given.dependent, today)
        yield from _service_type_problems((*path, "serviceTypeCodes"), given.service_type_codes)
        if given.date_of_service is not None:
            first, last = _year_before(today), _month_end(today)
            yield from _date((*path, "dateOfService"), given.date_of_service, first, last)


def _submission_problems(given: GivenSubmission) -> Iterator[InputProblem]:
    if not 1 <= given.deadline_seconds <= LONGEST_DEADLINE_SECONDS:
        message = f"A whole number of seconds from 1 to {LONGEST_DEADLINE_SECONDS} is allowed."
        yield _problem(("input", "deadlineSeconds"), ProblemCode.RANGE, message)
    if given.idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(given.idempotency_key):
        message = "1 to 128 printable ASCII characters are allowed."
        yield _problem(("input", "idempotencyKey"), ProblemCode.FORMAT, message)


def _person_problems(path: Path, person: Person | Dependent, today: date) -> Iterator[InputProblem]:
    yield from _name((*path, "firstName"), person.first_name)
    yield from _name((*path, "lastName"), person.last_name)
    yield from _date((*path, "dateOfBirth"), person.date_of_birth, _FIRST_BIRTH, today)


def _provider_problems(path: Path, provider: Provider) -> Iterator[InputProblem]:
    if not _NPI.fullmatch(provider.npi):
        yield _problem((*path, "npi"), ProblemCode.FORMAT, "An NPI has ten digits.")
    elif not _luhn_holds(_NPI_PREFIX + provider.npi):
        yield _problem((*path, "npi"), ProblemCode.CHECK_DIGIT, "The check digit does not fit: look for a typo.")
    names = {
        "organizationName": provider.organization_name,
        "firstName": provider.first_name,
        "lastName": provider.last_name,
    }
    given = {field for field, name in names.items() if name is not None}
    if given not in ({"organizationName"}, {"firstName", "lastName"}):
        message = "Either organizationName, or firstName and lastName, is needed; not both."
        yield _problem(path, ProblemCode.CONFLICT, message)
    for field, name in names.items():
        if name is not None:
            yield from _name((*path, field), name)


def _service_type_problems(path: Path, codes: tuple[str, ...]) -> Iterator[InputProblem]:
    if not 1 <= len(codes) <= _SERVICE_TYPES_MAX:
        yield _problem(path, ProblemCode.LENGTH, f"1 to {_SERVICE_TYPES_MAX} codes are allowed.")
        return
    for index, code in enumerate(codes):
        if not _SERVICE_TYPE.fullmatch(code):
            message = 'An X12 service type code is one or two capital letters or digits, like "30" or "A4".'
            yield _problem((*path, str(index)), ProblemCode.FORMAT, message)


def _member_id_problems(path: Path, text: str) -> Iterator[InputProblem]:
    """Ours is taken to the letter: with a space around it, it would be somebody else's."""
    problems = list(_id(path, text, 1, 256))
    if not problems and text != text.strip():
        message = "White space at the beginning and the end is not allowed: leave it out."
        problems.append(_problem(path, ProblemCode.CHARACTERS, message))
    yield from problems


def _id(path: Path, text: str, least: int, most: int, barred: frozenset[str] = frozenset()) -> Iterator[InputProblem]:
    if not least <= len(text.strip()) <= len(text) <= most:
        yield _length(path, least, most)
    elif _holds(text, _MEANINGLESS | _INVISIBLE, barred):
        message = (
            f"{_named('Control and invisible characters', barred)} are not allowed: type it, rather than paste it."
        )
        yield _problem(path, ProblemCode.CHARACTERS, message)


def _name(path: Path, text: str) -> Iterator[InputProblem]:
    if not text.strip() or len(text) > _LONGEST_NAME or len(_clean(text)) > _LONGEST_NAME:
        yield _length(path, 1, _LONGEST_NAME)
    elif _holds(text, _MEANINGLESS, _X12_DELIMITERS):
        message = f"{_named('Control characters', _X12_DELIMITERS)} are not allowed."
        yield _problem(path, ProblemCode.CHARACTERS, message)
    elif not any(character.isalpha() for character in text):
        yield _problem(path, ProblemCode.CHARACTERS, "A name holds at least one letter.")


def _holds(text: str, categories: frozenset[str], barred: frozenset[str]) -> bool:
    if not barred.isdisjoint(text):
        return True
    if text.isascii() and text.isprintable():  # as nearly all are, and it costs a tenth
        return False
    return any(unicodedata.category(character) in categories for character in text)


def _length(path: Path, least: int, most: int) -> InputProblem:
    return _problem(path, ProblemCode.LENGTH, f"{least} to {most} characters are allowed.")


def _named(kinds: str, barred: frozenset[str]) -> str:
    return f"{kinds} and {' '.join(sorted(barred))}" if barred else kinds


def _date(path: Path, day: date, first: date, last: date) -> Iterator[InputProblem]:
    if not first <= day <= last:
        yield _problem(path, ProblemCode.RANGE, f"A date from {first} to {last} is allowed.")


def _problem(path: Path, code: ProblemCode, message: str) -> InputProblem:
    return InputProblem(path=path, code=code, message=message)


def _luhn_holds(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return date(day.year - 1, 2, 28)


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _clean(name: str) -> str:
    """The same for two spellings of a name that look the same."""
    if name.isascii():
        return " ".join(name.split())
    visible = "".join(character for character in name if unicodedata.category(character) not in _INVISIBLE)
    return " ".join(unicodedata.normalize("NFC", visible).split())


def _clean_person(person: Person) -> Person:
    return Person(
        member_id=person.member_id.strip(),
        first_name=_clean(person.first_name),
        last_name=_clean(person.last_name),
        date_of_birth=person.date_of_birth,
    )


def _clean_dependent(dependent: Dependent) -> Dependent:
    return Dependent(
        first_name=_clean(dependent.first_name),
        last_name=_clean(dependent.last_name),
        date_of_birth=dependent.date_of_birth,
        relationship=dependent.relationship,
    )


def _clean_provider(provider: Provider) -> Provider:
    return Provider(
        npi=provider.npi,
        organization_name=_cleaned(provider.organization_name),
        first_name=_cleaned(provider.first_name),
        last_name=_cleaned(provider.last_name),
    )


def _cleaned(text: str | None) -> str | None:
    return None if text is None else _clean(text)
