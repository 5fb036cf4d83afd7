"""What keeps the program from starting: one clear message that names the cure, and an exit code."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
import pytest

from delivery.development_key import DevelopmentKey
from tests.system.program import SUBMIT, Client, Ended, ended, question, serving, simulator, token

SECRET: Final = "hush-5678"
"""Part of every secret that is given here; shorter than a key may be."""
BOUND: Final[tuple[str, ...]] = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Starts a program that file permissions bind, whoever runs the tests."""


def told(command: Ended, code: int) -> str:
    """The one message of a command that could not begin."""
    assert command.code == code, command
    assert command.out == ""
    assert command.err.startswith("covey: ") and command.err.count("covey: ") == 1, command.err
    assert "Traceback" not in command.err and SECRET not in command.err
    return command.err


@pytest.fixture(scope="module")
def whole_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a log with some events is put once, for tests to copy and to damage."""
    return tmp_path_factory.mktemp("whole")


async def serve(data: Path, **settings: str) -> Ended:
    env = {"COVEY_DATA": str(data)} | {f"COVEY_{name.upper()}": value for name, value in settings.items()}
    return await ended("serve", "--port", "0", env=env, under=BOUND)


async def test_settings_that_are_wrong_are_told_by_their_names_and_what_is_allowed(tmp_path: Path) -> None:
    settings = {
        "mode": "live",
        "slots": "many",
        "slotts": "15",
        "log": "kafka://127.0.0.1",
        "cursor_key": SECRET,
        "data_key": SECRET,
        "jwt_public_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
        "payer_url": f"https://user:{SECRET}@payer.example.com",
    }
    message = told(await serve(tmp_path, **settings), 2)
    for words in (
        'COVEY_MODE: given "live"; allowed: development or production',
        'COVEY_SLOTS: given "many"; allowed: a whole number from 1 to 1,000',
        "COVEY_SLOTTS is no setting; did you mean COVEY_SLOTS?",
        "COVEY_LOG: given",
        "sqlite:///PATH",
        "COVEY_CURSOR_KEY: given a value that is not shown here; allowed: at least 32 bytes",
        "COVEY_DATA_KEY: given a value that is not shown here",
        "COVEY_JWT_PUBLIC_KEY: given a value that is not shown here; allowed: a public key in PEM",
        "COVEY_PAYER_URL: given",
        "without a password",
    ):
        assert words in message
    assert not list(tmp_path.iterdir())


async def test_production_names_the_settings_that_it_needs(tmp_path: Path) -> None:
    message = told(await serve(tmp_path, mode="production", payer_api_key=SECRET), 2)
    for name in ("COVEY_CURSOR_KEY", "COVEY_PAYER_URL", "COVEY_PUBLIC_URL"):
        assert f"{name} is not set; production needs" in message
    assert "COVEY_JWT_JWKS_URL or COVEY_JWT_PUBLIC_KEY is not set" in message


async def test_a_port_in_use_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("serve", "demo"):
            message = told(await ended(command, "--port", port, env={"COVEY_DATA": str(tmp_path / "data")}), 1)
            assert f"Port {port} on 127.0.0.1 is taken" in message and "--port" in message
    assert not (tmp_path / "data").exists()


async def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    message = told(await serve(tmp_path / "data"), 1)
    assert str(tmp_path / "data") in message and "use a folder that this user may write" in message


@pytest.mark.skipif(BOUND != () and shutil.which(BOUND[0]) is None, reason="root, and nothing to bind it with")
async def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    DevelopmentKey.in_folder(data)
    data.chmod(0o555)
    message = told(await serve(data), 1)
    assert f"{data}/covey.db.lock" in message and "give this user the right to write the folder" in message


def _of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE recipes (name)")


def _of_a_newer_format(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE meta SET value = 7 WHERE name = 'format'")


def _with_a_damaged_beginning(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:16] + b"\xff" * 4080 + whole[4096:])


def _with_damaged_pages(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"shopping list " * 500), "is damaged or no log of Covey: restore it"),
        (_of_another_program, "is an SQLite file of another program: name another file"),
        (_of_a_newer_format, "has format 7; this version of Covey reads 1: use the version that wrote it"),
        (_with_a_damaged_beginning, "is damaged or no log of Covey: restore it"),
        (_with_damaged_pages, "is damaged or no log of Covey: restore it"),
    ],
)
async def test_a_file_that_is_no_log_is_told_and_left_alone(
    tmp_path: Path, damage: Callable[[Path], object], words: str, whole_log: Path
) -> None:
    data, path = tmp_path / "data", tmp_path / "data" / "covey.db"
    if damage is _of_another_program:
        data.mkdir()
    else:
        shutil.copytree(await _made(whole_log), data)
    damage(path)
    before = _kept(data)
    message = told(await serve(data), 1)
    assert f"{path} {words}" in message
    assert _kept(data).items() >= before.items()


def _kept(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Rights and bytes of every file but the lock, which holds the number of the last process."""
    return {path.name: (path.stat().st_mode, path.read_bytes()) for path in folder.iterdir() if path.suffix != ".lock"}


