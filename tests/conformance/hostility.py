"""Frames, messages, bodies and documents that nobody means well with, drawn by a seed."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec

from tests.conformance.wire import framed
from tests.delivery.test_fuzz import MESSAGES, mutate

NAME: Final = "Quackenbush"
"""Of somebody; only ever in values."""
_PIECES: Final = (
    *("{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "...", "=", "|", "&", "#"),
    *('"', '"""', "\\u0000", "\\uD800", "\x00", "\ufeff", "é", "😀", "1e999", "-0", "9" * 40, "{ a " * 100, "null"),
    *("query", "mutation", "subscription", "fragment F on Me", "...F", "@skip(if: true)", "@include(if: $a)", "on"),
    *(
        "me",
        "member",
        "id",
        "payers",
        "edges",
        "__typename",
        "__schema",
        "__type",
        "$a",
        "$a: Int",
        "first: -1",
        "x: id",
    ),
    f'id: "{NAME}"',
    "after: 7",
)
_DOCUMENTS: Final = (
    "{ me { id tenantId roles member { id } } }",
    "query Q($a: Int = 3, $b: String) { payers(search: $b, first: $a) { edges { node { id } } } }",
    f'{{ coverageRequest(id: "{NAME}") {{ ...F }} }} fragment F on CoverageRequest {{ id coverage {{ planName }} }}',
    f'mutation {{ cancelCoverageRequest(id: "{NAME}") {{ __typename ... on Refused {{ reason message }} }} }}',
    "subscription S { payerEvents { __typename ... on Update { cursor } } }",
    f'subscription {{ memberEvents(memberId: "m-1", after: "{NAME}") {{ ... on Gap {{ reason cursor }} }} }}',
    f'subscription {{ coverageRequestEvents(requestId: "{NAME}") {{ __typename }} }}',
    "mutation M($i: SubmitCoverageRequestInput!) { submitCoverageRequest(input: $i) { __typename ... on InvalidInput "
    "{ problems { path code message } } } }",
)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 2**31, 2**63, 1e308, "", "3", NAME, [NAME], {"id": NAME}, [], {}, [[[]]], "\x00", "\ud7ff"),
)


class Hostility:
    """Draws one case after another."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def choice(self, weights: dict[str, int]) -> str:
        """One of the names."""
        (name,) = self._random.choices(list(weights), list(weights.values()))
        return name

    def message(self) -> bytes:
        """One of graphql-transport-ws, and something wrong with it."""
        return mutate(self._random, self._random.choice(MESSAGES))

    def body(self) -> bytes:
        """Of a POST; as a whole wrong, or only what is asked."""
        body = msgspec.json.encode(self.request())
        return mutate(self._random, body) if self._random.random() < 0.5 else body

    def document(self) -> str:
        """One that began as a good one."""
        words = self._random.choice(_DOCUMENTS).split(" ")
        for _ in range(self._random.randint(0, 3)):
            at = self._random.randrange(len(words) + 1)
            match self._random.randrange(5):
                case 0:
                    del words[at : at + self._random.randint(1, 3)]
                case 1:
                    words[at:at] = words[at : at + 4] * self._random.choice((1, 2, 50))
                case 2:
                    words[at : at + 1] = [self._random.choice(_PIECES)]
                case 3:
                    words[at:at] = self._random.choice(_DOCUMENTS).split(" ")
                case _:
                    words[at:at] = [self._random.choice(_PIECES)]
        return " ".join(words)

    def request(self) -> dict[str, Any]:
        """A document with variables of all kinds."""
        request: dict[str, Any] = {"query": self.document()}
        if self._random.random() < 0.5:
            request["variables"] = {
                name: self._random.choice(_VALUES) for name in self._random.choice(("a", "b", "abi", ""))
            }
        if self._random.random() < 0.1:
            request["operationName"] = self._random.choice(("Q", "S", "M", "", NAME))
        return request

    def frames(self) -> bytes:
        """Bytes that may be frames."""
        if self._random.random() < 0.2:
            return self._random.randbytes(self._random.randrange(1, 400))
        data = b""
        for _ in range(self._random.randint(1, 4)):
            payload = self._random.choice(MESSAGES) if self._random.random() < 0.6 else self._random.randbytes(200)
            kind = self._random.choice((0, 1, 1, 1, 2, 3, 8, 9, 10, 11))
            data += framed(
                kind,
                mutate(self._random, payload)[: self._random.choice((125, 5_000))],
                final=self._random.random() < 0.8,
                reserved=self._random.choice((0, 0, 0, 0, 1, 2, 4)),
                masked=self._random.random() < 0.95,
            )
        return data if self._random.random() < 0.7 else mutate(self._random, data)
