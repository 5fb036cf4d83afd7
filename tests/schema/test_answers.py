from __future__ import annotations

from typing import Any

import pytest

from bus.coverage import Benefit, BenefitKind, Coverage, CoverageLevel, CoverageStatus, Network, TimePeriod
from bus.failure import Failure, FailureKind
from bus.ids import RequestId
from delivery.caller import Caller
from payer.outcome import Answer, Rejection
from tests.resolvers.world import (
    AETNA,
    FRESH_SECONDS,
    MEMBER,
    OTHER_TENANT,
    member,
    operator,
    service,
)
from tests.schema.asking import Asker, asking, codes, question_input, subscriber_input

# Queries


def test_the_caller_is_told_who_they_are() -> None:
    async def scenario(asker: Asker) -> None:
        document = "{ me { id tenantId roles member { id } } }"
        assert await asker.data(document) == {
            "me": {"id": "m-1", "tenantId": "acme", "roles": ["MEMBER"], "member": {"id": "m-1"}}
        }
        assert await asker.data(document, who=service()) == {
            "me": {"id": "backend", "tenantId": "acme", "roles": ["SERVICE"], "member": None}
        }

    asking(scenario)


def test_members_fetch_what_they_need_to_open_a_socket() -> None:
    async def scenario(asker: Asker) -> None:
        document = "{ me { member { websocketSubscribeInfo { url authToken expiresAt } } } }"
        info = (await asker.data(document))["me"]["member"]["websocketSubscribeInfo"]
        assert info["url"] == "ws://covey.test/graphql"
        assert info["expiresAt"] == "2026-11-23T12:05:00Z"
        assert info["authToken"]
        refused = await asker.ask(document, who=member(connect_only=True))
        assert codes(refused) == ["FORBIDDEN"]

    asking(scenario)


REQUEST = """query Request($id: ID!) {
  coverageRequest(id: $id) {
    id memberId payerId status priority attempt submittedAt updatedAt deadline queuePosition estimatedWaitSeconds
    coverage {
      status obtainedAt ageSeconds source requestId payerId planName groupNumber planBegin planEnd
      benefits {
        kind serviceTypeCodes amount percent network coverageLevel timePeriod quantity messages
      }
    }
    failure { code kind message field followUp }
    cursor
  }
}"""


def test_a_completed_request_has_its_coverage_whole() -> None:
    async def scenario(asker: Asker) -> None:
        benefit = Benefit(
            kind=BenefitKind.COPAYMENT,
            service_type_codes=("98",),
            amount="25.00",
            percent=None,
            network=Network.IN_NETWORK,
            coverage_level=CoverageLevel.INDIVIDUAL,
            time_period=TimePeriod.VISIT,
            quantity=None,
            messages=("Office visit",),
        )
        coverage = Coverage(
            status=CoverageStatus.ACTIVE,
            payer_id=AETNA,
            obtained_at=asker.world.clock.now(),
            request_id=RequestId("call"),
            plan_name="Open Choice",
            benefits=(benefit,),
        )
        asker.world.scheduler.payer.script = [Answer(coverage=coverage)]
        request = (await asker.submit(deadlineSeconds=60))["request"]
        assert (request["status"], request["queuePosition"], request["payerId"]) == ("ENQUEUED", 1, "60054")
        await asker.world.clock.sleep(10)
        found = (await asker.data(REQUEST, {"id": request["id"]}))["coverageRequest"]
        cursor = found.pop("cursor")
        assert cursor != request["cursor"]
        assert found == {
            "id": request["id"],
            "memberId": "m-1",
            "payerId": "60054",
            "status": "COMPLETED",
            "priority": "INTERACTIVE",
            "attempt": 1,
            "submittedAt": "2026-11-23T12:00:00Z",
            "updatedAt": "2026-11-23T12:00:03Z",
            "deadline": "2026-11-23T12:01:00Z",
            "queuePosition": None,
            "estimatedWaitSeconds": None,
            "failure": None,
            "coverage": {
                "status": "ACTIVE",
                "obtainedAt": "2026-11-23T12:00:00Z",
                "ageSeconds": 10.0,
                "source": "PAYER",
                "requestId": "call",
                "payerId": "60054",
                "planName": "Open Choice",
                "groupNumber": None,
                "planBegin": None,
                "planEnd": None,
                "benefits": [
                    {
                        "kind": "COPAYMENT",
                        "serviceTypeCodes": ["98"],
                        "amount": "25.00",
                        "percent": None,
                        "network": "IN_NETWORK",
                        "coverageLevel": "INDIVIDUAL",
                        "timePeriod": "VISIT",
                        "quantity": None,
                        "messages": ["Office visit"],
                    }
                ],
            },
        }

    asking(scenario)


