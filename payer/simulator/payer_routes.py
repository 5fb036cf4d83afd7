"""The paths of the clearinghouse's own payer directory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from payer.directory import Directory, PayerRecord
from payer.simulator.http import json_response
from payer.simulator.paging import PageAsked

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ID_LENGTH: Final = 5


class PayerRoutes:
    """Search, list, and one payer."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._by_stedi_id: Mapping[str, PayerRecord] = {stedi_id(payer): payer for payer in directory.search(None)}

    async def search(self, request: Request) -> Response:
        """Payers that a text is part of, or that are called alike."""
        query = request.query_params.get("query")
        asked = PageAsked.of(request, range(10, 101), 20)
        found = self._directory.search(query) or self._directory.nearest(query or "")
        page = [{"payer": _record(payer)} for payer in asked.cut(found)]
        return json_response(asked.answer(page, len(found)))

    async def all(self, _: Request) -> Response:
        """Every payer."""
        return json_response({"items": [_record(payer) for payer in self._directory.search(None)]})

    async def one(self, request: Request) -> Response:
        """One payer by its `stediId`."""
        payer = self._by_stedi_id.get(request.path_params["stedi_id"])
        if payer is None:
            raise HTTPException(404, "There is no such payer.")
        return json_response({"payer": _record(payer)})


def stedi_id(payer: PayerRecord) -> str:
    """Five letters that stay the same; not those of the real directory."""
    digest = hashlib.sha256(payer.id.encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:_ID_LENGTH])


def _record(payer: PayerRecord) -> dict[str, object]:
    return {
        "stediId": stedi_id(payer),
        "displayName": payer.name,
        "primaryPayerId": payer.id,
        "aliases": list(payer.aliases),
        "names": [payer.name],
        "transactionSupport": {"eligibilityCheck": "SUPPORTED"},
    }
