"""No error says anything of what was given, which may be health data: neither what leaves nor what is logged."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.resolvers.world import World, in_world, service
from tests.schema.asking import Asker, formatted, literal, made, question_input, submit_variables

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["\x00", "*~", "\u200b", " ", "1980-13-41", "19800101", "1800-01-01", "9" * 30]
)
_DIGITS_AND_DATES = st.integers(10**9, 10**10 - 1).map(str) | st.dates(date(1000, 1, 1), date(1899, 12, 31)).map(
    date.isoformat
)
_ODD: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        _TEXTS.map(lambda text: f"<{text}>")
        | _DIGITS_AND_DATES
        | st.integers(10**8, 10**12)
        | st.lists(_ODD, max_size=2)
        | st.dictionaries(_TEXTS.map(lambda text: f"<{text}>"), _ODD, max_size=2)
    )
)
SCHEMA: Final = made()
WHOLE: Final = question_input(
    dependent={"firstName": "Leo", "lastName": "Rivera", "dateOfBirth": "2015-01-01", "relationship": "CHILD"},
    provider={"npi": "1999999984", "organizationName": "Clinic", "firstName": None, "lastName": None},
    serviceTypeCodes=["30"],
    dateOfService="2026-11-23",
)
PLACES: Final = [
    *(f"input.question.{name}" for name in WHOLE),
    *(f"input.question.subscriber.{name}" for name in WHOLE["subscriber"]),
    *(f"input.question.dependent.{name}" for name in WHOLE["dependent"]),
    *(f"input.question.provider.{name}" for name in WHOLE["provider"]),
    "input.cacheMode",
    "input.priority",
    "input.deadlineSeconds",
    "input.idempotencyKey",
    "input",
]


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield str(value)


@pytest.mark.parametrize("at", PLACES)
@settings(max_examples=12, deadline=None)
@given(value=_ODD)
def test_no_error_repeats_what_was_given(at: str, value: Any) -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world, SCHEMA)
        variables = copy.deepcopy(submit_variables(**WHOLE))
        _put(variables, at, value)
        with capture_logs() as logs:
            written = literal(variables["input"])
            inline = await asker.ask(f"mutation {{ {_submit(written)} }}", who=service())
            document = f"mutation($input: SubmitCoverageRequestInput!) {{ {_submit('$input')} }}"
            whole = await asker.ask(document, variables, who=service())
            asked = {"input": variables["input"].get("question")} if isinstance(variables["input"], dict) else {}
            document = "query($input: CoverageQuestion!) { coverage(input: $input) { status } }"
            cached = await asker.ask(document, asked, who=service())
        results = [whole, inline, cached]
        told = json.dumps([[formatted(result), result.data] for result in results], ensure_ascii=False) + str(logs)
        for given_text in _leaves(value):
            assert given_text not in told
            assert json.dumps(given_text, ensure_ascii=False)[1:-1] not in told
        assert "INTERNAL" not in told

    in_world(scenario)


def _submit(argument: str) -> str:
    """Only what can be wrong is asked for: what is right may be told."""
    problems = "... on InvalidInput { problems { path code message } } ... on Refused { reason message }"
    return f"submitCoverageRequest(input: {argument}) {{ {problems} }}"


def _put(variables: dict[str, Any], at: str, value: Any) -> None:
    place: Any = variables
    *way, last = at.split(".")
    for key in way:
        place = place[key]
    place[last] = value
