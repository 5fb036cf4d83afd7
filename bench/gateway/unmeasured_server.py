"""`covey` that counts nothing: python -m bench.gateway.unmeasured_server serve ..."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Gauge, Histogram

import cli
from delivery.counted import TurnSum


def _nothing(*_: object, **__: object) -> None:
    """In place of what counts."""


def _itself(metric: Any, *_: object, **__: object) -> Any:
    return metric


def _stop_counting() -> None:
    for kind, methods in ((Counter, ("inc",)), (Gauge, ("inc", "dec", "set")), (Histogram, ("observe",))):
        setattr(kind, "labels", _itself)  # noqa: B010 (or it were taken for a mistake)
        for method in methods:
            setattr(kind, method, _nothing)
    setattr(TurnSum, "add", _nothing)  # noqa: B010 (as above)


if __name__ == "__main__":
    _stop_counting()
    cli.main()
