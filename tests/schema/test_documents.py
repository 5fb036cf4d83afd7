from __future__ import annotations

import contextlib
import json
from typing import Any

import graphql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from schema import documents
from schema.documents import DocumentRefused, Documents
from schema.limits import Cost, Limits
from tests.schema.asking import SUBMIT, Asker, asking, codes, formatted, made, submit_variables
from tests.schema.hostile import BAD, COMPLEX, HOSTILE


def unread(size: int) -> None:
    """Whoever is not interested in what has to be read."""


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_document_is_refused_with_its_code_at_both_doors(name: str) -> None:
    document, code = HOSTILE[name]
    schema = made()
    result = await schema.execute(document)
    assert isinstance(result, PreExecutionError)
    assert set(codes(result)) == {code}
    assert 1 <= len(codes(result)) <= 5
    stream: Any = await schema.stream(document)
    streamed = [result async for result in stream]
    assert [type(result) for result in streamed] == [PreExecutionError]
    assert formatted(streamed[0]) == formatted(result)
    if code == BAD:
        assert all(error["extensions"]["path"] for error in formatted(result))
    told = json.dumps(formatted(result))
    assert len(told) < 2_500
    for secret in ("SECRET", "SSS", "Traceback", "graphql-core", ".py"):
        assert secret not in told


@pytest.mark.parametrize("name", [name for name, (_, code) in HOSTILE.items() if code == COMPLEX])
async def test_what_is_too_complex_is_refused_before_validation_is_paid_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "validate", lambda *_, **__: pytest.fail("validated"))
    if name.startswith(("aliases of", "a page")):
        return  # what these cost depends on variables, so it is known when they run
    assert codes(await made().execute(HOSTILE[name][0])) == [COMPLEX]


async def test_the_costly_is_refused_before_anything_runs() -> None:
    result = await made().execute(HOSTILE["aliases of submissions"][0], variable_values={"i": {}})
    assert codes(result) == [COMPLEX]


@pytest.mark.parametrize("development", [False, True])
async def test_only_development_tells_of_the_schema(development: bool) -> None:
    result = await made(development=development).execute(graphql.get_introspection_query(input_value_deprecation=True))
    assert (result.errors is None) is development
    typo = await made(development=development).execute("{ me { tenantid } }")
    (message,) = [error["message"] for error in formatted(typo)]
    assert ("Did you mean" in message) is development


