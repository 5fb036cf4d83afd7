"""Real-time checks, in both shapes."""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bus.clock import Clock
from bus.ids import PayerId
from payer.directory import PayerRecord
from payer.simulator.answers import Render, current_answer, legacy_answer
from payer.simulator.behaviour import Behaviour
from payer.simulator.http import in_test_mode, invalid_request, json_body, json_response, validation_exception
from payer.simulator.inquiry import Inquiry, Malformed, current_inquiry, legacy_inquiry
from payer.simulator.payers import SimulatedPayers
from payer.simulator.people import Refusal
from payer.simulator.slots import VendorSlots

HANG_UP: Final = "covey.hang_up"
"""In a scope's extensions: its `hang_up` ends the connection behind what was sent. A server without it takes the end of
such an answer for a mistake, says so, and ends the connection too."""
_MOST_BYTES: Final = 64 * 1024
_TOO_MANY: Final = {
    "code": "TOO_MANY_REQUESTS",
    "message": "The request was throttled: CUSTOMER_LIMIT on concurrent requests reached.",
}
_FAILURES: Final = {
    Behaviour.SIMHANG: (504, "The payer did not answer."),
    Behaviour.SIM500: (500, "Something went wrong."),
}


class CutOff(Response):
    """Announces more than it sends, then lets the connection go."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        if extension := scope.get("extensions", {}).get(HANG_UP):
            extension["hang_up"]()
            while (await receive())["type"] != "http.disconnect":
                pass


class RealTimeChecks:
    """Takes calls, each of which holds a slot until its time is up, whether or not its caller still waits."""

    def __init__(self, payers: SimulatedPayers, slots: VendorSlots, clock: Clock) -> None:
        self._payers = payers
        self._slots = slots
        self._clock = clock
        self._garbage = cycle((_not_json, _cut_off, _wrong_shape))
        self._pauses: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def current(self, request: Request) -> Response:
        """The current shape."""
        try:
            inquiry = current_inquiry(await json_body(request, _MOST_BYTES))
        except Malformed as error:
            self._slots.malformed()
            return invalid_request(error.problems)
        payer = self._payers.directory.find(inquiry.payer)
        if payer is None:
            return json_response({"message": "This payer is not configured."}, 400)
        return await self._answer(request, payer, inquiry, current_answer)

    async def legacy(self, request: Request) -> Response:
        """The older shape."""
        try:
            inquiry = legacy_inquiry(await json_body(request, _MOST_BYTES))
        except Malformed as error:
            self._slots.malformed()
            return validation_exception(error.problems)
        payer = self._payers.directory.find(inquiry.payer)
        if payer is None:
            unknown = PayerRecord(id=PayerId(inquiry.payer), name="")
            refusal = Refusal(code="79", location="PAYER")
            reply = self._payers.reply(unknown, inquiry, refusal, test_mode=in_test_mode(request))
            return json_response(legacy_answer(reply), 400)
        return await self._answer(request, payer, inquiry, legacy_answer)

    def hang_up(self) -> None:
        """End every call under way, and those that still come, with HTTP 503: the server stops."""
        self._stopping = True
        for pause in self._pauses:
            pause.cancel()

    async def _answer(self, request: Request, payer: PayerRecord, inquiry: Inquiry, render: Render) -> Response:
        self._slots.called(payer.id)
        behaviour = self._payers.behaviour(payer)
        if behaviour is Behaviour.SIM429 or not self._slots.enter(payer.id):
            return json_response(_TOO_MANY, 429)
        try:
            in_time = await self._hold(request, self._payers.seconds(behaviour))
        finally:
            self._slots.leave(payer.id)
        if not in_time:
            return json_response({"code": "SERVICE_UNAVAILABLE", "message": "The service stops."}, 503)

        if behaviour in _FAILURES:
            status, message = _FAILURES[behaviour]
            return json_response({"message": message}, status)
        finding = self._payers.finding(payer, inquiry, behaviour)
        reply = self._payers.reply(payer, inquiry, finding, test_mode=in_test_mode(request))
        answer = json_response(render(reply))
        return next(self._garbage)(answer) if behaviour is Behaviour.SIMGARBAGE else answer

    async def _hold(self, request: Request, seconds: float) -> bool:
        """Let the call's time pass; whether it did, rather than the server stopping."""
        if self._stopping:
            return False
        pause = asyncio.create_task(self._clock.sleep(seconds), name="simulated call")
        gone = asyncio.create_task(_until_gone(request), name="caller of a simulated call")
        self._pauses.add(pause)
        try:
            await asyncio.wait({pause, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not pause.done():
                self._slots.abandoned()
                await asyncio.wait({pause})
            return not pause.cancelled()
        finally:
            self._pauses.discard(pause)
            pause.cancel()
            gone.cancel()
            await asyncio.gather(pause, gone, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    """The body has been read: the next message is the caller's going."""
    await request.receive()


def _not_json(_: Response) -> Response:
    return Response(b"<html><body>Bad gateway</body></html>", media_type="text/html")


def _cut_off(answer: Response) -> Response:
    return CutOff(answer.body, media_type="application/json")


def _wrong_shape(_: Response) -> Response:
    return json_response({"plans": "none", "benefitsInformation": {"code": 1}, "errors": "none"})
