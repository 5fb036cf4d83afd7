"""How much one document may ask for, measured before validation or execution is paid for.

The walks are safe against whatever can be parsed: circular fragments, fragments that double at every level, nesting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)
from msgspec import Struct

from bus.errors import CoveyError
from resolvers.pages import LONGEST_PAGE

_PRICES: Final[Mapping[str, int]] = {
    "submitCoverageRequest": 100,  # a durable append
    "cancelCoverageRequest": 100,
    "websocketSubscribeInfo": 50,  # a signature
    "scheduler": 50,
    "coverageRequest": 10,
    "coverageRequests": 10,
    "coverage": 2,
}
"""What fields cost beyond 1 for each that has fields of its own, and an eighth for each that has none."""
_PRICE_OF_ASKING: Final = 30
"""Of the query `coverage`: rules are checked, the cache is read, and for an unknown payer all are compared. A
request's field of that name only shows what is there, and takes no argument."""
_EIGHTHS: Final = 8
_LISTS: Final[Mapping[str, int]] = {"benefits": 20}
"""Fields whose length nobody asks for, and how often they cost what is below them: a plan has tens of rows."""
_PAGED: Final = frozenset({"coverageRequests", "payers"})
"""Fields that cost as often what is below them as their argument `first` says."""
_DEFAULT_PAGE: Final = 20
_LEVELS_PER_DEPTH: Final = 3
"""Fragments are levels too, so there may be more levels than fields within fields."""


class TooComplex(CoveyError):
    """The document asks for more than one document may. Ask for less, or in several."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one document may have at most."""

    document_bytes: int = 16_384
    tokens: int = 2_000
    depth: int = 15
    """Fields within fields."""
    aliases: int = 30
    complexity: int = 1_000
    definitions: int = 50
    """Operations and fragments."""
    operations: int = 10
    """Validation looks at everything that each of them uses, so fragments are read as often as there are operations."""
    directives: int = 50
    fields: int = 500
    """As they are written, fragments not followed."""
    overlap: int = 3_000
    """The sum, over the names that fields answer under, of the square of how often each is asked for: validation
    compares every two of the same name."""


class Cost(Struct, frozen=True, kw_only=True):
    """What an operation costs, in eighths; pages whose size is a variable are priced when its value is known."""

    fixed: int = 0
    per_item: Mapping[str, int] = {}
    """By variable."""

    def total(self, variables: Mapping[str, Any]) -> int:
        """The whole cost with these variables; one without a usable value counts as the longest page."""
        return self._eighths(variables) // _EIGHTHS

    def __add__(self, other: Cost) -> Cost:
        per_item = Counter(self.per_item) + Counter(other.per_item) if other.per_item else self.per_item
        return Cost(fixed=self.fixed + other.fixed, per_item=per_item)

    def times(self, count: int) -> Cost:
        return Cost(fixed=self.fixed * count, per_item={name: cost * count for name, cost in self.per_item.items()})

    def sized_by(self, variable: str) -> Cost:
        """So often as the variable says; pages within pages count as long as they can be."""
        return Cost(per_item={variable: max(1, self._eighths({}))})

    def _eighths(self, variables: Mapping[str, Any]) -> int:
        return self.fixed + sum(cost * _page_size(variables.get(name)) for name, cost in self.per_item.items())


class _Size(Struct, frozen=True):
    depth: int
    aliases: int
    cost: Cost


_NOTHING: Final = _Size(0, 0, Cost())


def measure(document: DocumentNode, limits: Limits) -> Mapping[str | None, Cost]:
    """The cost of each operation by its name. Raises TooComplex where the document is over a limit other than
    complexity, which depends on variables."""
    _check_census(document, limits)
    walk = _Walk(document, limits)
    costs = {}
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            size = walk.size(operation.selection_set, 1)
            if size.depth > limits.depth:
                raise TooComplex(f"Fields are nested deeper than {limits.depth}.")
            if size.aliases > limits.aliases:
                raise TooComplex(f"More than {limits.aliases} aliases.")
            costs[operation.name.value if operation.name else None] = size.cost
    return costs


