"""Modules held back from those who import them only because they are there."""

from __future__ import annotations

import sys

import pytest

from wiring.unused import unused


def test_is_not_there_within_and_is_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with unused("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_was_imported_before_is_left_alone() -> None:
    import json

    with unused("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json