async def _made(folder: Path) -> Path:
    """The data folder of a server that has served."""
    if not (folder / "data").exists():
        async with simulator() as payer_url, serving(folder, payer_url=payer_url) as server:
            client = Client(server.port, token(server.data, "m-1"))
            accepted = await client.execute(SUBMIT, input={"question": question("m-1", "SIMOK")})
            await client.follow(accepted["submitCoverageRequest"]["request"]["id"])
            await client.close()
            assert await server.process.stop() == 0
    return folder / "data"


async def test_a_coverage_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "views.sqlite3").mkdir(parents=True)
    message = told(await serve(tmp_path / "data"), 1)
    assert "views.sqlite3 cannot be opened or made" in message and "remove what stands in its place" in message


async def test_another_programs_file_in_the_caches_place_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "views.sqlite3"
    path.parent.mkdir()
    _of_another_program(path)
    before = path.read_bytes()
    message = told(await serve(path.parent), 1)
    assert f"{path} is an SQLite file of another program: move it away" in message
    assert path.read_bytes() == before


async def test_a_development_key_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "development-key.pem").write_text("no key")
    assert "development-key.pem holds no private key. Delete it" in told(await serve(tmp_path), 1)


async def test_a_second_process_on_the_same_log_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path, payer_url="http://127.0.0.1:9", drain_seconds="0") as server:
        message = told(await serve(server.data), 1)
        assert f"covey.db is in use by process {server.process.process.pid}: end that process" in message
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{server.url}/readyz")).status_code == 200


async def test_what_is_kept_is_for_its_owner_only_also_what_an_earlier_version_left_open(
    whole_log: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    DevelopmentKey.in_folder(data)
    assert {"data", "development-key.pem"} == {path.name for path in (data, *data.iterdir())}
    assert _open_to_others(data, *data.iterdir()) == set()
    made = await _made(whole_log)
    assert _open_to_others(made, *made.iterdir()) == set()

    shutil.copytree(made, data, dirs_exist_ok=True)
    for path in data.iterdir():
        path.chmod(0o666)
    async with serving(tmp_path, payer_url="http://127.0.0.1:9", drain_seconds="0") as server:
        names = {path.name for path in data.iterdir()}
        assert names >= {"covey.db", "covey.db-wal", "views.sqlite3", "development-key.pem", "covey.db.lock"}
        assert _open_to_others(*data.iterdir()) == set()
        assert await server.process.stop() == 0
    assert _open_to_others(*data.iterdir()) == set()


def _open_to_others(*paths: Path) -> set[str]:
    """Which of them others than the owner have rights to."""
    return {path.name for path in paths if path.stat().st_mode & 0o077}
