"""How much goes out by a door."""

from __future__ import annotations

from collections.abc import Awaitable, MutableMapping
from typing import Any

from prometheus_client import Counter
from starlette.types import Send


def counted(send: Send, sent_bytes: Counter) -> Send:
    """As `send`, counting the bytes of messages' text; no coroutine of its own, since it is called for every one."""

    def counting(message: MutableMapping[str, Any]) -> Awaitable[None]:
        text = message.get("text")
        if text is not None:
            sent_bytes.inc(len(text) if text.isascii() else len(text.encode()))
        return send(message)

    return counting
