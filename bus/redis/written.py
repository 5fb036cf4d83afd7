"""The states of open requests as this instance last wrote them, so that its next write need not ask for them first."""

from __future__ import annotations

from collections.abc import Mapping

from bus.fold import RequestState
from bus.ids import RequestId


class WrittenStates:
    """A memory of so many requests. It may be wrong, since others write too: the script that writes compares."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._states: dict[RequestId, RequestState] = {}

    def get(self, request_id: RequestId) -> RequestState | None:
        """None for one that was never written here, has ended, or was forgotten."""
        return self._states.get(request_id)

    def keep(self, states: Mapping[RequestId, RequestState | None]) -> None:
        """Remember what was just written."""
        for request_id, state in states.items():
            self._states.pop(request_id, None)
            if state is not None and not state.status.terminal:
                self._states[request_id] = state
        while len(self._states) > self._most:
            del self._states[next(iter(self._states))]  # the one that was written longest ago
