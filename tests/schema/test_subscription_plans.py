from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import schema.execution
from bus.replay import Checkpoint, StreamItem
from resolvers.errors import Forbidden
from schema.context import Context
from tests.resolvers.world import member
from tests.schema.asking import made

_SCHEMA: Final = made()
_NEW: Final = count()

Call = tuple[str, tuple[object, ...], dict[str, object]]


class _Subscriptions:
    """Notes how it is asked, and gives one item."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def member(self, *given: object, **named: object) -> AsyncGenerator[StreamItem, None]:
        return self._asked("member", given, named)

    def payers(self, *given: object, **named: object) -> AsyncGenerator[StreamItem, None]:
        return self._asked("payers", given, named)

    async def request(self, *given: object, **named: object) -> AsyncGenerator[StreamItem, None]:
        return self._asked("request", given, named)

    def _asked(
        self, name: str, given: tuple[object, ...], named: dict[str, object]
    ) -> AsyncGenerator[StreamItem, None]:
        self.calls.append((name, given[1:], named))
        if "forbidden" in given:
            raise Forbidden("No.")
        return _one_item()


async def _one_item() -> AsyncGenerator[StreamItem, None]:
    yield Checkpoint(cursor="c")


def _asked(document: str, variables: Mapping[str, Any]) -> tuple[list[Call], object]:
    """How the use case was asked, and what the subscriber was told."""

    async def ask() -> list[object]:
        context: Any = Context(member(), use_cases)
        stream: Any = await _SCHEMA.stream(document, variable_values={**variables}, context_value=context)
        return [(result.data, [error.formatted for error in result.errors or ()]) async for result in stream]

    use_cases: Any = SimpleNamespace(subscriptions=_Subscriptions(), answers=None)
    told = asyncio.run(ask())
    return use_cases.subscriptions.calls, told


_fields = st.one_of(
    st.builds(
        "coverageRequestEvents(requestId: {}{}{})".format,
        st.sampled_from(["$id", '"written"']),
        st.sampled_from(["", ", after: $after", ', after: "written"', ", after: null"]),
        st.sampled_from(["", ", progress: $yes", ", progress: true"]),
    ),
    st.builds(
        "memberEvents{}".format,
        st.sampled_from(
            ["", "(memberId: $id)", "(after: $after)", "(after: $after, memberId: $id)", '(memberId: "w")']
        ),
    ),
    st.builds(
        "payerEvents{}".format,
        st.sampled_from(["", "(payerIds: [$id])", '(payerIds: ["a", "b"])', '(payerIds: [$id, "b"], after: $after)']),
    ),
)


def _document(field: str, defaults: Mapping[str, str]) -> str:
    declared = {"$id": "ID!", "$after": "Cursor", "$yes": "Boolean! = false"}
    used = {name: type_ + defaults.get(name, "") for name, type_ in declared.items() if name in field or name == "$yes"}
    variables = ", ".join(f"{name}: {type_}" for name, type_ in used.items())
    return f"subscription S({variables}) {{ {field} {{ __typename @skip(if: $yes) x: __typename }} }}"


_default = st.sampled_from(["", "", ' = "default"'])
_documents = st.builds(_document, _fields, st.fixed_dictionaries({"$id": _default, "$after": _default}))
_text = st.sampled_from(["a", "b", "", "forbidden", "\ud800"])
_variables = st.fixed_dictionaries(
    {},
    optional={
        "id": _text | st.sampled_from([None, 7, True, ["a"]]),
        "after": _text | st.sampled_from([None, 7]),
        "yes": st.booleans() | st.sampled_from([None, "true"]),
        "unknown": st.none(),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_documents, st.lists(_variables, min_size=2, max_size=6))
def test_a_planned_subscription_begins_as_the_executor_would_have_it(
    document: str, asked: list[Mapping[str, Any]]
) -> None:
    for variables in asked:
        planned = _asked(document, variables)
        assert planned == _asked(f"{document} # {next(_NEW)}", variables)  # another document: nothing is known of it
        event("begun" if planned[0] else "refused")


@pytest.fixture
def made_for(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The variables of each request that an executor was made for."""
    made_for: list[Any] = []
    executor = schema.execution._executor

    def counted(of: Any, request: Any) -> Any:
        made_for.append(request.arguments["variable_values"])
        return executor(of, request)

    monkeypatch.setattr(schema.execution, "_executor", counted)
    return made_for


def test_the_executor_is_made_once_for_callers_whose_texts_alone_differ(made_for: list[Any]) -> None:
    document = "subscription S($id: ID!, $after: Cursor) { memberEvents(memberId: $id, after: $after) { __typename } }"
    variables: list[dict[str, str]] = [{"id": "a"}, {"id": "b"}, {"id": "c", "after": "x"}, {"id": "d", "after": "y"}]
    calls = [_asked(document, each)[0] for each in variables]
    assert calls == [[("member", (each["id"],), {"after": each.get("after")})] for each in variables]
    assert made_for == [variables[0], variables[2]]


def test_the_plan_in_use_outlives_those_that_were_used_once(made_for: list[Any]) -> None:
    names = [f"b{place}" for place in range(5)]
    declared = " ".join(f"${name}: Boolean!" for name in names)
    skipped = " ".join(f"{name}: __typename @skip(if: ${name})" for name in names)
    document = f"subscription S({declared}) {{ memberEvents {{ __typename {skipped} }} }}"
    usual, *others = [{name: bool(number >> place & 1) for place, name in enumerate(names)} for number in range(32)]
    for other in others:
        _asked(document, usual)
        _asked(document, other)
    assert made_for.count(usual) == 1
    assert len(made_for) == 32