def test_a_failed_request_says_what_to_correct() -> None:
    async def scenario(asker: Asker) -> None:
        failure = Failure(
            code="75", kind=FailureKind.MEMBER_DATA, message="Not found.", field="subscriber.memberId", follow_up="C"
        )
        asker.world.scheduler.payer.script = [Rejection(failure=failure)]
        request = (await asker.submit())["request"]
        await asker.world.clock.sleep(10)
        found = (await asker.data(REQUEST, {"id": request["id"]}))["coverageRequest"]
        assert found["status"] == "FAILED"
        assert found["coverage"] is None
        assert found["failure"] == {
            "code": "75",
            "kind": "MEMBER_DATA",
            "message": "Not found.",
            "field": "subscriber.memberId",
            "followUp": "C",
        }

    asking(scenario)


@pytest.mark.parametrize("who", [member("m-2"), operator(), member(MEMBER, OTHER_TENANT), service(OTHER_TENANT)])
def test_a_request_of_another_is_null(who: Caller) -> None:
    async def scenario(asker: Asker) -> None:
        request = (await asker.submit())["request"]
        for request_id in (request["id"], "unknown", "é", "\0"):
            assert await asker.data(REQUEST, {"id": request_id}, who=who) == {"coverageRequest": None}

    asking(scenario)


def test_requests_are_listed_in_pages() -> None:
    async def scenario(asker: Asker) -> None:
        for number in range(3):
            await asker.submit(who=service(), memberId=f"m-{number}")
        document = """query List($first: Int! = 2, $after: String, $status: [CoverageRequestStatus!], $memberId: ID) {
          coverageRequests(first: $first, after: $after, status: $status, memberId: $memberId) {
            edges { cursor node { memberId } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
          }
        }"""
        first = (await asker.data(document, who=service()))["coverageRequests"]
        assert [edge["node"]["memberId"] for edge in first["edges"]] == ["m-2", "m-1"]
        info = first["pageInfo"]
        assert info == {
            "hasNextPage": True,
            "hasPreviousPage": False,
            "startCursor": first["edges"][0]["cursor"],
            "endCursor": first["edges"][1]["cursor"],
        }
        last = (await asker.data(document, {"after": info["endCursor"]}, who=service()))["coverageRequests"]
        assert [edge["node"]["memberId"] for edge in last["edges"]] == ["m-0"]
        none = (await asker.data(document, {"status": ["CANCELLED"]}, who=service()))["coverageRequests"]
        assert none["pageInfo"] == {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        }
        own = (await asker.data(document, {"memberId": "m-1"}, who=service()))["coverageRequests"]
        assert len(own["edges"]) == 1
        refusals: list[tuple[Caller, dict[str, Any], str, list[str] | None]] = [
            (service(), {"first": 101}, "BAD_USER_INPUT", ["first"]),
            (service(), {"after": "made up"}, "BAD_USER_INPUT", ["after"]),
            (operator(), {}, "FORBIDDEN", None),
            (member(), {"memberId": "m-2"}, "FORBIDDEN", None),
        ]
        for who, variables, code, path in refusals:
            result = await asker.ask(document, variables, who=who)
            assert codes(result) == [code]
            assert (result.errors or [])[0].formatted["extensions"].get("path") == path

    asking(scenario)


def test_payers_are_looked_up_and_listed() -> None:
    async def scenario(asker: Asker) -> None:
        assert await asker.data('{ payer(id: "aetna") { id name aliases } none: payer(id: "nobody") { id } }') == {
            "payer": {"id": "60054", "name": "Aetna", "aliases": ["AETNA", "ABC12"]},
            "none": None,
        }
        document = """query Payers($search: String, $after: String) {
          payers(search: $search, first: 1, after: $after) { edges { cursor node { name } } pageInfo { endCursor } }
        }"""
        page = (await asker.data(document))["payers"]
        assert [edge["node"]["name"] for edge in page["edges"]] == ["Aetna"]
        page = (await asker.data(document, {"after": page["pageInfo"]["endCursor"]}))["payers"]
        assert [edge["node"]["name"] for edge in page["edges"]] == ["Cigna"]
        page = (await asker.data(document, {"search": "united"}))["payers"]
        assert [edge["node"]["name"] for edge in page["edges"]] == ["UnitedHealthcare"]

    asking(scenario)


