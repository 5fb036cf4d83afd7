"""Documents known by the hash of their text: Apollo's automatic persisted queries, and lists of what is served."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from graphql import GraphQLError

from delivery.request import PersistedDocument
from schema.errors import bad_input

_KEPT: Final = 512
"""Documents that clients sent; each may have the document limit's bytes."""


class DocumentRefused(Exception):
    """The document is not run; `errors` may leave as they are."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__()
        self.errors = errors


def sha256_of(text: str) -> str:
    """In hexadecimal."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_allowed(path: Path) -> Mapping[str, str]:
    """The documents of a list: a JSON object whose values are texts. By the SHA-256 of the text, whatever its keys are.

    Raises ValueError where the file is none, OSError where it cannot be read.
    """
    try:
        listed = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise ValueError(f"A JSON object of documents is expected: {error}.") from None
    return {sha256_of(text): text for text in listed.values()}


class PersistedDocuments:
    """The texts behind hashes: those that were `given`, and the latest that clients sent and that were found good.

    They are everybody's: a text holds nobody's data that its sender did not mean to be in a document.
    """

    def __init__(self, given: Mapping[str, str], *, kept: int = _KEPT) -> None:
        self._given = given
        self._kept = kept
        self._sent: OrderedDict[str, str] = OrderedDict()

    def text_of(self, asked: PersistedDocument) -> str:
        """Raises DocumentRefused: in the words Apollo's clients look for where the text is to be sent along."""
        digest = asked.sha256.lower()
        if asked.text is not None:
            if sha256_of(asked.text) != digest:
                path = ("extensions", "persistedQuery", "sha256Hash")
                raise DocumentRefused(bad_input("The hash is not that of the document.", path))
            return asked.text
        text = self._given.get(digest) or self._sent.get(digest)
        if text is None:
            code = {"code": "PERSISTED_QUERY_NOT_FOUND"}
            raise DocumentRefused(GraphQLError("PersistedQueryNotFound", extensions=code))
        return text

    def keep(self, digest: str, text: str) -> None:
        """Remember what was found good."""
        digest = digest.lower()
        if digest not in self._given:
            self._sent[digest] = text
            self._sent.move_to_end(digest)
            if len(self._sent) > self._kept:
                self._sent.popitem(last=False)
