"""What an earlier version left readable by others is not left so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus.errors import LogUnavailable
from bus.owner_only import close_to_others, keep_private
from tests.bus.conftest import OpenSqlite


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_is_made_for_its_owner_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keep_private(tmp_path / "log")
    finally:
        os.umask(before)
    assert mode(tmp_path / "log") == 0o600


def test_a_file_and_what_is_beside_it_are_closed_to_others_and_keep_what_they_hold(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal", ".copy"):
        path = tmp_path / f"log{suffix}"
        path.write_text("held")
        path.chmod(0o644)
    keep_private(tmp_path / "log")
    assert {path.name: oct(mode(path)) for path in tmp_path.iterdir()} == {
        "log": "0o600", "log-wal": "0o600", "log-shm": "0o600", "log-journal": "0o600", "log.copy": "0o644",
    }  # fmt: skip
    assert {path.read_text() for path in tmp_path.iterdir()} == {"held"}


def test_a_file_of_another_user_is_said_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.touch()
    path.chmod(0o660)

    def refuse(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with capture_logs() as lines:
        close_to_others(path)
    assert [(line["event"], line["reason"]) for line in lines] == [("file_open_to_others", "Operation not permitted")]


async def test_a_log_that_cannot_be_made_is_named(
    open_sqlite: OpenSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(LogUnavailable, match=r"log\.sqlite cannot be made \(No space left on device\)"):
        await open_sqlite()