def test_operators_see_the_scheduler() -> None:
    async def scenario(asker: Asker) -> None:
        await asker.submit()
        await asker.world.clock.sleep(1)
        document = """{ scheduler {
          slots held free
          classes { priority waiting inFlight }
          tenants { tenantId waiting inFlight }
          payers { payerId waiting inFlight breaker medianSeconds }
        } }"""
        status = (await asker.data(document, who=operator()))["scheduler"]
        assert (status["slots"], status["held"], status["free"]) == (15, 1, 14)
        assert {"priority": "INTERACTIVE", "waiting": 0, "inFlight": 1} in status["classes"]
        assert status["tenants"] == [{"tenantId": "acme", "waiting": 0, "inFlight": 1}]
        assert status["payers"] == [
            {"payerId": "60054", "waiting": 0, "inFlight": 1, "breaker": "CLOSED", "medianSeconds": None}
        ]
        for who in (member(), service()):
            assert codes(await asker.ask(document, who=who)) == ["FORBIDDEN"]

    asking(scenario)


COVERAGE = "query C($input: CoverageQuestion!) { coverage(input: $input) { planName ageSeconds source } }"


def test_the_cache_is_read_without_calling_a_payer() -> None:
    async def scenario(asker: Asker) -> None:
        assert await asker.data(COVERAGE, {"input": question_input()}) == {"coverage": None}
        await asker.world.put(30)
        assert await asker.data(COVERAGE, {"input": question_input()}) == {
            "coverage": {"planName": "Open Choice", "ageSeconds": 30.0, "source": "CACHE"}
        }
        assert asker.world.scheduler.payer.calls == []

    asking(scenario)


@pytest.mark.parametrize(
    ("who", "changes", "code", "path"),
    [
        (member("m-2"), {}, "FORBIDDEN", None),
        (operator(), {}, "FORBIDDEN", None),
        (member(), {"payerId": "nobody"}, "BAD_USER_INPUT", ["input", "payerId"]),
        (
            member(),
            {"subscriber": subscriber_input(firstName="")},
            "BAD_USER_INPUT",
            ["input", "subscriber", "firstName"],
        ),
    ],
)
def test_a_question_to_the_cache_that_may_not_be_is_an_error(
    who: Caller, changes: dict[str, Any], code: str, path: list[str] | None
) -> None:
    async def scenario(asker: Asker) -> None:
        result = await asker.ask(COVERAGE, {"input": question_input(**changes)}, who=who)
        assert codes(result) == [code]
        (error,) = result.errors or []
        assert error.formatted["extensions"].get("path") == path
        assert error.path == ["coverage"]

    asking(scenario)


# Mutations


def test_a_stale_answer_comes_with_its_refresh() -> None:
    async def scenario(asker: Asker) -> None:
        await asker.world.put(FRESH_SECONDS + 1)
        result = await asker.submit()
        assert result["__typename"] == "CoverageAnswered"
        assert result["coverage"] == {
            "status": "ACTIVE",
            "ageSeconds": FRESH_SECONDS + 1,
            "source": "CACHE",
            "requestId": "earlier",
        }
        assert result["refresh"]["priority"] == "BACKGROUND"
        fresh = await asker.submit(cacheMode="PREFER_CACHE")
        assert fresh["refresh"] is None

    asking(scenario)


async def cancel(asker: Asker, request_id: str) -> dict[str, Any]:
    document = """mutation Cancel($id: ID!) {
      cancelCoverageRequest(id: $id) {
        __typename
        ... on CoverageRequestCancelled { request { id status } }
        ... on Refused { reason message retryAfterSeconds }
      }
    }"""
    result: dict[str, Any] = (await asker.data(document, {"id": request_id}))["cancelCoverageRequest"]
    return result
