"""The view of requests in Redis: the contract of every view of requests, and what several instances add to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bus.sealing import TenantSealer
from tests.bus.redis_world import RedisWorld, ViewedLog, redis_world
from tests.bus.test_request_view_contract import (
    test_a_call_is_accounted_for_by_each_event_that_proves_its_end,
    test_a_call_is_unaccounted_until_its_lease_ends,
    test_a_call_of_several_requests_is_told_once_with_its_last_lease,
    test_a_call_whose_end_is_known_stays_ended,
    test_a_refused_event_ends_no_call,
    test_a_request_is_its_tenants_own,
    test_a_request_is_seen_at_once_as_its_events_tell_it,
    test_events_that_tell_nothing_of_a_request_leave_its_status,
    test_listings_are_newest_first_by_submission_and_page_without_repeat,
    test_listings_can_be_of_one_member_and_of_some_statuses,
    test_open_requests_are_those_that_have_not_ended_oldest_first,
    test_several_requests_are_told_at_once_whatever_their_tenant,
    test_the_people_asked_about_are_each_counted_once_and_since_a_time,
)

__all__ = [  # the contract; what it says of deletion is said below of retention
    "test_a_call_is_accounted_for_by_each_event_that_proves_its_end",
    "test_a_call_is_unaccounted_until_its_lease_ends",
    "test_a_call_of_several_requests_is_told_once_with_its_last_lease",
    "test_a_call_whose_end_is_known_stays_ended",
    "test_a_refused_event_ends_no_call",
    "test_a_request_is_its_tenants_own",
    "test_a_request_is_seen_at_once_as_its_events_tell_it",
    "test_events_that_tell_nothing_of_a_request_leave_its_status",
    "test_listings_are_newest_first_by_submission_and_page_without_repeat",
    "test_listings_can_be_of_one_member_and_of_some_statuses",
    "test_open_requests_are_those_that_have_not_ended_oldest_first",
    "test_several_requests_are_told_at_once_whatever_their_tenant",
    "test_the_people_asked_about_are_each_counted_once_and_since_a_time",
]

pytestmark = pytest.mark.services


@pytest.fixture(params=["plain", "sealed"])
async def world(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[RedisWorld]:
    sealer = TenantSealer(b"k" * 32) if request.param == "sealed" else None
    async with redis_world(redis_url, sealer=sealer) as world:
        yield world


@pytest.fixture
def log(world: RedisWorld) -> ViewedLog:
    return ViewedLog(world)
