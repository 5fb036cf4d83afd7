"""Documents, parsed and validated once: what a client asks a thousand times a second is read the first time only.

Checks go in the order of what they cost: size, tokens while parsing, a walk over the result, and only then validation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

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
from msgspec import Struct
from strawberry.types.graphql import OperationType

from delivery.errors import ErrorCode
from schema.errors import ERRORS_MAX, coded, is_coded
from schema.input_values import InputValuesRule
from schema.limits import Cost, Limits, TooComplex, measure

_REPLACED: Final = frozenset({ValuesOfCorrectTypeRule, ProvidedRequiredArgumentsRule})
_LONGEST_MESSAGE: Final = 300
"""Characters: a name can be as long as a document."""
_RULES: Final = (*(rule for rule in specified_rules if rule not in _REPLACED), InputValuesRule)


class DocumentRefused(Exception):
    """The document is not run; `errors` may leave as they are."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__()
        self.errors = errors


class Operation(Struct, frozen=True, kw_only=True):
    """One operation of a document."""

    node: OperationDefinitionNode
    type: OperationType
    cost: Cost


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
            raise DocumentRefused(coded(ErrorCode.BAD_USER_INPUT, message))
        return operation


class Documents:
    """Reads documents, and remembers those that were found good: the most lately asked for, by their whole text."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, development: bool, remembered: int = 256) -> None:
        """Only development may ask for the schema itself, and is told what a wrong name might have meant."""
        self._schema = schema
        self._limits = limits
        self._development = development
        self._rules = _RULES if development else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._remembered = remembered
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def get(self, text: object) -> Document:
        """The document, read and validated. Raises DocumentRefused."""
        if not isinstance(text, str) or not text:
            raise DocumentRefused(coded(ErrorCode.BAD_USER_INPUT, "There is no document."))
        document = self._documents.get(text)
        if document is not None:
            self._documents.move_to_end(text)
            return document
        document = self._read(text)
        self._documents[text] = document
        if len(self._documents) > self._remembered:
            self._documents.popitem(last=False)
        return document

    def check_complexity(self, operation: Operation, variables: Mapping[str, Any]) -> None:
        """Raises DocumentRefused where the operation costs too much with these variables."""
        cost = operation.cost.total(variables)
        if cost > self._limits.complexity:
            most = self._limits.complexity
            raise _too_complex(f"The operation is too costly: {min(cost, 1_000_000)}, of at most {most}.")

    def _read(self, text: str) -> Document:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self._limits.document_bytes:
            raise _too_complex(f"The document is over the limit of {self._limits.document_bytes} bytes.")
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


def _name(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


def _too_complex(message: str) -> DocumentRefused:
    return DocumentRefused(coded(ErrorCode.QUERY_TOO_COMPLEX, message))


def _syntax_error(error: GraphQLSyntaxError) -> GraphQLError:
    """Where, and no more: the parser's own words repeat what stands there."""
    place = "".join(f" Look at line {line}, column {column}." for line, column in error.locations or ())
    return GraphQLError(
        f"The document cannot be read.{place}",
        source=error.source,
        positions=error.positions,
        extensions={"code": ErrorCode.BAD_USER_INPUT.value},
    )


def _told(errors: Sequence[GraphQLError]) -> list[GraphQLError]:
    """The rules' own words name fields, types and variables, never a value; the last may only say that it gave up."""
    return [
        error if is_coded(error) else coded(ErrorCode.BAD_USER_INPUT, error.message[:_LONGEST_MESSAGE])
        for error in errors[:ERRORS_MAX]
    ]