def _check_census(document: DocumentNode, limits: Limits) -> None:
    """What can be counted without following fragments."""
    if len(document.definitions) > limits.definitions:
        raise TooComplex(f"More than {limits.definitions} operations and fragments.")
    operations = sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions)
    if operations > limits.operations:
        raise TooComplex(f"More than {limits.operations} operations.")
    directives = 0
    names: Counter[str] = Counter()
    for node in _nodes(document):
        directives += len(node.directives or ())
        if isinstance(node, FieldNode):
            names[_answer_name(node)] += 1
    if directives > limits.directives:
        raise TooComplex(f"More than {limits.directives} directives.")
    if names.total() > limits.fields:
        raise TooComplex(f"More than {limits.fields} fields.")
    if sum(count * count for count in names.values()) > limits.overlap:
        raise TooComplex("The same fields are asked for too often.")


def _nodes(document: DocumentNode) -> Iterator[Any]:
    """Everything that directives can stand at."""
    pending: list[Any] = list(document.definitions)
    while pending:
        node = pending.pop()
        yield node
        pending.extend(getattr(node, "variable_definitions", None) or ())
        selection_set: SelectionSetNode | None = getattr(node, "selection_set", None)
        if selection_set is not None:
            pending.extend(selection_set.selections)


class _Walk:
    """Follows fragments, each once."""

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._fragments = {
            definition.name.value: definition.selection_set
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._sizes: dict[str, _Size] = {}
        self._most_levels = _LEVELS_PER_DEPTH * limits.depth

    def size(self, selection_set: SelectionSetNode, level: int) -> _Size:
        if level > self._most_levels:
            raise TooComplex("Fields and fragments are nested too deeply.")
        sizes: list[_Size] = []
        for selection in selection_set.selections:
            match selection:
                case FieldNode():
                    sizes.append(self._field(selection, level))
                case InlineFragmentNode():
                    sizes.append(self.size(selection.selection_set, level + 1))
                case FragmentSpreadNode():
                    sizes.append(self._fragment(selection.name.value, level))
        return _sum(sizes)

    def _field(self, field: FieldNode, level: int) -> _Size:
        below = self.size(field.selection_set, level + 1) if field.selection_set else _NOTHING
        cost = Cost(fixed=_price(field)) + _repeated(field, below.cost)
        return _Size(below.depth + 1, below.aliases + (1 if field.alias else 0), cost)

    def _fragment(self, name: str, level: int) -> _Size:
        if name not in self._sizes:
            fragment = self._fragments.get(name)
            self._sizes[name] = _NOTHING  # where it comes back to itself, which validation refuses, or does not exist
            if fragment is not None:
                self._sizes[name] = self.size(fragment, level + 1)
        return self._sizes[name]


def _sum(sizes: Iterable[_Size]) -> _Size:
    depth, aliases, cost = 0, 0, Cost()
    for size in sizes:
        depth = max(depth, size.depth)
        aliases += size.aliases
        cost += size.cost
    return _Size(depth, aliases, cost)


def _price(field: FieldNode) -> int:
    """In eighths, without what is below."""
    name = field.name.value
    price = _PRICE_OF_ASKING if name == "coverage" and field.arguments else _PRICES.get(name, 0)
    return price * _EIGHTHS + (_EIGHTHS if field.selection_set else 1)


def _repeated(field: FieldNode, item: Cost) -> Cost:
    if field.name.value in _PAGED:
        return _paged(field, item)
    return item.times(_LISTS.get(field.name.value, 1))


def _paged(field: FieldNode, item: Cost) -> Cost:
    for argument in field.arguments or ():
        if argument.name.value == "first":
            if isinstance(argument.value, VariableNode):
                return item.sized_by(argument.value.name.value)
            if isinstance(argument.value, IntValueNode) and len(argument.value.value) < 9:
                return item.times(_page_size(int(argument.value.value)))
            return item.times(LONGEST_PAGE)
    return item.times(_DEFAULT_PAGE)


def _page_size(given: object) -> int:
    return given if isinstance(given, int) and 0 <= given <= LONGEST_PAGE else LONGEST_PAGE


def _answer_name(field: FieldNode) -> str:
    return (field.alias or field.name).value
