"""No setting of whoever runs the tests gets into them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("COVEY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
