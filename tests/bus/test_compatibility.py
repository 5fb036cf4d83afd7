"""Edits of a copy of the catalogue's code: the command must fail on each that breaks a reader, and only then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from msgspec import Struct

from bus import compatibility
from bus.compatibility import RELEASED, violations
from bus.schemas import DOCUMENTS, Schema, schemas

ROOT = DOCUMENTS.parent.parent


class Edit(Struct, frozen=True):
    """One change of a file of the catalogue, and the lines it must bring about."""

    file: str
    old: str
    new: str
    lines: tuple[str, ...] = ()


_CANCELLED = '''call under way runs on and feeds the cache."""

    payer_id: PayerId


class Answered'''

BREAKING = {
    "field removed": Edit(
        "events.py",
        "    not_before: datetime | None = None\n",
        "",
        (
            "rte.enqueued: not_before is gone, removed or renamed (against 1.0.0); cure: put it back under its name",
            "rte.enqueued: the event no longer reads back as it was written (against 1.0.0); "
            "cure: undo what changed its reading",
        ),
    ),
    "field renamed": Edit(
        "events.py",
        "    lease_expires_at: datetime\n\n\nclass Started",
        "    lease_until: datetime\n\n\nclass Started",
        (
            "rte.scheduled: lease_expires_at is gone, removed or renamed (against 1.0.0); "
            "cure: put it back under its name",
            "rte.scheduled: lease_until is new and required: earlier events lack it (against 1.0.0); "
            "cure: give it a default",
        ),
    ),
    "field retyped": Edit(
        "events.py",
        "    queue_position: int | None = None",
        "    queue_position: str | None = None",
        (
            "rte.enqueued: queue_position was integer or null and is null or string (against 1.0.0); "
            "cure: give it its type back, and put the new form into a new optional field",
        ),
    ),
    "nested field retyped": Edit(
        "question.py",
        "    date_of_birth: date\n    relationship",
        "    date_of_birth: str\n    relationship",
        ("rte.submitted: question.dependent.date_of_birth was string date and is string (against 1.0.0); ",),
    ),
    "item retyped": Edit(
        "question.py",
        "    service_type_codes: tuple[str, ...]",
        "    service_type_codes: tuple[int, ...]",
        ("rte.submitted: question.service_type_codes[] was string and is integer (against 1.0.0); ",),
    ),
    "null allowed": Edit(
        "events.py",
        "    caller: str\n",
        "    caller: str | None\n",
        ("rte.submitted: caller was string and is null or string (against 1.0.0); ",),
    ),
    "new field required": Edit(
        "events.py",
        _CANCELLED,
        _CANCELLED.replace("payer_id: PayerId\n", "payer_id: PayerId\n    reason: str\n"),
        ("rte.cancelled: reason is new and required: earlier events lack it (against 1.0.0); cure: give it a default",),
    ),
    "field made required": Edit(
        "events.py",
        "    failure: Failure\n    ended_call: CallId | None = None",
        "    failure: Failure\n    ended_call: CallId | None",
        (
            "rte.failed: ended_call became required: earlier events may lack it (against 1.0.0); "
            "cure: give it its default back",
        ),
    ),
    "field made optional": Edit(
        "events.py",
        "    available: bool\n",
        "    available: bool = True\n",
        ("rte.downtime: available became optional: earlier readers need it (against 1.0.0); cure: require it again",),
    ),
    "default changed": Edit(
        "coverage.py",
        "    network: Network = Network.UNKNOWN",
        "    network: Network = Network.BOTH",
        (
            "rte.completed: coverage.benefits[].network has another default ('BOTH', was 'UNKNOWN'): "
            "events without it would change (against 1.0.0); cure: give it the one it had",
        ),
    ),
    "enum value removed": Edit(
        "coverage.py",
        '    VISIT = "VISIT"\n',
        "",
        (
            "rte.completed: coverage.benefits[].time_period lost the value 'VISIT': "
            "earlier events have it (against 1.0.0); cure: put it back",
            "rte.completed: the event can no longer be read as it was written",
        ),
    ),
    "enum value added": Edit(
        "coverage.py",
        '    VISIT = "VISIT"\n',
        '    VISIT = "VISIT"\n    FORTNIGHT = "FORTNIGHT"\n',
        (
            "rte.answered: coverage.benefits[].time_period has the new value 'FORTNIGHT': "
            "earlier readers cannot read it (against 1.0.0); cure: put it into a new optional field",
        ),
    ),
    "type removed": Edit(
        "events.py",
        "    EventType.DOWNTIME: Downtime,\n",
        "",
        (
            "rte.downtime: the event is gone (against 1.0.0); cure: put the type back; it may go unwritten",
            "rte.downtime: the event can no longer be read as it was written",
        ),
    ),
    "type renamed": Edit(
        "events.py",
        '"rte.completed"',
        '"rte.done"',
        (
            "rte.completed: the event is gone (against 1.0.0)",
            "rte.completed: the event can no longer be read as it was written",
        ),
    ),
    "reading made stricter": Edit(
        "events.py",
        _CANCELLED,
        _CANCELLED.replace(
            "payer_id: PayerId\n",
            "payer_id: PayerId\n\n    def __post_init__(self) -> None:\n        raise ValueError('no')\n",
        ),
        ("rte.cancelled: the event can no longer be read as it was written (no) (against 1.0.0); ",),
    ),
}

HARMLESS = {
    "no edit": Edit("events.py", _CANCELLED, _CANCELLED),
    "new optional field": Edit(
        "events.py",
        _CANCELLED,
        _CANCELLED.replace("payer_id: PayerId\n", "payer_id: PayerId\n    reason: str | None = None\n"),
    ),
    "other words": Edit("events.py", "Whoever asked gave up.", "Whoever had asked gave up."),
}


def _copied(edit: Edit, folder: Path) -> None:
    """The catalogue with the edit, in the folder."""
    shutil.copytree(ROOT / "bus", folder / "bus", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(RELEASED, folder / "docs" / "events" / "released")
    file = folder / "bus" / edit.file
    code = file.read_text(encoding="utf-8")
    assert code.count(edit.old) == 1, "the code that this test edits has changed"
    file.write_text(code.replace(edit.old, edit.new), encoding="utf-8")


@contextmanager
def _imported(folder: Path) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The folder's `bus.events` and `bus.schemas`, in place of our own for as long as this lasts."""
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "bus"}
    for name in own:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield import_module("bus.events"), import_module("bus.schemas")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "bus"]:
            del sys.modules[name]
        sys.modules.update(own)


def _told(edit: Edit, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the check says of the edited catalogue."""
    _copied(edit, folder)
    with _imported(folder) as (events, edited):
        for name in ("EventType", "decode_data", "encode_data"):
            monkeypatch.setattr(compatibility, name, getattr(events, name))
        return [str(violation) for violation in violations(edited.schemas())]


@pytest.mark.parametrize("edit", BREAKING.values(), ids=BREAKING)
def test_a_breaking_edit_gives_a_line_that_names_type_field_and_cure(
    edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _told(edit, tmp_path, monkeypatch)
    for line in edit.lines:
        assert any(each.startswith(line) for each in told), told


@pytest.mark.parametrize("edit", HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_edit_gives_none(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _told(edit, tmp_path, monkeypatch) == []


@pytest.mark.parametrize(("edit", "code"), [(HARMLESS["no edit"], 0), (BREAKING["field removed"], 1)])
def test_the_command_fails_on_a_breaking_edit_only(edit: Edit, code: int, tmp_path: Path) -> None:
    _copied(edit, tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "bus.compatibility"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (code, "")
    assert [line for line in run.stdout.splitlines() if line in edit.lines] == list(edit.lines)


def test_a_new_type_is_no_violation() -> None:
    assert violations(schemas() | {"rte.paused": {"type": "object"}}) == []


def test_any_other_keyword_of_a_schema_must_stay_too() -> None:
    current = deepcopy(schemas())
    headers: Schema = current["headers"]
    headers["properties"]["ce_id"]["maxLength"] = 5
    (violation,) = violations(current)
    assert str(violation) == (
        "headers: ce_id has another maxLength (5, was None) (against 1.0.0); cure: give it the one it had"
    )


def test_every_released_version_is_checked_not_only_the_newest(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        shutil.copytree(RELEASED / "1.0.0", tmp_path / version)
    newer = tmp_path / "1.1.0" / "rte.cancelled.json"
    schema = json.loads(newer.read_text(encoding="utf-8"))
    schema["$defs"]["Cancelled"]["properties"]["reason"] = {"type": "string", "default": ""}
    newer.write_text(json.dumps(schema), encoding="utf-8")
    (violation,) = violations(schemas(), tmp_path)
    assert (violation.version, violation.type, violation.field) == ("1.1.0", "rte.cancelled", "reason")


def test_the_command_prints_each_violation_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(RELEASED / "1.0.0", tmp_path / "1.0.0")
    (tmp_path / "1.0.0" / "rte.paused.json").write_text("{}", encoding="utf-8")
    with (tmp_path / "1.0.0" / "samples.jsonl").open("a", encoding="utf-8") as samples:
        samples.write(
            json.dumps({"headers": {"ce_type": "rte.cancelled"}, "data": {"payer_id": "A", "lost": 1}}) + "\n"
        )
    assert compatibility.main(tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "rte.paused: the event is gone (against 1.0.0); cure: put the type back; it may go unwritten",
        "rte.cancelled: the event no longer reads back as it was written (against 1.0.0); "
        "cure: undo what changed its reading",
    ]
