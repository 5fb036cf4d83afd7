"""Libraries that others take up when they are installed, and that nobody here uses through them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final, cast

_ABSENT: Final = cast(ModuleType, None)
"""Python's own mark of a module that cannot be imported."""


@contextmanager
def unused(*names: str) -> Iterator[None]:
    """Within, what is imported for the first time finds these modules not installed, and does without; later they can
    be imported. Ones that are there already are left alone.
    """
    held_back = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(held_back, _ABSENT))
    try:
        yield
    finally:
        for name in held_back:
            del sys.modules[name]
