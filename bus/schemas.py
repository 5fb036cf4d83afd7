"""The catalogue as documents, generated: a JSON Schema for each type of event, and one AsyncAPI document.

    python -m bus.schemas            writes docs/events/asyncapi.json and docs/events/current/
    python -m bus.schemas --check    fails, with the difference, where these are not what would be written

What `docs/events/released/` holds is never written again: bus/compatibility.py checks the catalogue against it.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from bus.events import DATA_OF, EventType, Topic

CATALOGUE_VERSION: Final = "1.0.0"
"""Of the catalogue's next release: the minor part counts up with every new type or field."""
DOCUMENTS: Final = Path(__file__).resolve().parent.parent / "docs" / "events"

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DAY_MILLISECONDS: Final = 24 * 60 * 60 * 1000
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_COUNT: Final[Schema] = {"type": "string", "pattern": "^[1-9][0-9]*$"}


class _Channel(Struct, frozen=True, kw_only=True):
    """A topic as its readers see it."""

    id: str
    description: str
    key: str
    kept_days: int


_CHANNELS: Final = {
    Topic.RTE: _Channel(
        id="rteEvents",
        description="Coverage requests. The events of a request are in order, and the first in the log wins: one whose "
        "ce_sequence is not the next of its request, or that follows a terminal one, is to be ignored.",
        key="Tenant and member: all events of a member are in one order.",
        kept_days=30,
    ),
    Topic.PAYER: _Channel(
        id="payerEvents",
        description="Payers going down and coming back.",
        key="Payer: all events of a payer are in one order.",
        kept_days=30,
    ),
}

_HEADERS: Final[dict[str, Schema]] = {
    "content-type": {
        "enum": ["application/json", "application/octet-stream"],
        "description": "Of the value. application/octet-stream is data that was sealed for its tenant "
        "(COVEY_DATA_KEY): the key's holder reads the JSON that the schema of the type tells of.",
    },
    "ce_specversion": {"const": "1.0"},
    "ce_id": _TEXT | {"description": "Names the event; the same event never has another."},
    "ce_source": _TEXT | {"description": "Who wrote it."},
    "ce_type": _TEXT | {"description": "What happened; readers pass over types that they do not know."},
    "ce_subject": _TEXT | {"description": "A request id; of rte.answered a call id, of rte.downtime a payer id."},
    "ce_time": _TEXT | {"format": "date-time", "description": "When it happened, in UTC."},
    "ce_tenantid": _TEXT | {"description": "On events of rte.events."},
    "ce_memberid": _TEXT | {"description": "Our id of the member, unique within the tenant; on events of rte.events."},
    "ce_sequence": _COUNT | {"description": "On events of a request: counts them from 1, without gaps."},
    "ce_attempt": _COUNT | {"description": "On events of a request: counts its attempts from 1."},
    "ce_traceparent": _TEXT | {"description": "W3C Trace Context."},
}
_SEALED: Final = (
    "Where Covey has a data key (COVEY_DATA_KEY), the value is sealed and content-type is application/octet-stream: "
    "the payload is then what it holds once unsealed."
)
_ATTRIBUTES: Final[Schema] = {
    "type": "object",
    "properties": _HEADERS,
    "required": ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time"],
}
_OF_MEMBERS: Final = ("ce_tenantid", "ce_memberid")
_OF_REQUESTS: Final = ("ce_sequence", "ce_attempt")


def topic_of(type_: EventType) -> Topic:
    """The topic that events of this type are in."""
    return Topic.PAYER if type_ is EventType.DOWNTIME else Topic.RTE


def schemas() -> dict[str, Schema]:
    """By type of event the JSON Schema of its data; and as "headers" that of the attributes all events carry.

    The attributes are CloudEvents 1.0 in Kafka's binary mode.
    """
    bodies = {type_.value: _documented(msgspec.json.schema(data)) for type_, data in DATA_OF.items()}
    bodies["headers"] = _ATTRIBUTES
    named = {name: {"$schema": _DIALECT, "title": name} | schema for name, schema in bodies.items()}
    as_read: dict[str, Schema] = json.loads(json.dumps(named))  # tuples as the arrays that a document has
    return as_read


