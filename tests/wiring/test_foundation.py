"""What a start says of how data is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from setting_kinds import Mode
from settings import Settings, load
from wiring.foundation import warn_of_plain_data


def told(settings: Settings) -> list[str]:
    with capture_logs() as lines:
        warn_of_plain_data(settings)
    return [f"{line['event']}: {line['note']}" for line in lines]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load(data=tmp_path).model_copy(update={"mode": Mode.PRODUCTION})


def test_production_without_a_data_key_is_warned_of(settings: Settings) -> None:
    [line] = told(settings)
    assert line.startswith("kept_in_the_clear") and "COVEY_DATA_KEY" in line


def test_with_a_data_key_or_in_development_nothing_is_said(settings: Settings, tmp_path: Path) -> None:
    sealed = load(data=tmp_path, data_key="k" * 32).model_copy(update={"mode": Mode.PRODUCTION})
    assert told(sealed) == []
    assert told(settings.model_copy(update={"mode": Mode.DEVELOPMENT})) == []
