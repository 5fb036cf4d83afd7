"""FULL_TRANSITIVE: who reads any released version of the catalogue can read the current one, and the other way round.

    python -m bus.compatibility      fails with a line for each violation: type, field, what is wrong, its cure

A new reader must read every old event, and an old reader every new one. So fields and types stay, with their types and
defaults; enums keep exactly their values; what is new is optional. Every sample of a released version must still read
back as it was written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from bus.events import EventType, decode_data, encode_data
from bus.schemas import DOCUMENTS, Schema, schemas

RELEASED: Final = DOCUMENTS / "released"

_COMPARED: Final = {"type", "format", "properties", "required", "items", "enum", "anyOf", "default"}
"""Keywords that are compared one by one; every other that means something must stay the same."""
_MEANINGLESS: Final = {"title", "description", "$schema", "$defs", "$ref"}
_CORRECTED: Final = {("headers", "content-type")}
"""Where a released document was wrong and no event was ever otherwise: 1.0.0 tells of application/json only, but sealed
events were application/octet-stream from the beginning."""


class Violation(Struct, frozen=True, kw_only=True):
    """One reason why a reader of some version could not read an event of another."""

    version: str
    type: str
    field: str
    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.type}: {self.field or 'the event'} {self.problem} (against {self.version}); cure: {self.cure}"


class _Finding(Struct, frozen=True, kw_only=True):
    """A violation before it is known whose it is."""

    field: str
    problem: str
    cure: str


def violations(current: Mapping[str, Schema], released: Path = RELEASED) -> list[Violation]:
    """All that is wrong with these schemas by every released version, and with this code by their samples."""
    return [
        Violation(version=version.name, type=type_, field=finding.field, problem=finding.problem, cure=finding.cure)
        for version in sorted(released.iterdir())
        for type_, finding in _of_version(current, version)
        if (type_, finding.field) not in _CORRECTED
    ]


def _of_version(current: Mapping[str, Schema], version: Path) -> Iterator[tuple[str, _Finding]]:
    for path in sorted(version.glob("*.json")):
        old = json.loads(path.read_text(encoding="utf-8"))
        if path.stem not in current:
            yield path.stem, _Finding(field="", problem="is gone", cure="put the type back; it may go unwritten")
            continue
        for finding in _Comparison(old, current[path.stem]).findings():
            yield path.stem, finding
    for line in (version / "samples.jsonl").read_text(encoding="utf-8").splitlines():
        yield from _of_sample(json.loads(line))


def _of_sample(sample: Mapping[str, Any]) -> Iterator[tuple[str, _Finding]]:
    type_, written = sample["headers"]["ce_type"], sample["data"]
    cure = "undo what changed its reading"
    try:
        read = json.loads(encode_data(decode_data(EventType(type_), json.dumps(written).encode())))
    except (ValueError, KeyError, msgspec.DecodeError) as error:
        yield type_, _Finding(field="", problem=f"can no longer be read as it was written ({error})", cure=cure)
        return
    if read != written:
        yield type_, _Finding(field="", problem="no longer reads back as it was written", cure=cure)


class _Comparison:
    """One released schema against the current one of the same name."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new

    def findings(self) -> Iterator[_Finding]:
        """All that is wrong, in the order of the fields."""
        yield from self._value("", self._old, self._new)

    def _value(self, field: str, old: Schema, new: Schema) -> Iterator[_Finding]:
        """A value may have several forms (a text, or null): each must have stayed."""
        old_forms = _forms(old, self._old)
        new_forms = _forms(new, self._new)
        if old_forms.keys() != new_forms.keys():
            yield _Finding(
                field=field,
                problem=f"was {' or '.join(sorted(old_forms))} and is {' or '.join(sorted(new_forms))}",
                cure="give it its type back, and put the new form into a new optional field",
            )
            return
        for kind in old_forms:
            yield from self._form(field, old_forms[kind], new_forms[kind])

    def _form(self, field: str, old: Schema, new: Schema) -> Iterator[_Finding]:
        yield from _enum(field, old.get("enum", ()), new.get("enum", ()))
        yield from self._properties(field, old, new)
        if "items" in old and "items" in new:
            yield from self._value(f"{field}[]", old["items"], new["items"])
        for keyword in sorted((old.keys() | new.keys()) - _COMPARED - _MEANINGLESS):
            if old.get(keyword) != new.get(keyword):
                yield _Finding(
                    field=field,
                    problem=f"has another {keyword} ({new.get(keyword)}, was {old.get(keyword)})",
                    cure="give it the one it had",
                )

    def _properties(self, within: str, old: Schema, new: Schema) -> Iterator[_Finding]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(old_fields.keys() | new_fields.keys()):
            field = f"{within}.{name}" if within else name
            if name not in new_fields:
                yield _Finding(field=field, problem="is gone, removed or renamed", cure="put it back under its name")
            elif name not in old_fields:
                if name in new_required:
                    yield _Finding(
                        field=field, problem="is new and required: earlier events lack it", cure="give it a default"
                    )
            else:
                yield from _presence(field, name in old_required, name in new_required)
                yield from _default(field, old_fields[name], new_fields[name])
                yield from self._value(field, old_fields[name], new_fields[name])


def _presence(field: str, was_required: bool, is_required: bool) -> Iterator[_Finding]:
    if is_required and not was_required:
        yield _Finding(
            field=field, problem="became required: earlier events may lack it", cure="give it its default back"
        )
    if was_required and not is_required:
        yield _Finding(field=field, problem="became optional: earlier readers need it", cure="require it again")


def _default(field: str, old: Schema, new: Schema) -> Iterator[_Finding]:
    if "default" in old and "default" in new and old["default"] != new["default"]:
        yield _Finding(
            field=field,
            problem=f"has another default ({new['default']!r}, was {old['default']!r}): events without it would change",
            cure="give it the one it had",
        )


def _enum(field: str, old: Iterable[Any], new: Iterable[Any]) -> Iterator[_Finding]:
    was, now = set(old), set(new)
    for value in sorted(was - now):
        yield _Finding(field=field, problem=f"lost the value {value!r}: earlier events have it", cure="put it back")
    for value in sorted(now - was):
        yield _Finding(
            field=field,
            problem=f"has the new value {value!r}: earlier readers cannot read it",
            cure="put it into a new optional field",
        )


def _forms(schema: Schema, document: Schema) -> dict[str, Schema]:
    """The forms a value may have, by kind; a reference stands for what it refers to."""
    if "$ref" in schema:
        return _forms(document["$defs"][schema["$ref"].rpartition("/")[2]], document)
    if "anyOf" in schema:
        return {kind: form for each in schema["anyOf"] for kind, form in _forms(each, document).items()}
    kind = "enum" if "enum" in schema else " ".join(filter(None, (schema.get("type", "any"), schema.get("format"))))
    return {kind: schema}


def main(released: Path = RELEASED) -> int:
    """The command; 0 where every released version stays readable."""
    found = violations(schemas(), released)
    for violation in found:
        sys.stdout.write(f"{violation}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
