from __future__ import annotations

from pathlib import Path

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, build_schema

from schema import snapshot


def test_the_snapshot_is_the_schema_of_the_code_and_breaks_nobody() -> None:
    assert (
        snapshot.problems(
            snapshot.printed(),
            kept=snapshot.SNAPSHOT.read_text(),
            released=snapshot.last_released(),
            named=snapshot.BREAKS.read_text(),
        )
        == []
    )


RELEASED = "type Query { me: String! other(first: Int): Int }\nenum Role { MEMBER SERVICE }\n"


def problems(now: str, *, kept: str | None = None, named: str = "") -> list[str]:
    return snapshot.problems(now, kept=now if kept is None else kept, released=RELEASED, named=named)


def test_a_change_that_is_not_in_the_snapshot_fails_with_the_difference() -> None:
    now = RELEASED.replace("me:", "added: Int me:")
    (problem,) = problems(now, kept=RELEASED)
    assert "-type Query { me: String! other(first: Int): Int }" in problem
    assert "+type Query { added: Int me: String! other(first: Int): Int }" in problem
    assert "python -m schema.snapshot" in problem
    assert problems(now) == []


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("me: String! ", "", "Field Query.me was removed."),
        ("me: String!", "me: String", "Field Query.me changed type from String! to String."),
        ("first: Int", "first: Int!", "Argument Query.other(first:) has changed type from Int to Int!."),
        (" SERVICE", "", "Enum value Role.SERVICE was removed."),
    ],
)
def test_a_break_fails_unless_it_is_named_in_the_very_words(before: str, after: str, change: str) -> None:
    now = RELEASED.replace(before, after)
    (problem,) = problems(now)
    assert problem.endswith(f"- {change}")
    assert problems(now, named=f"# Breaks\n\n- {change}\n  Nobody used it.\n") == []
    assert problems(now, named="- Something else was removed.") == [problem]


def test_the_last_released_schema_is_the_highest_version(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        (tmp_path / f"{version}.graphql").write_text(version)
    assert snapshot.last_released(tmp_path) == "0.10.0"


def test_the_command_writes_checks_and_explains_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(snapshot, "SNAPSHOT", tmp_path / "schema.graphql")
    assert snapshot.main([]) == 0
    assert snapshot.SNAPSHOT.read_text() == snapshot.printed()
    assert snapshot.main(["--check"]) == 0
    snapshot.SNAPSHOT.write_text("type Query { gone: Int }\n")
    assert snapshot.main(["--check"]) == 1
    assert "-type Query { gone: Int }" in capsys.readouterr().err
    assert snapshot.main(["--wrong"]) == 2
    assert "usage" in capsys.readouterr().err


def test_everything_in_the_schema_is_described() -> None:
    schema = build_schema(snapshot.printed())
    bare = []
    for name, type_ in schema.type_map.items():
        if name.startswith("__") or name in {"Boolean", "Float", "ID", "Int", "String"}:
            continue
        if not type_.description:
            bare.append(name)
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            bare += [f"{name}.{field}" for field, of in type_.fields.items() if not of.description]
        elif isinstance(type_, GraphQLEnumType):
            bare += [f"{name}.{value}" for value, of in type_.values.items() if not of.description]
    assert bare == []
