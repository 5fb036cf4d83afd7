from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus.errors import LogUnavailable
from delivery.errors import Draining
from resolvers.errors import Forbidden, InputInvalid, NotFound
from resolvers.problems import InputProblem, ProblemCode
from tests.schema.asking import (
    SUBMIT,
    Asker,
    asking,
    codes,
    formatted,
    literal,
    made,
    question_input,
    submit_variables,
    subscriber_input,
)
from warming.errors import CacheUnavailable

SECRET = "Rivera-1980"


# What a type rules out


def _with(path: str, value: Any) -> dict[str, Any]:
    """Variables of SUBMIT with another value at a dotted path; with `...` it is left out."""
    variables = submit_variables()
    place: Any = variables
    *way, last = path.split(".")
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return variables


A_DAY = "A day is expected, like 2026-11-23."
NO_DAYS: list[Any] = [
    SECRET,
    "",
    "19800101",
    "1980-W01-1",
    "1980-02-30",
    "1980-1-1",
    "1980-01-01T00:00",
    19800101,
    {},
]
NO_WHOLE_NUMBERS: list[Any] = [999999999999999999999999, 2**31, 1.5, "60", True, float("inf"), float("nan"), []]
WRONG: list[tuple[str, Any, str, str]] = [
    ("input", ..., "input", "This is required."),
    ("input", None, "input", "This is required."),
    ("input", SECRET, "input", "An object is expected."),
    ("input", [SECRET], "input", "An object is expected."),
    ("input.question", ..., "input.question", "This is required."),
    ("input.question.subscriber", ..., "input.question.subscriber", "This is required."),
    ("input.question.subscriber", None, "input.question.subscriber", "This is required."),
    ("input.question.subscriber", SECRET, "input.question.subscriber", "An object is expected."),
    *(
        ("input.question.subscriber.dateOfBirth", given, "input.question.subscriber.dateOfBirth", A_DAY)
        for given in NO_DAYS
    ),
    ("input.question.subscriber.firstName", 5, "input.question.subscriber.firstName", "Text is expected."),
    ("input.question.subscriber.firstName", [SECRET], "input.question.subscriber.firstName", "Text is expected."),
    ("input.question.subscriber.firstName", {"a": SECRET}, "input.question.subscriber.firstName", "Text is expected."),
    ("input.question.subscriber.ssn", SECRET, "input.question.subscriber.ssn", "There is no such field."),
    ("input.question.subscriber.s sn", SECRET, "input.question.subscriber", "There is no such field."),
    ("input.question.payerId", 1.5, "input.question.payerId", "An id, as text, is expected."),
    ("input.question.serviceTypeCodes", None, "input.question.serviceTypeCodes", "This is required."),
    ("input.question.serviceTypeCodes", ["30", 5], "input.question.serviceTypeCodes.1", "Text is expected."),
    ("input.question.serviceTypeCodes", ["30", None], "input.question.serviceTypeCodes.1", "This is required."),
    ("input.question.serviceTypeCodes", 5, "input.question.serviceTypeCodes.0", "Text is expected."),
    ("input.question.provider", {}, "input.question.provider.npi", "This is required."),
    *(
        ("input.deadlineSeconds", given, "input.deadlineSeconds", "A whole number of at most 32 bits is expected.")
        for given in NO_WHOLE_NUMBERS
    ),
    (
        "input.cacheMode",
        SECRET,
        "input.cacheMode",
        "One of DEFAULT, PREFER_CACHE, REQUIRE_FRESH is expected.",
    ),
    ("input.priority", 1, "input.priority", "One of INTERACTIVE, ENROLLMENT, BACKGROUND is expected."),
]


@pytest.mark.parametrize(("at", "value", "path", "message"), WRONG)
async def test_what_a_type_rules_out_in_a_variable_is_told_at_its_path_and_not_repeated(
    at: str, value: Any, path: str, message: str
) -> None:
    result = await made().execute(SUBMIT, variable_values=_with(at, value))
    assert result.data is None
    (error,) = result.errors or []
    assert error.formatted == {
        "message": message,
        "extensions": {"code": "BAD_USER_INPUT", "path": path.split(".")},
    }


@pytest.mark.parametrize(
    ("at", "value", "path", "message"),
    [
        row
        for row in WRONG
        if row[0] != "input.question.subscriber.s sn" and row[1] not in (float("inf"), None) and row[1] == row[1]
    ]
    + [("input", None, "input", "This is required.")],
)
async def test_what_a_type_rules_out_in_the_document_is_told_alike(
    at: str, value: Any, path: str, message: str
) -> None:
    variables = _with(at, value)
    argument = f"(input: {literal(variables['input'])})" if "input" in variables else ""
    result = await made().execute(f"mutation {{ submitCoverageRequest{argument} {{ __typename }} }}")
    (error,) = result.errors or []
    assert error.formatted == {
        "message": message,
        "extensions": {"code": "BAD_USER_INPUT", "path": path.split(".")},
    }


