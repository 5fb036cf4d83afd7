"""The client against the simulator, over real HTTP, in both shapes."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from bus.coverage import BenefitKind, Coverage, CoverageStatus
from bus.ids import PayerId
from bus.question import Dependent, Person, Question, Relationship
from payer import current_shape, legacy_shape
from payer.outcome import Answer, Broken, Rejection, Throttled, Unreachable
from payer.simulator.people import MOCK_PEOPLE, MockPerson, Refusal
from payer.simulator.plans import PlanKind
from payer.stedi import StediApi
from tests.payer.conftest import (
    CURRENT_BODY,
    JORDAN,
    Simulator,
    question,
    simulated,
)

CURRENT_PATH = current_shape.PATH
LEGACY_PATH = legacy_shape.PATH
UNAVAILABLE = {"42", "79"}


@pytest.fixture(params=list(StediApi))
def api(request: pytest.FixtureRequest) -> StediApi:
    return StediApi(request.param)


def asked_of(person: MockPerson) -> Question:
    named = person.dependent
    dependent = None
    if named is not None:
        dependent = Dependent(
            first_name=named.first_name,
            last_name=named.last_name,
            date_of_birth=date.fromisoformat(named.date_of_birth),
            relationship=Relationship.CHILD,
        )
    dental = person.answer in (PlanKind.DENTAL, PlanKind.LONG_DENTAL)
    return replace(
        question(dependent=dependent, service_types=("35",) if dental else ("30",)),
        payer_id=PayerId(person.payer_id),
        subscriber=Person(
            member_id=person.member_ids[0],
            first_name=person.first_name,
            last_name=person.last_name,
            date_of_birth=date.fromisoformat(person.date_of_birth or "1980-01-01"),
        ),
    )


def coverage(outcome: object) -> Coverage:
    assert isinstance(outcome, Answer)
    return outcome.coverage


# People.


async def test_every_documented_person_is_answered_as_documented_and_alike_in_both_shapes(
    simulator: Simulator,
) -> None:
    assert len(MOCK_PEOPLE) == 34
    for person in (person for person in MOCK_PEOPLE if person.member_ids):
        outcomes = [await simulator.ask(asked_of(person), api) for api in StediApi]
        if isinstance(person.answer, Refusal):
            expected = Unreachable if person.answer.code in UNAVAILABLE else Rejection
            for outcome in outcomes:
                assert isinstance(outcome, expected)
                assert outcome.failure.code == person.answer.code
        else:
            current, legacy = map(coverage, outcomes)
            assert current == legacy
            inactive = person.answer is PlanKind.INACTIVE
            assert current.status is (CoverageStatus.INACTIVE if inactive else CoverageStatus.ACTIVE)
            assert inactive or len(current.benefits) >= 10
            assert current.plan_begin == date(2026, 1, 1)


@pytest.mark.parametrize("card", ["CMS12345678", "1AA2CC3DD45"])
async def test_both_documented_cards_of_the_medicare_patient_are_known(simulator: Simulator, card: str) -> None:
    outcome = await simulator.ask(question("CMS", card, "Jane Doe", "1955-05-05"))
    assert coverage(outcome).status is CoverageStatus.ACTIVE


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        (question("60054", "AETNA12345", "Jane Doe", "2004-04-05"), "71", "subscriber.dateOfBirth"),
        (question("60054", "AETNA12345", "Jane Roe", "2004-04-04"), "73", "subscriber.lastName"),
        (question("60054", "AETNA12345", "jane Doe", "2004-04-04"), "73", "subscriber.lastName"),
        (question("60054", "AETNA12345", "Jane Doe", "2004-04-04", dependent=JORDAN), "77", "dependent.firstName"),
        (question("60054", "AETNA9wcSu", "John Doe"), "67", "subscriber.firstName"),
        (
            question("60054", "AETNA9wcSu", "John Doe", dependent=replace(JORDAN, first_name="Joan")),
            "65",
            "dependent.lastName",
        ),
        (
            question("60054", "AETNA9wcSu", "John Doe", dependent=replace(JORDAN, date_of_birth=date(2001, 1, 1))),
            "71",
            "dependent.dateOfBirth",
        ),
    ],
)
async def test_a_documented_card_wants_exactly_its_person(
    simulator: Simulator, api: StediApi, asked: Question, code: str, field: str
) -> None:
    outcome = await simulator.ask(asked, api)
    assert isinstance(outcome, Rejection)
    assert (outcome.failure.code, outcome.failure.field) == (code, field)
    assert outcome.failure.follow_up == "Please Correct and Resubmit"


async def test_the_patient_may_come_back_as_the_subscriber(simulator: Simulator) -> None:
    body = {
        "payerId": "62308",
        "provider": {"name": {"organization": "A"}, "npi": "1999999984"},
        "subscriber": {"memberId": "CIGNAJTUxNm", "name": {"person": {"firstName": "John", "lastName": "Doe"}}},
        "dependent": {"name": {"person": {"firstName": "Jordan", "lastName": "Doe"}}, "dateOfBirth": "2015-09-20"},
    }
    answer = (await simulator.post(CURRENT_PATH, body)).json()
    assert answer["subscriber"]["name"]["person"]["firstName"] == "JORDAN"
    assert "dependent" not in answer


@pytest.mark.parametrize("path", [CURRENT_PATH, LEGACY_PATH])
async def test_a_medicare_identifier_is_looked_up_by_social_security_number(simulator: Simulator, path: str) -> None:
    bodies: dict[str, Any] = {
        CURRENT_PATH: {
            "payerId": "MBILU",
            "provider": {"name": {"organization": "A"}, "npi": "1999999984"},
            "subscriber": {
                "name": {"person": {"lastName": "Doe"}},
                "dateOfBirth": "1955-05-05",
                "additionalInformation": {"ssn": "123456789"},
            },
        },
        LEGACY_PATH: {
            "tradingPartnerServiceId": "MBILU",
            "provider": {"organizationName": "A", "npi": "1999999984"},
            "subscriber": {"lastName": "Doe", "dateOfBirth": "19550505", "ssn": "123456789"},
        },
    }
    assert "1AA2CC3DD45" in (await simulator.post(path, bodies[path])).text


@pytest.mark.parametrize("path", [CURRENT_PATH, LEGACY_PATH])
async def test_a_dental_procedure_is_answered_for(simulator: Simulator, path: str) -> None:
    bodies: dict[str, Any] = {
        CURRENT_PATH: {
            "payerId": "62308",
            "provider": {"name": {"person": {"lastName": "Lee"}}, "npi": "1999999984"},
            "subscriber": {
                "memberId": "U9876543210",
                "name": {"person": {"firstName": "James", "lastName": "Doe"}},
                "dateOfBirth": "1901-01-01",
            },
            "encounter": {"services": [{"value": "D4341", "system": "CDT"}]},
        },
        LEGACY_PATH: {
            "tradingPartnerServiceId": "62308",
            "provider": {"lastName": "Lee", "npi": "1999999984"},
            "subscriber": {
                "memberId": "U9876543210",
                "firstName": "James",
                "lastName": "Doe",
                "dateOfBirth": "19010101",
            },
            "encounter": {"procedureCode": "D4341", "productOrServiceIDQualifier": "AD"},
        },
    }
    assert "D4341" in (await simulator.post(path, bodies[path])).text


async def test_a_medical_procedure_is_answered_for(simulator: Simulator) -> None:
    services = [{"value": "99213", "system": "CPT"}]
    answer = await simulator.post(CURRENT_PATH, {**CURRENT_BODY, "encounter": {"services": services}})
    assert {"value": "99213", "system": "CPT"} in [
        row.get("service") for row in answer.json()["plans"][0]["benefits"]["coInsurance"]
    ]


async def test_the_longest_dental_answer_has_as_many_rows_as_documented(simulator: Simulator) -> None:
    person = next(person for person in MOCK_PEOPLE if person.answer is PlanKind.LONG_DENTAL)
    answer = await simulator.post(LEGACY_PATH, legacy_shape.inquiry(asked_of(person)))
    assert len(answer.json()["benefitsInformation"]) == 384


async def test_everybody_else_has_a_plan_of_their_own_that_stays_the_same() -> None:
    people = [question(card=f"CARD{number}") for number in range(20)]
    found = []
    for seed in (1, 1, 2):
        async with simulated(seed=seed) as simulator:
            found.append([coverage(await simulator.ask(person, StediApi.LEGACY)) for person in people])
            again = coverage(await simulator.ask(people[0]))
            assert again == found[-1][0]
    assert found[0] == found[1] != found[2]
    assert len({str(one.benefits) for one in found[0]}) > 15
    active = [one for one in found[0] if one.status is CoverageStatus.ACTIVE]
    assert 15 <= len(active) <= 20
    assert all(10 <= len(one.benefits) <= 40 for one in active)
    kinds = {benefit.kind for benefit in active[0].benefits}
    assert kinds >= {
        BenefitKind.COPAYMENT,
        BenefitKind.COINSURANCE,
        BenefitKind.DEDUCTIBLE,
        BenefitKind.OUT_OF_POCKET,
        BenefitKind.LIMITATION,
    }


async def test_what_is_asked_about_is_answered_about(simulator: Simulator) -> None:
    office = coverage(await simulator.ask(question(service_types=("98",))))
    assert any("98" in benefit.service_type_codes for benefit in office.benefits)
    dental = coverage(await simulator.ask(question(service_types=("35",))))
    assert any("35" in benefit.service_type_codes for benefit in dental.benefits)
    unusual = coverage(await simulator.ask(question(service_types=("ZZ9",))))
    assert any("ZZ9" in benefit.service_type_codes for benefit in unusual.benefits)


# Faults.


@pytest.mark.parametrize(
    ("payer_id", "outcome", "code"),
    [
        ("SIMOK", Answer, ""),
        ("SIMSLOW", Answer, ""),
        ("SIMHANG", Unreachable, "HTTP_504"),
        ("SIMDOWN", Unreachable, "42"),
        ("SIM500", Broken, "HTTP_500"),
        ("SIM429", Throttled, "HTTP_429"),
        ("SIMREJECT", Rejection, "75"),
    ],
)
async def test_a_fault_is_the_outcome_it_is_named_after(
    simulator: Simulator, api: StediApi, payer_id: str, outcome: type, code: str
) -> None:
    found = await simulator.ask(question(payer_id), api)
    assert type(found) is outcome
    assert isinstance(found, Answer) or found.failure.code == code
    stats = await simulator.stats()
    assert (stats["calls"], stats["refused"], stats["malformed"], stats["in_flight"]) == (1, 0, 0, 0)


async def test_a_flaky_payer_is_unreachable_about_half_the_time(simulator: Simulator, api: StediApi) -> None:
    found = [await simulator.ask(question("SIMFLAKY"), api) for _ in range(60)]
    down = [outcome for outcome in found if isinstance(outcome, Unreachable)]
    assert 15 <= len(down) <= 45
    assert {outcome.failure.code for outcome in down} == {"80"}
    assert sum(isinstance(outcome, Answer) for outcome in found) == 60 - len(down)


async def test_garbage_comes_in_turns_and_leaves_the_server_well(
    simulator: Simulator, api: StediApi, caplog: pytest.LogCaptureFixture
) -> None:
    codes = []
    for _ in range(6):
        outcome = await simulator.ask(question("SIMGARBAGE"), api)
        assert isinstance(outcome, Broken)
        codes.append(outcome.failure.code)
    assert codes == ["ANSWER_UNREADABLE", "ANSWER_CUT_OFF", "ANSWER_UNREADABLE"] * 2
    assert caplog.text == ""  # what is meant is no complaint of the server's
    assert isinstance(await simulator.ask(question(), api), Answer)


async def test_a_payer_can_be_told_to_behave_otherwise(simulator: Simulator) -> None:
    told = await simulator.post("/sim/payers/uhc", {"behaviour": "SIMDOWN"})
    assert told.json() == {"payerId": "87726", "behaviour": "SIMDOWN"}
    assert isinstance(await simulator.ask(question("87726")), Unreachable)
    reset = await simulator.post("/sim/payers/87726", {"behaviour": None})
    assert reset.json() == {"payerId": "87726", "behaviour": "SIMOK"}
    assert isinstance(await simulator.ask(question("87726")), Answer)


@pytest.mark.parametrize(
    ("payer_id", "body", "status"),
    [
        ("NOBODY", {"behaviour": None}, 404),
        ("SIMOK", {"behaviour": "SIMODD"}, 400),
        ("SIMOK", {"behaviour": 1}, 400),
        ("SIMOK", {}, 400),
        ("SIMOK", [], 400),
    ],
)
async def test_a_wrong_behaviour_is_refused(simulator: Simulator, payer_id: str, body: object, status: int) -> None:
    assert (await simulator.post(f"/sim/payers/{payer_id}", body)).status_code == status