async def test_a_document_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse = graphql.parse

    def counting(text: str, **options: Any) -> Any:
        read.append(text)
        return parse(text, **options)

    monkeypatch.setattr(documents, "parse", counting)
    of = Documents(made()._schema, Limits(), development=False, remembered=2)
    texts = ["{ me { id } }", "{ me { roles } }", "{ me { tenantId } }"]
    first = of.get(texts[0], unread)
    assert of.get(texts[0], unread) is first
    of.get(texts[1], unread)
    of.get(texts[0], unread)
    of.get(texts[2], unread)  # the second goes, since the first was asked for later
    assert of.get(texts[0], unread) is first
    assert read == texts
    of.get(texts[1], unread)
    assert read == [*texts, texts[1]]


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows by every document that is validated."""
    seen: list[object] = []
    validate = graphql.validate

    def counting(schema: Any, document: Any, *rest: Any, **options: Any) -> Any:
        seen.append(document)
        return validate(schema, document, *rest, **options)

    monkeypatch.setattr(documents, "validate", counting)
    return seen


def refusal(of: Documents, text: str) -> list[dict[str, Any]]:
    with pytest.raises(DocumentRefused) as refused:
        of.get(text, unread)
    return [{**error.formatted} for error in refused.value.errors]


async def test_what_was_refused_is_refused_alike_and_unread(validated: list[object]) -> None:
    of = Documents(made()._schema, Limits(), development=False)
    for text in ("{ nothing }", "{ me { id", "{ me { " + "id " * 600 + "} }"):
        first = refusal(of, text)
        read = len(validated)
        assert refusal(of, text) == first
        assert len(validated) == read
    assert len(validated) == 1
    assert "locations" in refusal(of, "{ me { id")[0]


async def test_the_refusals_that_are_remembered_are_bounded_and_push_no_good_document_out(
    validated: list[object],
) -> None:
    of = Documents(made()._schema, Limits(), development=False, remembered=1, refusals_remembered=2)
    good = of.get("{ me { id } }", unread)
    for name in ("a", "b", "a", "c"):
        refusal(of, f"{{ {name} }}")
    assert len(of._refusals) == 2
    assert of.get("{ me { id } }", unread) is good
    read = len(validated)
    refusal(of, "{ a }")
    assert len(validated) == read
    refusal(of, "{ b }")  # the one that was asked for longest ago
    assert len(validated) == read + 1


async def test_a_remembered_refusal_holds_nothing_of_the_document() -> None:
    of = Documents(made()._schema, Limits(), development=False)
    refusal(of, "{ me { id " + "#" * 10_000)
    ((error,),) = of._refusals.values()
    assert (error.source, error.nodes, error.__traceback__) == (None, None, None)


async def test_only_what_has_to_be_read_is_told_with_its_size() -> None:
    of, sizes = Documents(made()._schema, Limits(), development=False), list[int]()
    for text in ("{ me { id } }", "{ né }", "{ me { id } }", "{ né }", "{ me { id } } #" + "x" * 16_384, ""):
        with contextlib.suppress(DocumentRefused):
            of.get(text, sizes.append)
    assert sizes == [13, 7]


LONG = "a" * 8_000


@pytest.mark.parametrize(
    "document",
    [
        f"{{ {LONG} }}",
        f"{{ me {{ ...{LONG} }} }}",
        f"{{ me(v: ${LONG}) {{ id }} }}",
        f"{{ me {{ id @{LONG} }} }}",
        f"query($x: {LONG}) {{ me {{ id }} }}",
        f"query(${LONG}: Int = 1.5) {{ payers(first: ${LONG}) {{ edges {{ cursor }} }} }}",
        f"query(${LONG}: Int!) {{ me {{ id }} }}",
        f"fragment {LONG} on Me {{ id }} {{ me {{ id }} }}",
    ],
)
async def test_a_name_of_any_length_comes_back_short(document: str) -> None:
    result = await made().execute(document, variable_values={})
    told = json.dumps(formatted(result), ensure_ascii=False)
    assert codes(result)
    assert "a" * 65 not in told
    assert "a" * 64 + "…" in told


@pytest.mark.parametrize("given", [None, 5, ["{ me { id } }"], {"query": "{ me { id } }"}, b"{ me { id } }"])
async def test_a_document_that_is_no_text_is_refused(given: Any) -> None:
    assert codes(await made().execute(given)) == [BAD]


@pytest.mark.parametrize("variables", [[], "x", 5, True])
async def test_variables_that_are_no_object_are_refused(variables: Any) -> None:
    assert codes(await made().execute("{ me { id } }", variable_values=variables)) == [BAD]


MANY = 'query A { me { id } } query B { payer(id: "x") { id } } subscription C { payerEvents { __typename } }'


def test_of_several_operations_the_named_one_runs() -> None:
    async def scenario(asker: Asker) -> None:
        schema, context = asker.schema, {"context_value": None}
        for name, code in ((None, BAD), ("", BAD), ("D", BAD), ("C", None)):
            if code is None:
                with pytest.raises(InvalidOperationTypeError):
                    await schema.execute(MANY, operation_name=name, **context)
            else:
                assert codes(await schema.execute(MANY, operation_name=name, **context)) == [code]
        assert codes(await schema.execute("{ me { id } }", operation_name="A")) == [BAD]
        result = await schema.execute("query A { __typename }", operation_name="A")
        assert (result.data, result.errors) == ({"__typename": "Query"}, None)

    asking(scenario)


async def test_a_request_that_is_none_says_which_member_of_it_is_wrong() -> None:
    for document, variables, name, path in (
        (None, None, None, "query"),
        ("{ me {", None, None, "query"),
        ("{ none }", None, None, "query"),
        ("{ me { id } }", [], None, "variables"),
        (MANY, None, "D", "operationName"),
    ):
        result = await made().execute(document, variable_values=variables, operation_name=name)  # type: ignore[arg-type] # wrong on purpose
        assert [error["extensions"]["path"] for error in formatted(result)] == [[path]]


async def test_a_stream_can_be_held_to_some_types_of_operation() -> None:
    for allowed in (OperationType.SUBSCRIPTION, OperationType.MUTATION):
        stream: Any = await made().stream("{ __typename }", allowed_operation_types=(allowed,))
        (result,) = [result async for result in stream]
        assert codes(result) == [BAD]
    stream = await made().stream("{ __typename }")
    assert [result.data async for result in stream] == [{"__typename": "Query"}]
    with pytest.raises(InvalidOperationTypeError):
        await made().execute("mutation { __typename }", allowed_operation_types=(OperationType.QUERY,))


# Limits and costs


async def costs(document: str, limits: Limits | None = None) -> Cost:
    (operation,) = made(limits=limits)._documents.get(document, unread).operations.values()
    return operation.cost


LEAVES = (
    "id memberId payerId status priority attempt submittedAt updatedAt deadline queuePosition estimatedWaitSeconds "
    "cursor a: id b: id c: id d: id e: id"
)
LIST = "coverageRequests%s { edges { node { id coverage { status } } } }"


@pytest.mark.parametrize(
    ("document", "variables", "cost"),
    [
        ("{ __typename }", {}, 0),
        ("{ me { id tenantId roles } }", {}, 1),
        ("{ me { a: id b: id c: id d: id e: id f: id g: id h: id } }", {}, 2),
        ("query($i: CoverageQuestion!) { coverage(input: $i) { status } }", {}, 31),
        ('{ coverageRequest(id: "r") { coverage { status } } }', {}, 11 + 3),
        (
            '{ coverageRequest(id: "r") { coverage { benefits { kind amount percent quantity } } } }',
            {},
            11 + 3 + 1 + 10,
        ),
        ("{ coverageRequests(first: 100) { edges { node { " + LEAVES + " } } } }", {}, 11 + 100 * 2 + 17 * 100 // 8),
        (
            "{ coverageRequests(first: 100) { edges { a: node { " + LEAVES + " } b: node { " + LEAVES + " } } } }",
            {},
            11 + 100 * 3 + 34 * 100 // 8,
        ),
        ("{ me { member { websocketSubscribeInfo { url } } } }", {}, 53),
        ("{ payers { edges { node { id } } } }", {}, 1 + 42),
        ("{ payers(first: 3) { edges { node { id } } } }", {}, 1 + 6),
        ("{ payers(first: 100000) { edges { node { id } } } }", {}, 1 + 212),
        ("query($n: Int!) { payers(first: $n) { edges { node { id } } } }", {"n": 5}, 1 + 10),
        ("query($n: Int!) { payers(first: $n) { edges { node { id } } } }", {"n": "x"}, 1 + 212),
        ("query($n: Int!) { payers(first: $n) { edges { node { id } } } }", {"n": -5}, 1 + 212),
        ("query($n: Int = 3) { payers(first: $n) { edges { node { id } } } }", {}, 1 + 212),
        ("query($n: Int!) { payers(first: $n) { edges { ... on PayerEdge { cursor } } } }", {"n": 0}, 1),
        ("{ " + LIST % "(first: 2)" + " }", {}, 11 + 2 * 5),
        ("{ a: " + LIST % "(first: 2)" + " b: " + LIST % "(first: 1)" + " }", {}, 22 + 3 * 5),
        (
            "query($n: Int!) { a: " + LIST % "(first: $n)" + " b: " + LIST % "(first: $n)" + " }",
            {"n": 2},
            22 + 4 * 5 + 1,
        ),
        ("{ ...F } fragment F on Query { me { ...G } m: me { ...G } } fragment G on Me { member { id } }", {}, 4),
    ],
)
async def test_what_an_operation_costs(document: str, variables: dict[str, Any], cost: int) -> None:
    assert (await costs(document)).total(variables) == cost


def test_pages_within_pages_cost_as_long_as_they_can_be() -> None:
    inner = Cost(fixed=16).sized_by("n")
    assert inner.sized_by("m").total({"n": 1, "m": 1}) == 200
    assert inner.times(3).total({"n": 5}) == 30


@pytest.mark.parametrize(
    ("limits", "fine", "refused"),
    [
        (Limits(document_bytes=13), "{ me { id } }", "{ me {  id } }"),
        (Limits(tokens=6), "{ me { id } }", "{ me { id roles } }"),
        (Limits(depth=2), "{ me { id } }", "{ me { member { id } } }"),
        (Limits(aliases=1), "{ me { a: id } }", "{ b: me { a: id } }"),
        (Limits(complexity=1), "{ me { id } }", "{ me { member { id } } }"),
        (Limits(definitions=1), "{ me { id } }", "{ me { ...F } } fragment F on Me { id }"),
        (Limits(operations=1), "query A { me { id } }", "query A { me { id } } query B { me { id } }"),
        (Limits(directives=1), "{ me @skip(if: false) { id } }", "{ me @skip(if: false) { id @skip(if: false) } }"),
        (Limits(fields=2), "{ me { id } }", "{ me { id roles } }"),
        (Limits(overlap=2), "{ me { id } }", "{ me { id id } }"),
    ],
)
async def test_each_limit_lets_through_what_is_at_it_and_refuses_what_is_over(
    limits: Limits, fine: str, refused: str
) -> None:
    schema = made(limits=limits)
    schema._documents.get(fine, unread)
    assert codes(await schema.execute(refused)) == [COMPLEX]


_NAMES = st.sampled_from(["me", "id", "coverage", "payers", "F0", "F1", "F2", "a: b"])
_SELECTIONS: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["id", "...F0", "...F1", "...F2", "x: id", '...on Me @x(a: "é") {id}']),
    lambda inner: st.builds(
        lambda name, parts: f"{name} {{ {' '.join(parts)} }}", _NAMES, st.lists(inner, min_size=1, max_size=4)
    ),
    max_leaves=40,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_SELECTIONS, min_size=1, max_size=4))
async def test_whatever_is_made_of_fields_and_fragments_is_answered_with_coded_errors(parts: list[str]) -> None:
    fragments = " ".join(f"fragment F{number} on Me {{ {part} }}" for number, part in enumerate(parts))
    result = await made_once.execute(f"{{ {' '.join(parts)} }} {fragments}")
    assert all(code in (BAD, COMPLEX) for code in codes(result))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
async def test_whatever_is_text_is_answered_with_coded_errors(text: str) -> None:
    assert all(code in (BAD, COMPLEX) for code in codes(await made_once.execute(text)))


made_once = made()


def test_clients_documents_of_honest_size_are_let_through() -> None:
    async def scenario(asker: Asker) -> None:
        await asker.data(SUBMIT, submit_variables())
        document = """query Board($first: Int!) {
          coverageRequests(first: $first) {
            edges { cursor node { id memberId payerId status attempt submittedAt
              coverage { status planName benefits { kind amount percent serviceTypeCodes } } failure { message } } }
            pageInfo { hasNextPage endCursor }
          }
        }"""
        await asker.data(document, {"first": 50})

    asking(scenario)
