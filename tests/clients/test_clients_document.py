"""docs/clients.md says what the program does: every code is in it, and every operation in it is one."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

import pytest
from graphql import build_schema, parse, validate

from bus.failure import FailureKind
from delivery.endings import Ending
from delivery.errors import ErrorCode, RequestRefused
from payer.aaa import MEANINGS
from resolvers.refusal import RefusalReason
from tests.clients.conftest import ROOT

TEXT: Final = (ROOT / "docs" / "clients.md").read_text()
_OPERATIONS: Final = [
    *re.findall(r"```graphql\n(.*?)```", TEXT, re.DOTALL),
    *re.findall(r"`((?:subscription |mutation )?\{ \w.*? \})`", TEXT),
]


@pytest.mark.parametrize("codes", [ErrorCode, RefusalReason, FailureKind])
def test_every_code_has_a_row(codes: type[Enum]) -> None:
    assert [code.value for code in codes if f"\n| `{code.value}` |" not in TEXT] == []


def test_every_close_code_has_a_row() -> None:
    rows = " ".join(re.findall(r"^\| (\d{4}.*?) \|", TEXT, re.MULTILINE))
    assert {str(ending.code) for ending in Ending} == set(re.findall(r"\d{4}", rows))


def test_every_status_of_a_refusal_is_told() -> None:
    def kinds(of: type[Any]) -> set[type[Any]]:
        return {of}.union(*(kinds(kind) for kind in of.__subclasses__()))

    section = TEXT.partition("### `extensions.code`")[2].partition("\n### ")[0]
    statuses = {kind.status for kind in kinds(RequestRefused) - {RequestRefused}}
    assert {str(status) for status in statuses} <= set(re.findall(r"\b\d{3}\b", section))


def test_every_aaa_code_that_names_a_cause_is_told() -> None:
    told = set()
    for row in re.findall(r"^\| `([0-9T].*?)`[ ,|]", TEXT, re.MULTILINE):
        for first, last in re.findall(r"`?(\w\w)(?:`-`(\w\w))?", row):
            told |= {str(code) for code in range(int(first), int(last) + 1)} if last else {first}
    causes = {code for code, meaning in MEANINGS.items() if meaning.aaa_class.name != "REVIEW"}
    assert causes <= told


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_every_operation_is_one_of_the_schema(operation: str) -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    assert validate(schema, parse(operation)) == []


def test_operations_were_found() -> None:
    assert len(_OPERATIONS) >= 8
