"""The Python client gql, over WebSocket: follows a request, is cut off in the middle, and resumes by cursor."""

from __future__ import annotations

from typing import Any, Final

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.clients.conftest import Demo

SUBMIT: Final = gql("""
    mutation Submit($input: SubmitCoverageRequestInput!) {
      submitCoverageRequest(input: $input) { ... on CoverageRequestAccepted { request { id } } }
    }
""")
FOLLOW: Final = """
    subscription Follow($requestId: ID!, $after: Cursor) {
      coverageRequestEvents(requestId: $requestId, after: $after) {
        ... on CoverageRequestEvent { id cursor type sequence coverage { status } }
      }
    }
"""
INPUT: Final = {
    "cacheMode": "REQUIRE_FRESH",
    "question": {
        "memberId": "m-1",
        "payerId": "60054",
        "subscriber": {
            "memberId": "AETNA12345",
            "firstName": "Jane",
            "lastName": "Doe",
            "dateOfBirth": "2004-04-04",
        },
    },
}
CUT_AFTER: Final = 2


class Following:
    """One request, followed over as many connections as it takes."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self.request_id = ""
        self.events: list[dict[str, Any]] = []

    def _transport(self) -> WebsocketsTransport:
        authorization = {"authorization": f"Bearer {self._demo.token}"}
        return WebsocketsTransport(url=self._demo.link.replace("http", "ws", 1), init_payload=authorization)

    async def submit(self) -> None:
        async with Client(transport=self._transport()) as session:
            request = gql(SUBMIT.payload["query"])
            request.variable_values = {"input": INPUT}
            answer = await session.execute(request)
        self.request_id = answer["submitCoverageRequest"]["request"]["id"]

    async def follow(self, *, cut_after: int | None = None) -> None:
        """From the last event that was seen to the end, or until the network is cut off after so many more."""
        request = gql(FOLLOW)
        cursor = self.events[-1]["cursor"] if self.events else None
        request.variable_values = {"requestId": self.request_id, "after": cursor}
        transport = self._transport()
        async with Client(transport=transport) as session:
            async for item in session.subscribe(request):
                self.events.append(item["coverageRequestEvents"])
                if len(self.events) == cut_after:
                    assert transport.adapter.websocket is not None
                    transport.adapter.websocket.transport.abort()


async def test_it_follows_to_the_end_and_after_a_cut_resumes_by_cursor_each_event_once_and_in_order(demo: Demo) -> None:
    following = Following(demo)
    await following.submit()
    with pytest.raises(TransportConnectionFailed):
        await following.follow(cut_after=CUT_AFTER)
    assert len(following.events) < 5
    await following.follow()
    assert [event["sequence"] for event in following.events] == [1, 2, 3, 4, 5]
    assert following.events[-1]["type"] == "COMPLETED"
    assert len({event["id"] for event in following.events}) == 5


async def test_it_is_told_why_it_may_not_follow(demo: Demo) -> None:
    following = Following(demo)
    following.request_id = "unknown"
    with pytest.raises(TransportQueryError) as refused:
        await following.follow()
    assert refused.value.errors is not None
    assert refused.value.errors[0]["extensions"]["code"] == "NOT_FOUND"
