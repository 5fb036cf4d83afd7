"""The client against the simulator, over real HTTP, in both shapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from bus.coverage import BenefitKind, Coverage, CoverageStatus
from bus.ids import PayerId
from bus.question import Dependent, Person, Question, Relationship
from payer import current_shape, legacy_shape
from payer.outcome import Answer, Broken, Rejection, Throttled, Unfinished, Unreachable
from payer.simulator.app import simulator_app
from payer.simulator.people import MOCK_PEOPLE, MockPerson, Refusal
from payer.simulator.plans import PlanKind
from payer.simulator.running import running_simulator
from payer.stedi import StediApi
from tests.payer.conftest import (
    CURRENT_BODY,
    JORDAN,
    LEGACY_BODY,
    FixedClock,
    Simulator,
    plain_http,
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


async def test_garbage_comes_in_turns_and_leaves_the_server_well(simulator: Simulator, api: StediApi) -> None:
    codes = []
    for _ in range(6):
        outcome = await simulator.ask(question("SIMGARBAGE"), api)
        assert isinstance(outcome, Broken)
        codes.append(outcome.failure.code)
    assert codes == ["ANSWER_UNREADABLE", "ANSWER_CUT_OFF", "ANSWER_UNREADABLE"] * 2
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


# Slots.


class HeldClock(FixedClock):
    """Calls take until they are let go."""

    def __init__(self) -> None:
        self.entered = 0
        self.let_go = asyncio.Event()
        self.arrived = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        async with self.arrived:
            self.entered += 1
            self.arrived.notify_all()
        await self.let_go.wait()

    async def wait_for(self, entered: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.entered >= entered)


@pytest.fixture
async def held() -> AsyncIterator[tuple[Simulator, HeldClock]]:
    clock = HeldClock()
    app = simulator_app(seed=1, slots=3, speed=1.0, clock=clock)
    async with running_simulator(app) as url, plain_http() as http:
        yield Simulator(http, url), clock


async def until_abandoned(simulator: Simulator, count: int) -> dict[str, Any]:
    while (stats := await simulator.stats())["abandoned"] < count:
        pass
    return stats


async def test_a_call_over_the_slots_is_refused_and_counted(held: tuple[Simulator, HeldClock]) -> None:
    simulator, clock = held
    calls = [asyncio.create_task(simulator.ask(question(card=f"CARD{number}"))) for number in range(3)]
    await clock.wait_for(3)
    refused = await simulator.post(LEGACY_PATH, LEGACY_BODY)
    assert refused.status_code == 429
    assert refused.json()["code"] == "TOO_MANY_REQUESTS"
    assert "CUSTOMER_LIMIT" in refused.json()["message"]
    assert isinstance(await simulator.ask(question("87726")), Throttled)
    stats = await simulator.stats()
    assert (stats["in_flight"], stats["refused"], stats["calls"]) == (3, 2, 5)
    clock.let_go.set()
    assert all(isinstance(outcome, Answer) for outcome in await asyncio.gather(*calls))
    stats = await simulator.stats()
    assert (stats["in_flight"], stats["max_in_flight"], stats["abandoned"]) == (0, 3, 0)
    assert stats["by_payer"] == {
        "87726": {"calls": 1, "in_flight": 0, "max_in_flight": 0},
        "SIMOK": {"calls": 4, "in_flight": 0, "max_in_flight": 3},
    }


async def test_an_abandoned_call_keeps_its_slot_until_its_time_is_up(held: tuple[Simulator, HeldClock]) -> None:
    simulator, clock = held
    for number in range(3):
        outcome = await simulator.ask(question(card=f"CARD{number}"), seconds=0.2)
        assert isinstance(outcome, Unfinished)
    stats = await until_abandoned(simulator, 3)
    assert (stats["in_flight"], stats["abandoned"]) == (3, 3)
    assert isinstance(await simulator.ask(question()), Throttled)
    clock.let_go.set()
    while (await simulator.stats())["in_flight"]:
        pass
    assert isinstance(await simulator.ask(question()), Answer)
    stats = await simulator.stats()
    assert (stats["max_in_flight"], stats["abandoned"]) == (3, 3)


async def test_a_payer_that_refuses_for_load_takes_no_slot(held: tuple[Simulator, HeldClock]) -> None:
    simulator, _ = held
    for _ in range(5):
        assert isinstance(await simulator.ask(question("SIM429")), Throttled)
    stats = await simulator.stats()
    assert (stats["calls"], stats["refused"], stats["max_in_flight"]) == (5, 0, 0)


async def test_whoever_has_an_answer_may_call_again_at_once() -> None:
    async with simulated(slots=2) as simulator:

        async def one_after_another(name: str) -> None:
            for number in range(40):
                assert isinstance(await simulator.ask(question(card=f"{name}{number}")), Answer)

        await asyncio.gather(one_after_another("A"), one_after_another("B"))
        stats = await simulator.stats()
    assert (stats["refused"], stats["calls"]) == (0, 80)


async def test_stopping_ends_calls_under_way() -> None:
    clock = HeldClock()
    app = simulator_app(seed=1, slots=3, speed=1.0, clock=clock)
    async with plain_http() as http, running_simulator(app) as url:
        call = asyncio.create_task(Simulator(http, url).ask(question()))
        await clock.wait_for(1)
        app.state.checks.hang_up()
        outcome = await call
        late = await Simulator(http, url).ask(question())
    assert isinstance(outcome, Broken)
    assert isinstance(late, Broken)
    assert outcome.failure.code == late.failure.code == "HTTP_503"


async def test_a_port_that_is_taken_is_an_error() -> None:
    app = simulator_app(1, 15, 1.0, FixedClock())
    async with running_simulator(app) as url:
        with pytest.raises(OSError, match="in use"):
            async with running_simulator(app, port=int(url.rsplit(":", 1)[1])):
                pass
