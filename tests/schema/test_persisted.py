from __future__ import annotations

import json
from pathlib import Path

import pytest

from delivery.request import GraphQLRequest, PersistedDocument, read_request
from schema.documents import DocumentRefused, Documents
from schema.limits import Limits
from schema.persisted import PersistedDocuments, read_allowed, sha256_of
from tests.schema.asking import made

ME = "{ me { id } }"
HASH = sha256_of(ME)


def documents(allowed: dict[str, str] | None = None) -> Documents:
    return Documents(made()._schema, Limits(), development=False, allowed=allowed)


def get(found: Documents, asked: str | PersistedDocument) -> object:
    return found.get(asked, lambda _: None)


def refusal(found: Documents, asked: str | PersistedDocument) -> tuple[str, str]:
    with pytest.raises(DocumentRefused) as refused:
        get(found, asked)
    (error,) = refused.value.errors
    return error.message, (error.extensions or {})["code"]


def by_hash(digest: str = HASH, text: str | None = None) -> PersistedDocument:
    return PersistedDocument(sha256=digest, text=text)


def test_a_document_is_known_by_its_hash_once_it_was_sent_with_it() -> None:
    found = documents()
    assert refusal(found, by_hash()) == ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    first = get(found, by_hash(text=ME))
    assert get(found, by_hash()) is first
    assert get(found, by_hash(HASH.upper())) is first


def test_a_hash_of_another_text_is_refused_and_nothing_kept() -> None:
    found = documents()
    assert refusal(found, by_hash(text="{ me { tenantId } }"))[1] == "BAD_USER_INPUT"
    assert refusal(found, by_hash())[0] == "PersistedQueryNotFound"


def test_a_document_that_is_not_valid_is_not_kept() -> None:
    found, text = documents(), "{ nothing }"
    assert refusal(found, by_hash(sha256_of(text), text))[1] == "BAD_USER_INPUT"
    assert refusal(found, by_hash(sha256_of(text)))[0] == "PersistedQueryNotFound"


def test_the_oldest_is_forgotten_beyond_the_bound() -> None:
    kept = PersistedDocuments({}, kept=2)
    for text in ("a", "b", "c"):
        kept.keep(sha256_of(text), text)
    with pytest.raises(DocumentRefused):
        kept.text_of(by_hash(sha256_of("a")))
    assert kept.text_of(by_hash(sha256_of("b"))) == "b"


def test_with_a_list_only_what_is_on_it_is_served_by_text_or_hash() -> None:
    found = documents({HASH: ME})
    assert get(found, ME) is get(found, by_hash())
    assert refusal(found, "{ me { tenantId } }")[1] == "FORBIDDEN"
    other = "{ me { roles } }"
    assert refusal(found, by_hash(sha256_of(other), other))[1] == "FORBIDDEN"


def test_a_list_is_a_json_object_of_documents(tmp_path: Path) -> None:
    file = tmp_path / "operations.json"
    file.write_text(json.dumps({"any name": ME}))
    assert read_allowed(file) == {HASH: ME}
    file.write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        read_allowed(file)


def test_a_request_names_its_document_as_apollos_clients_do() -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": HASH}}
    assert read_request(json.dumps({"extensions": extensions}).encode()).document == by_hash()
    assert GraphQLRequest(query=ME, extensions=extensions).document == by_hash(text=ME)
    assert GraphQLRequest(query=ME, extensions={"persistedQuery": 5}).document == ME
