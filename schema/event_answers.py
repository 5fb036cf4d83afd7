"""How the items of a subscription become answers: by its compiled selection where one is, else by the executor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import graphql
from graphql import DirectiveNode, DocumentNode, VariableNode, Visitor, visit
from graphql.execution.executor import Executor
from msgspec import Struct
from strawberry.types.execution import ExecutionResult

from bus.replay import Delivered
from delivery.payloads import EncodedResult, EventResult
from resolvers.answers import Answers
from schema.answer_templates import Selection, compile_selection
from schema.compiled_selection import Unusual
from schema.tellings import Item, update_of

_REMEMBERED: Final = 16
"""Selections of one operation: as many ways to set its directives' variables as are in use at a time."""


class Selections:
    """What one operation selects, by the variables that decide it."""

    def __init__(self) -> None:
        self._deciding: tuple[str, ...] | None = None
        self._compiled: OrderedDict[tuple[Any, ...], Selection | None] = OrderedDict()

    def of(self, executor: Executor[Any], document: DocumentNode) -> Selection | None:
        """The selection of this operation as it was asked for now; None where it is left to the executor."""
        if self._deciding is None:
            self._deciding = tuple(sorted(_deciding_variables(document)))
        coerced = executor.variable_values.coerced
        key = tuple(coerced.get(name) for name in self._deciding)
        if key not in self._compiled:
            try:
                self._compiled[key] = compile_selection(executor)
            except Unusual:
                self._compiled[key] = None
            if len(self._compiled) > _REMEMBERED:
                self._compiled.popitem(last=False)
        return self._compiled[key]


class EventAnswers(Struct, frozen=True, kw_only=True):
    """Answers of one running subscription."""

    selection: Selection | None
    executor: Callable[[], Executor[Any]]
    """Of the subscription. Made when it is needed, which is seldom: it takes four kilobytes."""
    answers: Answers
    told: Callable[[graphql.ExecutionResult], ExecutionResult]
    """What of the executor's own results may leave."""

    def encoded(self, item: Item) -> EncodedResult | None:
        """What the subscriber is told of the item; None where that takes an execution."""
        if self.selection is None:
            return None
        try:
            return EncodedResult(self._payload(self.selection, item), item.cursor)
        except Unusual:
            return None

    async def executed(self, item: Item) -> EventResult:
        """The same by an execution."""
        event_executor = self.executor().build_per_event_executor(update_of(item, self.answers))
        result = event_executor.execute_operation(False)
        if isinstance(result, Awaitable):
            result = await result
        return EventResult(self.told(cast("graphql.ExecutionResult", result)), item.cursor)

    def _payload(self, selection: Selection, item: Item) -> bytes:
        shared = item.encodings if isinstance(item, Delivered) else None
        if shared is None:
            return selection.payload(item, self.answers)
        payload = shared.get(selection)
        if payload is None:
            payload = shared[selection] = selection.payload(item, self.answers)
        return payload


class _DecidingVariables(Visitor):
    """Finds the variables that directives use: no others change what is selected."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)


def _deciding_variables(document: DocumentNode) -> set[str]:
    visitor = _DecidingVariables()
    visit(document, visitor)
    return visitor.names