async def test_at_most_five_mistakes_are_told() -> None:
    variables = submit_variables(subscriber={f"unknown{number}": SECRET for number in range(100)})
    result = await made().execute(SUBMIT, variable_values=variables)
    assert codes(result) == ["BAD_USER_INPUT"] * 5


@pytest.mark.parametrize(
    ("document", "variables", "path"),
    [
        ("query($whom: ID!) { coverageRequest(id: $whom) { id } }", {}, ["id"]),
        ("query($whom: ID!) { coverageRequest(id: $whom) { id } }", {"whom": None}, ["id"]),
        ("query($n: Int) { payers(first: $n) { edges { cursor } } }", {"n": SECRET}, ["first"]),
        ('query($n: Int = "x") { payers(first: $n) { edges { cursor } } }', {}, ["n"]),
        ("query($on: Boolean!) { me { id @include(if: $on) } }", {"on": SECRET}, ["if"]),
        ("query($on: Boolean!) { me { ...F } } fragment F on Me { id @skip(if: $on) }", {}, ["if"]),
        (
            'query($born: Date!) { coverage(input: {memberId: "m", payerId: "p", subscriber: '
            '{memberId: "W1", firstName: "A", lastName: "B", dateOfBirth: $born}}) { status } }',
            {"born": SECRET},
            ["input", "subscriber", "dateOfBirth"],
        ),
        (
            'query($code: String!, $in: PersonInput!) { coverage(input: {memberId: "m", payerId: "p", '
            'subscriber: $in, serviceTypeCodes: ["30", $code]}) { status } }',
            {"code": 5, "in": subscriber_input()},
            ["input", "serviceTypeCodes", "1"],
        ),
        ("subscription($a: Cursor) { memberEvents(after: $a) { __typename } }", {"a": 5}, ["after"]),
        ("{ payers(first: 1.5) { edges { cursor } } }", {}, ["first"]),
        ('query($f: Float = "x") { me { id } }', {}, ["f"]),
        ("{ payer { id } }", {}, ["id"]),
        ("{ me { id @include } }", {}, ["if"]),
    ],
)
async def test_the_path_begins_at_the_argument_whatever_the_variable_is_called(
    document: str, variables: dict[str, Any], path: list[str]
) -> None:
    stream: Any = await made().stream(document, variable_values=variables)
    (result,) = [result async for result in stream]
    assert {"code": "BAD_USER_INPUT", "path": path} in [error.formatted["extensions"] for error in result.errors or ()]
    assert set(codes(result)) == {"BAD_USER_INPUT"}
    assert SECRET not in json.dumps([error.formatted for error in result.errors or ()])


async def test_the_path_is_that_of_the_operation_that_runs() -> None:
    document = "query A($x: Int!) { payers(first: $x) { edges { cursor } } } query B($x: ID!) { payer(id: $x) { id } }"
    for name, path in (("A", "first"), ("B", "id")):
        (error,) = (await made().execute(document, operation_name=name)).errors or []
        assert error.formatted["extensions"]["path"] == [path]


def test_null_is_fine_where_the_schema_has_it() -> None:
    async def scenario(asker: Asker) -> None:
        question = literal(question_input(provider=None, dateOfService=None, dependent=None))
        assert await asker.data(f"{{ coverage(input: {question}) {{ status }} }}") == {"coverage": None}

    asking(scenario)


NULLS = [
    ("query($v: Int = 5) { payers(first: $v) { edges { cursor } } }", ["first"]),
    ('query($v: ID = "m") { me { id } payer(id: $v) { id } payers(first: 1) { edges { cursor } } }', ["id"]),
    ('query($v: ID = "m") { payer(id: $v) { id } }', ["id"]),
    ("query($v: Boolean = true) { me { id @include(if: $v) } }", ["if"]),
    ("query($v: Boolean = true) { me @skip(if: $v) { id } }", ["if"]),
    ("query($v: Boolean = true) { ... @include(if: $v) { me { id } } }", ["if"]),
    ("query($v: Boolean = true) { ...F @include(if: $v) } fragment F on Query { me { id } }", ["if"]),
    ("query($v: Boolean = true) { me { ...F } } fragment F on Me { id @skip(if: $v) }", ["if"]),
    (
        'query($v: String = "Ana") { coverage(input: {memberId: "m-1", payerId: "AETNA", subscriber: '
        '{memberId: "W1", firstName: $v, lastName: "B", dateOfBirth: "1980-01-01"}}) { status } }',
        ["input", "subscriber", "firstName"],
    ),
    (
        'query($v: String = "30") { coverage(input: {memberId: "m-1", payerId: "AETNA", serviceTypeCodes: ["1", $v], '
        'subscriber: {memberId: "W1", firstName: "A", lastName: "B", dateOfBirth: "1980-01-01"}}) { status } }',
        ["input", "serviceTypeCodes", "1"],
    ),
    (
        'subscription($v: Boolean = true) { coverageRequestEvents(requestId: "r", progress: $v) { __typename } }',
        ["progress"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "path"), NULLS)
def test_a_variable_that_is_null_where_a_default_stands_is_told_at_its_path(document: str, path: list[str]) -> None:
    async def scenario(asker: Asker) -> None:
        (result,) = [result async for result in await asker.follow(document, {"v": None})]
        (error,) = formatted(result)
        assert error["message"] == "A variable has no value that is allowed here."
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": path}

    asking(scenario)


def test_half_a_character_in_a_variable_is_a_mistake_of_the_client() -> None:
    async def scenario(asker: Asker) -> None:
        document = """query($id: ID!, $s: String) {
          payer(id: $id) { id } payers(search: $s, after: "AAAA") { edges { cursor } }
        }"""
        (error,) = formatted(await asker.ask(document, {"id": "whole", "s": "\ud800"}))
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["search"]}

    asking(scenario)