def asyncapi() -> Schema:
    """The AsyncAPI 3.0 document: topics as channels, types of events as messages."""
    _, components = msgspec.json.schema_components(DATA_OF.values(), ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Covey's events",
            "version": CATALOGUE_VERSION,
            "description": "Every step of every request, as CloudEvents 1.0 in Kafka's binary mode.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.id: _channel(topic, channel) for topic, channel in _CHANNELS.items()},
        "operations": {
            f"send{channel.id[0].upper()}{channel.id[1:]}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{channel.id}"},
            }
            for channel in _CHANNELS.values()
        },
        "components": {
            "messages": {type_.value: _message(type_) for type_ in EventType},
            "schemas": {
                "Headers": _ATTRIBUTES,
                **_documented(components),
            },
        },
    }


def _channel(topic: Topic, channel: _Channel) -> Schema:
    return {
        "address": topic.value,
        "description": f"{channel.description} Kept {channel.kept_days} days unless set otherwise.",
        "messages": {
            type_.value: {"$ref": f"#/components/messages/{type_.value}"}
            for type_ in EventType
            if topic_of(type_) is topic
        },
        "bindings": {
            "kafka": {
                "topic": topic.value,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": channel.kept_days * _DAY_MILLISECONDS,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(type_: EventType) -> Schema:
    data = DATA_OF[type_]
    required = [*(_OF_MEMBERS if topic_of(type_) is Topic.RTE else ())]
    if topic_of(type_) is Topic.RTE and type_ is not EventType.ANSWERED:
        required += _OF_REQUESTS
    own: Schema = {"type": "object", "properties": {"ce_type": {"const": type_.value}}, "required": required}
    return {
        "name": type_.value,
        "title": data.__name__,
        "summary": inspect.cleandoc(data.__doc__ or "").partition("\n")[0],
        "description": _SEALED,
        "contentType": "application/json",
        "headers": {"allOf": [{"$ref": "#/components/schemas/Headers"}, own]},
        "payload": {"$ref": f"#/components/schemas/{data.__name__}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": _CHANNELS[topic_of(type_)].key},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _documented(schema: Schema) -> Schema:
    """The schema with the indentation of docstrings taken out of its descriptions."""
    return {
        key: inspect.cleandoc(value)
        if key == "description" and isinstance(value, str)
        else _documented(value)
        if isinstance(value, dict)
        else value
        for key, value in schema.items()
    }


def documents() -> dict[str, str]:
    """The text of every generated document, by its path under docs/events; the same for the same catalogue."""
    current = {f"current/{name}.json": schema for name, schema in schemas().items()}
    return {path: _json(document) for path, document in (current | {"asyncapi.json": asyncapi()}).items()}


def _json(document: Schema) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Make the folder's generated documents what they should be."""
    for path in _written(folder).keys() - documents().keys():
        (folder / path).unlink()
    for path, text in documents().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def difference(folder: Path) -> str:
    """What `write` would change, as a unified diff; empty where nothing."""
    written, generated = _written(folder), documents()
    return "".join(
        line
        for path in sorted(written.keys() | generated.keys())
        for line in difflib.unified_diff(
            written.get(path, "").splitlines(keepends=True),
            generated.get(path, "").splitlines(keepends=True),
            f"written/{path}",
            f"generated/{path}",
        )
    )


def _written(folder: Path) -> Mapping[str, str]:
    paths = [*folder.glob("current/*.json"), *folder.glob("asyncapi.json")]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def main(arguments: Sequence[str] | None = None, folder: Path = DOCUMENTS) -> int:
    """The command; 0 where the documents are, or now are, what they should be."""
    parser = argparse.ArgumentParser(prog="python -m bus.schemas", description="Write the documents of the catalogue.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where they are stale")
    if not parser.parse_args(arguments).check:
        write(folder)
        return 0
    stale = difference(folder)
    if stale:
        sys.stdout.write(stale)
        sys.stderr.write("The documents are stale. Run: python -m bus.schemas\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
