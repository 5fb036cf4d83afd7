"""What mutations answer: acceptance, mistakes and refusals are data."""

from __future__ import annotations

import pytest

from bus.events import CacheMode, Priority
from bus.ids import PayerId
from resolvers.refusal import RefusalReason
from tests.resolvers.world import (
    question,
    resolved,
    service,
)
from tests.schema.asking import Asker, asking, subscriber_input
from tests.schema.test_answers import cancel


def test_mistakes_are_data_with_their_paths() -> None:
    async def scenario(asker: Asker) -> None:
        result = await asker.submit(
            subscriber=subscriber_input(dateOfBirth="1850-01-01"),
            provider={"npi": "1999999985", "organizationName": "Clinic"},
            dependent={"firstName": "~", "lastName": "B", "dateOfBirth": "2010-01-01", "relationship": "CHILD"},
            deadlineSeconds=0,
        )
        assert result == {
            "__typename": "InvalidInput",
            "problems": [
                {
                    "path": ["input", "question", "provider", "npi"],
                    "code": "CHECK_DIGIT",
                    "message": "The check digit does not fit: look for a typo.",
                },
                {
                    "path": ["input", "question", "subscriber", "dateOfBirth"],
                    "code": "RANGE",
                    "message": "A date from 1900-01-01 to 2026-11-23 is allowed.",
                },
                {
                    "path": ["input", "question", "dependent", "firstName"],
                    "code": "CHARACTERS",
                    "message": "Control characters and * : ^ ~ are not allowed.",
                },
                {
                    "path": ["input", "deadlineSeconds"],
                    "code": "RANGE",
                    "message": "A whole number of seconds from 1 to 600 is allowed.",
                },
            ],
        }

    asking(scenario)


@pytest.mark.parametrize("reason", [reason.value for reason in RefusalReason])
def test_every_refusal_is_data(reason: str) -> None:
    async def scenario(asker: Asker) -> None:
        world = asker.world
        first = await asker.submit(idempotencyKey="k")
        match reason:
            case "RATE_LIMITED":
                for name in "abc":
                    result = await asker.submit(subscriber=subscriber_input(firstName=name))
            case "QUEUE_FULL":
                world.fill_queue()
                result = await asker.submit()
            case "LOG_UNAVAILABLE":
                world.log.away = True
                result = await asker.submit()
            case "PAYER_UNKNOWN":
                result = await asker.submit(payerId="nobody")
            case "FORBIDDEN":
                result = await asker.submit(priority="BACKGROUND")
            case "IDEMPOTENCY_CONFLICT":
                result = await asker.submit(idempotencyKey="k", payerId="CIGNA")
            case "NOT_FOUND":
                result = await cancel(asker, "unknown")
            case _:
                await world.clock.sleep(30)
                result = await cancel(asker, first["request"]["id"])
        assert result["__typename"] == "Refused"
        assert result["reason"] == reason
        assert (result["retryAfterSeconds"] is not None) is (
            reason in {"RATE_LIMITED", "QUEUE_FULL", "LOG_UNAVAILABLE"}
        )

    asking(scenario)


def test_a_request_is_given_up() -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        assert await cancel(asker, request["id"]) == {
            "__typename": "CoverageRequestCancelled",
            "request": {"id": request["id"], "status": "CANCELLED"},
        }

    asking(scenario)


def test_everything_that_can_be_given_arrives() -> None:
    async def scenario(asker: Asker) -> None:
        await asker.submit(
            who=service(),
            payerId="uhc",
            provider={"npi": "1234567893", "firstName": "Gregory", "lastName": "House"},
            dependent={"firstName": "Leo", "lastName": "Rivera", "dateOfBirth": "2015-05-05", "relationship": "CHILD"},
            serviceTypeCodes=["98", "30"],
            dateOfService="2026-11-01",
            cacheMode="REQUIRE_FRESH",
            priority="ENROLLMENT",
            deadlineSeconds=30,
        )
        (state,) = await asker.world.requests()
        asked = state.question
        assert asked.payer_id == PayerId("87726")
        assert (asked.provider.npi, asked.provider.first_name, asked.provider.organization_name) == (
            "1234567893",
            "Gregory",
            None,
        )
        assert asked.dependent is not None
        assert asked.dependent.date_of_birth.isoformat() == "2015-05-05"
        assert asked.service_type_codes == ("30", "98")
        assert asked.date_of_service.isoformat() == "2026-11-01"
        assert (state.cache_mode, state.priority) == (CacheMode.REQUIRE_FRESH, Priority.ENROLLMENT)
        assert asked.key(state.tenant_id) != resolved(question()).key(state.tenant_id)

    asking(scenario)
