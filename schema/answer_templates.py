"""Whole answers of a subscription, made from the domain's items without an execution.

Of a kind of item all that a document asks for is known when it is compiled, but for a few values. So an answer is a
text with gaps, one for each value that differs: most stand in the item as they are told, and are taken out together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, assert_never

from graphql import GraphQLNonNull, GraphQLObjectType, GraphQLOutputType, is_abstract_type
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from graphql.execution.executor import Executor
from msgspec import Struct

from resolvers.answers import Answers
from schema.compiled_selection import Compiler, Unusual, Write, definition, encode, is_typename, origin, plain_field
from schema.tellings import TELLINGS, Always, At, Item, Made, Telling, kind_of

_GAP: Final = b"%b"
_TEXTS: Final = frozenset({"ID", "String", "Cursor"})
_NOTHING: Final = object()
"""In place of a value that has to be there."""


class Selection(Struct, frozen=True, eq=False):
    """What a document asks of each kind of item."""

    templates: Mapping[type, _Template]

    def payload(self, item: Item, answers: Answers) -> bytes:
        """The whole answer as JSON. Raises Unusual."""
        try:
            return self.templates[kind_of(item)].filled(item, answers)
        except Exception:  # the executor says which field is to blame
            raise Unusual from None


class _Template(Struct, frozen=True):
    """The answer to one kind of item."""

    text: bytes
    """With a gap for each value, as of printf."""
    taken: Callable[[Item], tuple[Any, ...]]
    """The values that stand in the item."""
    absent: tuple[Any, ...]
    """What each of them is where the item has None."""
    written: tuple[tuple[int, Write], ...]
    """Those of them that are not written as they are, by the number of their gaps among them."""
    made: tuple[tuple[int, Made, Write], ...]
    """The others, by the number of their gaps among all, rising."""

    def filled(self, item: Item, answers: Answers) -> bytes:
        values = [*self.taken(item)]
        if None in values:
            values = [_present(value, absent) for value, absent in zip(values, self.absent, strict=True)]
        for gap, write in self.written:
            values[gap] = write(values[gap])
        texts = [*map(encode, values)]
        for gap, (make,), write in self.made:
            texts.insert(gap, encode(write(make(item, answers))))
        return self.text % (*texts,)


def compile_selection(executor: Executor[Any]) -> Selection:
    """What the executor's operation, a subscription, selects with its variables. Raises Unusual."""
    schema, root = executor.schema, executor.schema.subscription_type
    if root is None:
        raise Unusual
    collected = collect_fields(
        schema, executor.fragments, executor.variable_values, root, executor.operation
    ).grouped_field_set
    if len(collected) != 1:
        raise Unusual
    ((name, details),) = collected.items()
    field = root.fields.get(details[0].node.name.value)
    if field is None or not isinstance(field.type, GraphQLNonNull) or not is_abstract_type(field.type.of_type):
        raise Unusual
    possible = {origin(type_): type_ for type_ in schema.get_possible_types(field.type.of_type)}
    compiler = Compiler(executor)
    templates = {
        kind: _template(compiler, telling, possible[telling.type], name, details)
        for kind, telling in TELLINGS.items()
        if telling.type in possible
    }
    return Selection(templates)


def _template(
    compiler: Compiler, telling: Telling, type_: GraphQLObjectType, name: str, details: FieldDetailsList
) -> _Template:
    gaps = _Gaps()
    members = [
        _constant(key) + b":" + _member(compiler, telling, type_, each, gaps)
        for key, each in compiler.selected(type_, details).items()
    ]
    text = b'{"data":{%s:{%s}}}' % (_constant(name), b",".join(members))
    return _Template(text, _taking(gaps.paths), tuple(gaps.absent), tuple(gaps.written), tuple(gaps.made))


def _member(
    compiler: Compiler, telling: Telling, type_: GraphQLObjectType, details: FieldDetailsList, gaps: _Gaps
) -> bytes:
    """What stands for a field in the text."""
    if is_typename(details):
        return _constant(type_.name)
    field = plain_field(type_, details)
    source, write = telling.fields[definition(field).python_name], compiler.writer(field.type, details)
    match source:
        case Always(value):
            return _constant(write(value))
        case At():
            gaps.take(source, None if _is_text(field.type) else write)
        case Made():
            gaps.make(source, write)
        case _:
            assert_never(source)
    return _GAP


class _Gaps:
    """The gaps of a text, in its order."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.absent: list[Any] = []
        self.written: list[tuple[int, Write]] = []
        self.made: list[tuple[int, Made, Write]] = []

    def take(self, source: At, write: Write | None) -> None:
        """The next value stands in the item; without `write` it is text."""
        if write is not None:
            self.written.append((len(self.paths), write))
        self.paths.append(source.path)
        self.absent.append(_NOTHING if write is None and source.absent is None else source.absent)

    def make(self, source: Made, write: Write) -> None:
        """The next value is made."""
        self.made.append((len(self.paths) + len(self.made), source, write))


def _taking(paths: Sequence[str]) -> Callable[[Item], tuple[Any, ...]]:
    if len(paths) > 1:
        return attrgetter(*paths)
    takes = [attrgetter(path) for path in paths]
    return lambda item: tuple(take(item) for take in takes)


def _present(value: Any, absent: Any) -> Any:
    if value is not None:
        return value
    if absent is _NOTHING:
        raise Unusual
    return absent


def _is_text(type_: GraphQLOutputType) -> bool:
    """Whether the domain's own types have made sure that there is text, which is written as it is."""
    return isinstance(type_, GraphQLNonNull) and getattr(type_.of_type, "name", None) in _TEXTS


def _constant(value: Any) -> bytes:
    return encode(value).replace(b"%", b"%%")