# What resolvers raise


class LeakyError(Exception):
    """Of a library, with words that must not leave."""


RAISED: list[tuple[Exception, str]] = [
    (Forbidden("No."), "FORBIDDEN"),
    (NotFound("No."), "NOT_FOUND"),
    (InputInvalid([InputProblem(path=("a", "b"), code=ProblemCode.RANGE, message="No.")]), "BAD_USER_INPUT"),
    (LogUnavailable(f"/data/covey.db {SECRET}"), "UNAVAILABLE"),
    (CacheUnavailable(f"/data/cache.db {SECRET}"), "UNAVAILABLE"),
    (Draining("Going away."), "UNAVAILABLE"),
    (LeakyError(SECRET), "INTERNAL"),
    (KeyError(SECRET), "INTERNAL"),
    (RecursionError(SECRET), "INTERNAL"),
    (AssertionError(), "INTERNAL"),
]


@pytest.mark.parametrize(("error", "code"), RAISED)
def test_what_a_use_case_raises_leaves_with_its_code_and_nothing_of_ours(error: Exception, code: str) -> None:
    async def scenario(asker: Asker) -> None:
        async def failing(*_: Any, **__: Any) -> Any:
            raise error

        asker.world.use_cases.requests.get = failing  # type: ignore[method-assign] # to see what comes of it
        with capture_logs() as logs:
            result = await asker.ask('{ me { id } coverageRequest(id: "r") { id } }')
        assert result.data == {"me": {"id": "m-1"}, "coverageRequest": None}
        assert codes(result) == [code]
        (told,) = formatted(result)
        assert told["path"] == ["coverageRequest"]
        assert told["message"]
        for leak in (SECRET, "covey.db", type(error).__name__, ".py"):
            assert leak not in json.dumps(told)
        internal = [entry for entry in logs if entry["event"] == "internal_error"]
        assert len(internal) == (code == "INTERNAL")
        if internal:
            assert told["extensions"]["errorId"] == internal[0]["error_id"] == "error-1"
            assert any("failing" in frame for frame in internal[0]["frames"])
            assert SECRET not in str(internal)

    asking(scenario)


def test_a_mistake_found_late_is_told_with_all_its_problems() -> None:
    async def scenario(asker: Asker) -> None:
        document = "query($input: CoverageQuestion!) { coverage(input: $input) { status } }"
        wrong = question_input(subscriber=subscriber_input(firstName="", lastName="*"))
        (error,) = (await asker.ask(document, {"input": wrong})).errors or []
        extensions = error.formatted["extensions"]
        problems: Any = extensions["problems"]
        assert extensions["path"] == ["input", "subscriber", "firstName"]
        assert [problem["path"][-1] for problem in problems] == ["firstName", "lastName"]

    asking(scenario)


def test_at_most_five_errors_leave_in_one_answer() -> None:
    async def scenario(asker: Asker) -> None:
        asker.world.log.away = True
        fields = " ".join(f'a{number}: coverageRequest(id: "r") {{ id }}' for number in range(8))
        result = await asker.ask(f"{{ {fields} }}")
        assert codes(result) == ["UNAVAILABLE"] * 5

    asking(scenario)


def test_a_null_that_the_schema_does_not_allow_is_our_fault_and_masked() -> None:
    async def scenario(asker: Asker) -> None:
        async def nothing(*_: Any, **__: Any) -> Any:
            return None

        asker.world.use_cases.submission.submit = nothing  # type: ignore[method-assign] # a fault of ours
        with capture_logs():
            result = await asker.ask(SUBMIT, submit_variables())
        assert codes(result) == ["INTERNAL"]

    asking(scenario)


async def test_an_executor_that_fails_whole_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    import graphql

    def failing(*_: Any, **__: Any) -> Any:
        raise LeakyError(SECRET)

    monkeypatch.setattr(graphql, "execute", failing)
    monkeypatch.setattr(graphql, "subscribe", failing)
    schema = made()
    with capture_logs():
        assert codes(await schema.execute("{ __typename }")) == ["INTERNAL"]
        stream: Any = await schema.stream("subscription { payerEvents { __typename } }")
        assert [codes(result) async for result in stream] == [["INTERNAL"]]

    def refusing(*_: Any, **__: Any) -> Any:
        raise graphql.GraphQLError(SECRET)

    monkeypatch.setattr(graphql, "execute", refusing)
    with capture_logs():
        assert codes(await schema.execute("{ __typename }")) == ["INTERNAL"]
