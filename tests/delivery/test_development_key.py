"""The development key and its file."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.development_key import DevelopmentKey
from delivery.errors import KeyUnusable


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = DevelopmentKey.in_folder(folder)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = DevelopmentKey.in_folder(folder)
    assert first.sign({"a": 1}) == again.sign({"a": 1})


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(DevelopmentKey.in_folder, [tmp_path] * 8))
    assert len({key.sign({"a": 1}) for key in keys}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["development-key.pem"]


def test_another_process_that_was_faster_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = DevelopmentKey.in_folder(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert DevelopmentKey.in_folder(tmp_path).sign({"a": 1}) == first.sign({"a": 1})


def test_a_file_that_is_no_such_key_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "development-key.pem"
    other = rsa.generate_private_key(65537, 2048)
    for content in (b"nonsense", other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())):
        path.write_bytes(content)
        with pytest.raises(KeyUnusable, match="Delete it"):
            DevelopmentKey.in_folder(tmp_path)
        assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyUnusable, match="cannot be read or made"):
        DevelopmentKey.in_folder(tmp_path / "file" / "data")
