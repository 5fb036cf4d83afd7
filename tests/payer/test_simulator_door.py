"""What the simulator refuses at its door, and the paths of the clearinghouse's payer directory."""

from __future__ import annotations

import pytest

from payer import current_shape, legacy_shape
from payer.outcome import Rejection
from payer.stedi import StediApi
from tests.payer.conftest import CURRENT_BODY, KEY, LEGACY_BODY, Simulator, question

CURRENT_PATH = current_shape.PATH
LEGACY_PATH = legacy_shape.PATH


@pytest.mark.parametrize("path", [CURRENT_PATH, LEGACY_PATH, "/2024-04-01/payers"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}])
async def test_a_call_without_a_key_is_refused(door: Simulator, path: str, headers: dict[str, str]) -> None:
    method = "GET" if path.endswith("payers") else "POST"
    response = await door.http.request(method, door.url + path, headers=headers)
    assert response.status_code == 401


async def test_the_older_form_of_the_key_works_and_modes_are_told_apart(door: Simulator) -> None:
    body = {
        "tradingPartnerServiceId": "SIMOK",
        "provider": {"organizationName": "A", "npi": "1999999984"},
        "subscriber": {"memberId": "CARD1"},
    }
    for key, mode in ((f"Key {KEY}", "test"), ("live_key", "production")):
        response = await door.http.post(door.url + LEGACY_PATH, json=body, headers={"Authorization": key})
        assert response.json()["meta"]["applicationMode"] == mode


async def test_an_unknown_payer_is_not_configured(door: Simulator) -> None:
    unknown = question("NOTAPAYER")
    current = await door.ask(unknown, StediApi.CURRENT)
    legacy = await door.ask(unknown, StediApi.LEGACY)
    assert isinstance(current, Rejection)
    assert isinstance(legacy, Rejection)
    assert (current.failure.code, legacy.failure.code) == ("HTTP_400", "79")
    assert (await door.stats())["malformed"] == 0


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        (CURRENT_PATH, [], ""),
        (CURRENT_PATH, None, ""),
        (CURRENT_PATH, {**CURRENT_BODY, "payerId": 5}, "/payerId"),
        (CURRENT_PATH, {**CURRENT_BODY, "payerId": ""}, "/payerId"),
        (CURRENT_PATH, {**CURRENT_BODY, "provider": {"npi": "1999999984"}}, "/provider/name/person/lastName"),
        (CURRENT_PATH, {**CURRENT_BODY, "provider": {"name": {"organization": "A"}, "npi": "1"}}, "/provider/npi"),
        (CURRENT_PATH, {**CURRENT_BODY, "subscriber": {}}, "/subscriber"),
        (CURRENT_PATH, {**CURRENT_BODY, "subscriber": {"memberId": "1"}}, "/subscriber/memberId"),
        (
            CURRENT_PATH,
            {**CURRENT_BODY, "subscriber": {"memberId": "12", "dateOfBirth": "20000101"}},
            "/subscriber/dateOfBirth",
        ),
        (
            CURRENT_PATH,
            {**CURRENT_BODY, "subscriber": {"memberId": "12", "dateOfBirth": "2000-02-30"}},
            "/subscriber/dateOfBirth",
        ),
        (CURRENT_PATH, {**CURRENT_BODY, "dependent": {}}, "/dependent/name/person/firstName"),
        (
            CURRENT_PATH,
            {
                **CURRENT_BODY,
                "dependent": {
                    "name": {"person": {"firstName": "A", "lastName": "B"}},
                    "relationToSubscriber": "19",
                },
            },
            "/dependent/relationToSubscriber",
        ),
        (CURRENT_PATH, {**CURRENT_BODY, "encounter": {"services": "30"}}, "/encounter/services"),
        (
            CURRENT_PATH,
            {**CURRENT_BODY, "encounter": {"services": [{"value": "30", "system": "NEW"}]}},
            "/encounter/services/0",
        ),
        (
            CURRENT_PATH,
            {**CURRENT_BODY, "encounter": {"services": [{"value": "a b", "system": "STC"}]}},
            "/encounter/services/0",
        ),
        (LEGACY_PATH, [], ""),
        (LEGACY_PATH, {**LEGACY_BODY, "provider": {"organizationName": "A", "npi": "1999999985"}}, "/provider/npi"),
        (LEGACY_PATH, {**LEGACY_BODY, "dependents": [{}, {}]}, "/dependents"),
        (
            LEGACY_PATH,
            {
                **LEGACY_BODY,
                "dependents": [{"firstName": "A", "lastName": "B", "individualRelationshipCode": "CHILD"}],
            },
            "/dependents/0/individualRelationshipCode",
        ),
        (LEGACY_PATH, {**LEGACY_BODY, "encounter": {"serviceTypeCodes": [30]}}, "/encounter/serviceTypeCodes"),
        (
            LEGACY_PATH,
            {**LEGACY_BODY, "encounter": {"dateOfService": "2026-11-23"}},
            "/encounter/dateOfService",
        ),
    ],
)
async def test_a_malformed_request_is_refused_naming_the_place_and_counted(
    door: Simulator, path: str, body: object, pointer: str
) -> None:
    response = await door.post(path, body)
    assert response.status_code == 400
    named = response.json()["errors" if path is CURRENT_PATH else "fieldList"]
    assert pointer in [problem["path"] for problem in named]
    stats = await door.stats()
    assert (stats["malformed"], stats["calls"]) == (1, 0)


