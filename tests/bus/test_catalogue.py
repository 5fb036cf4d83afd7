from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bus import compatibility, schemas
from bus.compatibility import RELEASED
from bus.events import Event, EventType, Topic, decode_data
from bus.ids import EventId
from bus.kafka.records import KafkaRecords
from bus.schemas import DOCUMENTS, Schema
from bus.sealing import PlainSealer, Sealer, TenantSealer
from tests.bus.conftest import NOON, downtime, submitted

VERSIONS = sorted(RELEASED.iterdir())
DIGESTS = {"1.0.0": "d8ec4bb63567a7b2b45deeb63fa38240345da328e9f96d7761bc47693f1fc24d"}


def _samples(version: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (version / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def _schema(version: Path, name: str) -> Schema:
    schema: Schema = json.loads((version / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def _fields(schema: Schema) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
    return fields


def _references(document: object) -> Iterable[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(document, list):
        for value in document:
            yield from _references(value)


# The generated documents


def test_the_repository_holds_what_would_be_generated() -> None:
    assert schemas.difference(DOCUMENTS) == ""


def test_writing_makes_stale_documents_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main([], tmp_path) == 0
    assert schemas.main(["--check"], tmp_path) == 0
    edited, left, gone = (tmp_path / "current" / name for name in ("rte.failed.json", "rte.old.json", "headers.json"))
    edited.write_text("{}\n", encoding="utf-8")
    left.write_text("{}\n", encoding="utf-8")
    gone.unlink()
    assert schemas.main(["--check"], tmp_path) == 1
    told = capsys.readouterr()
    for name in (edited.name, left.name, gone.name):
        assert f"+++ generated/current/{name}" in told.out
    assert "python -m bus.schemas" in told.err
    assert schemas.main([], tmp_path) == 0
    assert schemas.difference(tmp_path) == "" and not left.exists()


def test_the_same_catalogue_gives_the_same_text() -> None:
    assert schemas.documents() == schemas.documents()


@pytest.mark.parametrize("name", schemas.schemas())
def test_every_schema_is_a_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.schemas()[name])


@pytest.mark.parametrize("type_", EventType)
def test_a_schema_names_the_topic_that_events_have(type_: EventType) -> None:
    sample = next(sample for sample in _samples(VERSIONS[0]) if sample["headers"]["ce_type"] == type_)
    data = decode_data(type_, json.dumps(sample["data"]).encode())
    event = Event(id=EventId("e1"), source="test", subject="s", time=NOON, data=data)
    assert schemas.topic_of(type_) is event.topic


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = schemas.asyncapi()
    references = set(_references(document))
    assert {f"#/components/messages/{type_}" for type_ in EventType} <= references
    for reference in references:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert isinstance(target, dict)


def test_every_type_is_a_message_of_one_channel() -> None:
    channels = schemas.asyncapi()["channels"].values()
    assert sorted(name for channel in channels for name in channel["messages"]) == sorted(EventType)
    assert all(
        channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == 2_592_000_000 for channel in channels
    )


@pytest.mark.parametrize("sealer", [PlainSealer(), TenantSealer(b"k" * 32)], ids=["plain", "sealed"])
def test_the_headers_of_what_is_written_hold_to_their_schema(sealer: Sealer) -> None:
    records = KafkaRecords({Topic.RTE: 4, Topic.PAYER: 1}, sealer)
    for event in (submitted("r1"), downtime("p1")):
        headers = {name: value.decode() for name, value in records.message(event).headers}
        jsonschema.validate(headers, schemas.schemas()["headers"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**headers, "content-type": "text/plain"}, schemas.schemas()["headers"])


# Released versions


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_released_version_is_as_it_was_released(version: Path) -> None:
    digest = sha256()
    for path in sorted(version.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    assert digest.hexdigest() == DIGESTS[version.name], "Released versions are never edited: release another."


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_samples_hold_to_the_schemas_of_their_version(version: Path) -> None:
    for sample in _samples(version):
        jsonschema.validate(sample["headers"], _schema(version, "headers"))
        jsonschema.validate(sample["data"], _schema(version, sample["headers"]["ce_type"]))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_samples_show_every_field_of_every_type_of_their_version(version: Path) -> None:
    for path in version.glob("*.json"):
        if path.stem == "headers":
            continue
        shown = {
            name for sample in _samples(version) if sample["headers"]["ce_type"] == path.stem for name in sample["data"]
        }
        assert shown == set(_fields(_schema(version, path.stem)))


def test_every_released_version_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    assert compatibility.main() == 0
    assert capsys.readouterr().out == ""
