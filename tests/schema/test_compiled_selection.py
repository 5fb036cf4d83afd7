from __future__ import annotations

import dataclasses
from typing import Any, Final, cast

import graphql
import msgspec
import pytest
from graphql.execution.executor import Executor
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bus.coverage import Coverage
from bus.events import DATA_OF, Answered
from bus.replay import Checkpoint, Gap, GapReason
from resolvers.answers import Answers, CoverageAnswer, CoverageSource
from resolvers.progress import QueueProgress
from schema.answer_templates import Selection
from schema.compiled_selection import Unusual
from schema.event_answers import Selections
from schema.tellings import TELLINGS, Item, update_of
from tests.schema.asking import made
from tests.schema.stream_documents import ROOTS, VARIABLES, documents, items

_SCHEMA: Final[graphql.GraphQLSchema] = made()._schema


class _Ages(Answers):
    def __init__(self) -> None:
        pass

    def coverage(self, coverage: Coverage, source: CoverageSource) -> CoverageAnswer:
        return CoverageAnswer(coverage=coverage, age_seconds=1.5, source=source)


def _executor(document: str, **variables: Any) -> Executor[Any]:
    ast = graphql.parse(document)
    executor = Executor.build(_SCHEMA, ast, raw_variable_values=variables)
    assert isinstance(executor, Executor), executor
    return executor


def _selection(executor: Executor[Any], document: str) -> Selection | None:
    return Selections().of(executor, graphql.parse(document))


def _executed(executor: Executor[Any], item: Item) -> graphql.ExecutionResult:
    update = update_of(item, _Ages())
    return cast("graphql.ExecutionResult", executor.build_per_event_executor(update).execute_operation(False))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.data())
def test_a_compiled_selection_answers_what_the_executor_answers_or_leaves_it_to_it(data: st.DataObject) -> None:
    document = data.draw(documents(_SCHEMA))
    assume(not graphql.validate(_SCHEMA, graphql.parse(document)))
    executor = _executor(document, yes=data.draw(st.booleans()))
    selection = _selection(executor, document)
    assert selection is not None
    for item in data.draw(st.lists(items, min_size=1, max_size=12)):
        executed = _executed(executor, item)
        try:
            payload = selection.payload(item, _Ages())
        except Unusual:
            assert executed.errors or not _is_whole(executed.data)
        else:
            assert not executed.errors
            assert msgspec.json.decode(payload) == {"data": msgspec.json.decode(msgspec.json.encode(executed.data))}


def _is_whole(data: object) -> bool:
    """Whether it can be written at all."""
    try:
        msgspec.json.encode(data)
    except UnicodeEncodeError:
        return False
    return True


def test_every_kind_of_item_is_told_in_all_its_fields() -> None:
    assert TELLINGS.keys() == {*DATA_OF.values(), Checkpoint, Gap, QueueProgress} - {Answered}
    for telling in TELLINGS.values():
        assert telling.fields.keys() == {field.name for field in dataclasses.fields(telling.type)}


def test_keys_stand_in_the_documents_order() -> None:
    document = f"""subscription S({VARIABLES}) {{ all: {ROOTS["memberEvents"]} {{
      ... on Gap {{ reason }} ...Late __typename }} }} fragment Late on Update {{ z: cursor cursor }}"""
    executor = _executor(document, yes=True)
    selection = _selection(executor, document)
    assert selection is not None
    payload = selection.payload(Gap(cursor="c", reason=GapReason.EXPIRED), _Ages())
    assert payload == b'{"data":{"all":{"reason":"EXPIRED","z":"c","cursor":"c","__typename":"Gap"}}}'


@pytest.mark.parametrize("yes", [True, False])
def test_a_selection_is_compiled_once_for_each_way_its_variables_decide(yes: bool) -> None:
    document = (
        f"subscription S({VARIABLES}) {{ {ROOTS['memberEvents']} {{ __typename @include(if: $yes) x: __typename }} }}"
    )
    ast, selections = graphql.parse(document), Selections()
    first = selections.of(_executor(document, yes=yes, id="1"), ast)
    assert first is selections.of(_executor(document, yes=yes, id="2"), ast)
    assert first is not selections.of(_executor(document, yes=not yes, id="1"), ast)


def test_a_document_that_asks_for_two_streams_is_left_to_the_executor() -> None:
    fields = " ".join(f"{name}: {ROOTS[name]} {{ __typename }}" for name in ("memberEvents", "payerEvents"))
    document = f"subscription S({VARIABLES}) {{ {fields} }}"
    assert _selection(_executor(document, yes=True), document) is None