async def test_a_body_that_is_too_large_or_deep_is_refused(door: Simulator) -> None:
    headers = {"Authorization": KEY}
    large = await door.http.post(door.url + CURRENT_PATH, content=b" " * 70_000, headers=headers)
    assert large.status_code == 413
    deep = await door.http.post(door.url + CURRENT_PATH, content=b"[" * 60_000, headers=headers)
    assert deep.status_code == 400


async def test_paths_and_methods_that_do_not_exist_are_refused_in_json(door: Simulator) -> None:
    assert (await door.post("/nowhere", {})).json() == {"message": "Not Found"}
    refused = await door.http.get(door.url + CURRENT_PATH)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


# The clearinghouse's payer directory.


async def test_payers_are_listed_searched_and_found_by_their_five_letters(door: Simulator) -> None:
    listed = (await door.get("/2024-04-01/payers"))["items"]
    assert len(listed) == 25
    (found,) = [payer for payer in listed if payer["primaryPayerId"] == "040"]
    assert (await door.get(f"/2024-04-01/payer/{found['stediId']}")) == {"payer": found}
    searched = await door.get("/2024-04-01/payers/search", query="united")
    assert {item["payer"]["primaryPayerId"] for item in searched["items"]} >= {"87726", "52133"}
    alike = await door.get("/2024-04-01/payers/search", query="cigma")
    assert alike["items"][0]["payer"]["primaryPayerId"] == "62308"


async def test_payers_come_in_pages(door: Simulator) -> None:
    first = await door.get("/2024-04-01/payers/search", pageSize=20)
    second = await door.get("/2024-04-01/payers/search", pageSize=20, pageToken=first["nextPageToken"])
    assert (len(first["items"]), len(second["items"])) == (20, 5)
    assert "nextPageToken" not in second


@pytest.mark.parametrize("query", ["pageSize=9", "pageSize=101", "pageSize=x", "pageToken=-1", "pageToken=9999999999"])
async def test_a_wrong_page_is_refused_and_counted(door: Simulator, query: str) -> None:
    response = await door.http.get(f"{door.url}/2024-04-01/payers/search?{query}", headers={"Authorization": KEY})
    assert response.status_code == 400
    assert (await door.stats())["malformed"] == 1


async def test_an_unknown_payer_is_not_found(door: Simulator) -> None:
    response = await door.http.get(f"{door.url}/2024-04-01/payer/ZZZZZ", headers={"Authorization": KEY})
    assert response.status_code == 404
