"""Documents, parsed and validated once: what a client asks a thousand times a second is read the first time only, and
what was refused is refused again without a second look.

Checks go in the order of what they cost: size, tokens while parsing, a walk over the result, and only then validation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    ProvidedRequiredArgumentsRule,
    ValuesOfCorrectTypeRule,
    parse,
    specified_rules,
    validate,
)
from msgspec import Struct, field
from strawberry.types.graphql import OperationType

from delivery.errors import ErrorCode
from delivery.request import PersistedDocument
from schema.errors import ERRORS_MAX, bad_input, coded, is_coded
from schema.event_answers import Selections
from schema.input_values import InputValuesRule
from schema.limits import Cost, Limits, TooComplex, measure
from schema.names import with_short_names
from schema.persisted import DocumentRefused, PersistedDocuments, sha256_of
from schema.places import OPERATION_NAME, QUERY
from schema.subscription_plans import Plans

__all__ = ["Document", "DocumentRefused", "Documents", "Operation"]

_REPLACED: Final = frozenset({ValuesOfCorrectTypeRule, ProvidedRequiredArgumentsRule})
_LONGEST_MESSAGE: Final = 300
"""Characters."""
_RULES: Final = (*(rule for rule in specified_rules if rule not in _REPLACED), InputValuesRule)


Key = TypeVar("Key")
Value = TypeVar("Value")


class Operation(Struct, frozen=True, kw_only=True):
    """One operation of a document."""

    node: OperationDefinitionNode
    type: OperationType
    cost: Cost
    selections: Selections = field(default_factory=Selections)
    """Of a subscription: made when it runs, and forgotten with the document."""
    plans: Plans = field(default_factory=Plans)
    """The same of how it begins."""


class Document(Struct, frozen=True, kw_only=True):
    """A document that can be run."""

    ast: DocumentNode
    operations: Mapping[str | None, Operation]

    def operation(self, name: str | None) -> Operation:
        """The operation of this name; the only one where there is no name. Raises DocumentRefused."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        operation = None if name is None else self.operations.get(name)
        if operation is None:
            message = "The document holds no operation of that name; name one when it holds several."
            raise DocumentRefused(bad_input(message, OPERATION_NAME))
        return operation


class Documents:
    """Reads documents, and remembers what came of the most lately asked for: those that were found good by their whole
    text, refusals by its hash, so that bad documents of any size take little and push no good one out."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        *,
        development: bool,
        allowed: Mapping[str, str] | None = None,
        remembered: int = 256,
        refusals_remembered: int = 1_024,
    ) -> None:
        """Only development may ask for the schema itself, and is told what a wrong name might have meant.

        `allowed` are the only documents that are served, where it is given, by the SHA-256 of their text.
        """
        self._allowed = allowed
        self._persisted = PersistedDocuments(allowed or {})
        self._schema = schema
        self._limits = limits
        self._development = development
        self._rules = _RULES if development else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._remembered = remembered
        self._refusals_remembered = refusals_remembered
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._refusals: OrderedDict[bytes, tuple[GraphQLError, ...]] = OrderedDict()

    def get(self, text: object, on_read: Callable[[int], None]) -> Document:
        """The document, read and validated. Raises DocumentRefused.

        `on_read` is told the size in bytes of one that is not remembered, before it is read.
        """
        if isinstance(text, PersistedDocument):
            found = self._persisted.text_of(text)
            named = self.get(found, on_read)
            self._persisted.keep(text.sha256, found)
            return named
        if not isinstance(text, str) or not text:
            raise DocumentRefused(bad_input("There is no document.", QUERY))
        if self._allowed is not None and sha256_of(text) not in self._allowed:
            raise DocumentRefused(coded(ErrorCode.FORBIDDEN, "Only operations that were registered are served here."))
        document = self._documents.get(text)
        if document is not None:
            self._documents.move_to_end(text)
            return document
        encoded = text.encode("utf-8", "surrogatepass")
        if len(encoded) > self._limits.document_bytes:
            raise _too_complex(f"The document is over the limit of {self._limits.document_bytes} bytes.")
        digest = blake2b(encoded, digest_size=16).digest()
        errors = self._refusals.get(digest)
        if errors is not None:
            self._refusals.move_to_end(digest)
            raise DocumentRefused(*errors)
        on_read(len(encoded))
        try:
            document = self._read(text)
        except DocumentRefused as refused:
            _remember(self._refusals, digest, refused.errors, self._refusals_remembered)
            raise
        _remember(self._documents, text, document, self._remembered)
        return document

    def checked_complexity(self, operation: Operation, variables: Mapping[str, Any]) -> int:
        """What the operation costs with these variables. Raises DocumentRefused where that is too much."""
        cost = operation.cost.total(variables)
        if cost > self._limits.complexity:
            most = self._limits.complexity
            raise _too_complex(f"The operation is too costly: {min(cost, 1_000_000)}, of at most {most}.")
        return cost

    def _read(self, text: str) -> Document:
        ast = self._parsed(text)
        try:
            costs = measure(ast, self._limits)
        except TooComplex as error:
            raise _too_complex(str(error)) from None
        errors = validate(self._schema, ast, self._rules, max_errors=ERRORS_MAX, hide_suggestions=not self._development)
        if errors:
            raise DocumentRefused(*_told(errors))
        return Document(
            ast=ast,
            operations={
                _name(node): Operation(node=node, type=OperationType(node.operation.value), cost=costs[_name(node)])
                for node in ast.definitions
                if isinstance(node, OperationDefinitionNode)
            },
        )

    def _parsed(self, text: str) -> DocumentNode:
        try:
            # Without locations a document takes a sixth of the memory.
            return parse(text, no_location=True, max_lexical_tokens=self._limits.tokens)
        except GraphQLSyntaxError as error:
            if "tokens. Parsing aborted" in error.message:
                raise _too_complex(f"The document has more than {self._limits.tokens} tokens.") from None
            if "nested too deeply" in error.message:
                raise _too_complex("The document is nested too deeply.") from None
            raise DocumentRefused(_syntax_error(error)) from None


def _remember(memory: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> None:
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)


def _name(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


def _too_complex(message: str) -> DocumentRefused:
    return DocumentRefused(coded(ErrorCode.QUERY_TOO_COMPLEX, message))


def _syntax_error(error: GraphQLSyntaxError) -> GraphQLError:
    """Where, and no more: the parser's own words repeat what stands there."""
    place = "".join(f" Look at line {line}, column {column}." for line, column in error.locations or ())
    told = bad_input(f"The document cannot be read.{place}", QUERY)
    told.locations = error.locations  # without the document, so that a remembered refusal is small
    return told


def _told(errors: Sequence[GraphQLError]) -> list[GraphQLError]:
    """The rules' own words name fields, types and variables, never a value; the last may only say that it gave up."""
    return [
        error if is_coded(error) else bad_input(with_short_names(error.message)[:_LONGEST_MESSAGE], QUERY)
        for error in errors[:ERRORS_MAX]
    ]
