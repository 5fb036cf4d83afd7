"""Documents of subscriptions, changed so that a header can resume them."""

from __future__ import annotations

import pytest
from graphql import build_schema, parse, validate
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.request import GraphQLRequest
from delivery.resumable import Subscription, Subscriptions
from tests.schema.hostile import HOSTILE

SCHEMA = build_schema("""
    scalar Cursor
    type Query { hello: String }
    type Item { id: ID }
    type Subscription { items(id: ID, after: Cursor): Item others(after: Cursor): Item }
""")


def find(text: str, name: str | None = None) -> Subscription | None:
    return Subscriptions().find(GraphQLRequest(query=text, operation_name=name), lambda _: None)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("subscription { items { id } }", "subscription ($coveyAfter: Cursor) { items(after: $coveyAfter) { id } }"),
        (
            'subscription S($id: ID) @x { a: items(id: $id, after: "c") { id } }',
            'subscription S($id: ID, $coveyAfter: Cursor = "c") @x { a: items(id: $id, after: $coveyAfter) { id } }',
        ),
        (
            "subscription S @x { items(id: 1) { id } }",
            "subscription S ($coveyAfter: Cursor) @x { items(id: 1, after: $coveyAfter) { id } }",
        ),
        (
            "# coveyAfter\nsubscription { items { id } }",
            "# coveyAfter\nsubscription ($coveyAfter_: Cursor) { items(after: $coveyAfter_) { id } }",
        ),
    ],
)
def test_after_becomes_a_variable_and_the_rest_stays_to_the_letter(text: str, changed: str) -> None:
    found = find(text)
    assert found is not None
    assert found.text == changed


def test_a_variable_of_the_clients_own_is_used_and_the_document_stays() -> None:
    text = "subscription ($from: Cursor) { items(after: $from) { id } }"
    found = find(text)
    assert found == Subscription(text=text, after="from")
    resumed = found.resumed(GraphQLRequest(query=text, variables={"from": "old", "id": 1}, operation_name="S"), "new")
    assert resumed == GraphQLRequest(query=text, variables={"from": "new", "id": 1}, operation_name="S")


OPERATIONS = [
    "query Q { hello }",
    "subscription A { items { id } }",
    'subscription B { items(after: "x") { id } items(after: "x") { id } }',
    "subscription C($c: Cursor) { items(after: $c) { id } }",
    "subscription D { ...F }",
    "subscription E { ... on Subscription { ...F } }",
    "subscription G($i: ID) { g: items(id: $i) { id } }",
    "subscription H { others(after: null) { id } }",
]


@settings(deadline=None, max_examples=40)
@given(st.permutations(OPERATIONS), st.integers(1, len(OPERATIONS)))
def test_what_was_valid_stays_valid_whatever_else_the_document_holds(order: list[str], count: int) -> None:
    chosen = order[:count]
    fragment = "fragment F on Subscription { items { id } ...F2 } fragment F2 on Subscription { items { __typename } }"
    uses_fragment = any("...F" in operation for operation in chosen)
    text = " ".join([*chosen, fragment] if uses_fragment else chosen)
    assert validate(SCHEMA, parse(text)) == []
    for operation in chosen:
        name = operation.split()[1].partition("(")[0]
        found = find(text, name)
        if name == "Q":
            assert found is None
        else:
            assert found is not None
            assert validate(SCHEMA, parse(found.text)) == []
            assert found.after == ("c" if name == "C" else "coveyAfter")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{ hello }", None),
        ("mutation { hello }", None),
        ("subscription {", None),
        ("subscription A { items { id } } subscription B { items { id } }", None),
        ("subscription A { items { id } }", "B"),
        ("subscription A { items { id } } subscription A { items { id } }", "A"),
        ("fragment F on Subscription { items { id } }", None),
        ("subscription A { items { id } } " + "query B { hello } " * 10, "A"),
        ("subscription { items { id } } #" + "x" * 16_384, None),
        ("subscription { " + "items { id } " * 500 + "}", None),
    ],
)
def test_what_cannot_be_run_is_left_to_the_schema(text: str, name: str | None) -> None:
    assert find(text, name) is None


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE.values()])
def test_hostile_documents_break_nothing(text: str) -> None:
    find(text)
    find("subscription " + text)


def test_a_document_is_read_once_and_only_the_latest_are_remembered() -> None:
    read: list[int] = []
    subscriptions = Subscriptions(remembered=2)
    texts = [f"subscription S{number} {{ items {{ id }} }}" for number in range(3)]
    for text in (texts[0], texts[0], texts[1], texts[0], texts[2], texts[0], texts[1]):
        subscriptions.find(GraphQLRequest(query=text), read.append)
    assert read == [len(texts[0])] * 4
