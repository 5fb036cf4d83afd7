"""The simulator as a Starlette app."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.clock import Clock
from payer import current_shape, legacy_shape
from payer.directory import Directory
from payer.simulator.batch_routes import BatchRoutes
from payer.simulator.batches import Batches
from payer.simulator.behaviour import Behaviour
from payer.simulator.checks import RealTimeChecks
from payer.simulator.http import Endpoint, authorized, json_body, json_response
from payer.simulator.payer_routes import PayerRoutes
from payer.simulator.payers import SimulatedPayers
from payer.simulator.slots import VendorSlots
from payer.wire import part

_MANAGER: Final = "/2024-04-01/eligibility-manager"
_PAYERS: Final = "/2024-04-01"
_MOST_BYTES: Final = 64 * 1024


def simulator_app(seed: int, slots: int, speed: float, clock: Clock) -> Starlette:
    """A payer simulator.

    The same `seed` gives every person the same coverage, and the same calls in the same order the same fortunes. At
    most `slots` calls are answered at once. Every time is divided by `speed`, which is more than 0. `state.checks` is
    the app's `RealTimeChecks`, for whoever stops the server.
    """
    directory = Directory.load(include_simulated=True)
    counted = VendorSlots(slots)
    payers = SimulatedPayers(directory, seed, speed, clock)
    checks = RealTimeChecks(payers, counted, clock)
    batch = BatchRoutes(Batches(payers, speed, clock), directory, counted, clock)
    lists = PayerRoutes(directory)
    control = _Control(payers, counted)
    app = Starlette(
        routes=[
            _route("POST", current_shape.PATH, checks.current),
            _route("POST", legacy_shape.PATH, checks.legacy),
            _route("POST", f"{_MANAGER}/batch-eligibility", batch.submit),
            _route("GET", f"{_MANAGER}/batch/{{batch_id}}", batch.status),
            _route("GET", f"{_MANAGER}/batch/{{batch_id}}/items", batch.items),
            _route("GET", f"{_MANAGER}/polling/batch-eligibility", batch.results),
            _route("GET", f"{_PAYERS}/payers/search", lists.search),
            _route("GET", f"{_PAYERS}/payers", lists.all),
            _route("GET", f"{_PAYERS}/payer/{{stedi_id}}", lists.one),
            Route("/sim/stats", control.stats, methods=["GET"]),
            Route("/sim/payers/{payer_id}", control.behave, methods=["POST"]),
        ],
        exception_handlers={HTTPException: control.refuse},
    )
    app.state.checks = checks
    return app


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(path, authorized(endpoint), methods=[method])


class _Control:
    """The simulator's own paths, which want no key."""

    def __init__(self, payers: SimulatedPayers, slots: VendorSlots) -> None:
        self._payers = payers
        self._slots = slots

    async def stats(self, _: Request) -> Response:
        """The counts of `VendorSlots`."""
        return json_response(self._slots.stats())

    async def behave(self, request: Request) -> Response:
        """Change a payer's behaviour; null is how it behaved at the start."""
        payer = self._payers.directory.find(request.path_params["payer_id"])
        if payer is None:
            raise HTTPException(404, "There is no such payer.")
        body = await json_body(request, _MOST_BYTES)
        wanted = part(body, "behaviour")
        if not isinstance(body, dict) or "behaviour" not in body or wanted not in (None, *Behaviour):
            raise HTTPException(400, f"behaviour has to be null or one of {', '.join(Behaviour)}.")
        behaviour = None if wanted is None else Behaviour(str(wanted))
        self._payers.behave(payer, behaviour)
        return json_response({"payerId": payer.id, "behaviour": self._payers.behaviour(payer).value})

    async def refuse(self, _: Request, error: Exception) -> Response:
        """HTTP errors as JSON."""
        assert isinstance(error, HTTPException)  # noqa: S101 -- what it is registered for
        if error.status_code == 400:
            self._slots.malformed()
        response = json_response({"message": error.detail}, error.status_code)
        response.headers.update(error.headers or {})
        return response
