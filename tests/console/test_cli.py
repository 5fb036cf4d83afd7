"""The commands: what they take, what they say, and how they end."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner, Result

import console.check
import console.tail
from bus.errors import LogLocked
from cli import cli
from console.errors import WorkFailed
from delivery.development_key import DevelopmentKey

ROOT = Path(__file__).parents[2]
PERSON = ["--first-name", "Jane", "--last-name", "Doe", "--birth-date", "2004-04-04", "--card", "AETNA12345"]
CHECK = ["check", "--payer", "60054", "--member", "m-1", *PERSON]
COMMANDS = [
    "demo",
    "serve",
    "payer-sim",
    "check",
    "token",
    "schema",
    "tail",
    "connections",
    "revoke",
    "worker",
    "rebuild",
]
OF_GROUPS = ["topics create", "topics check", "dlq list", "dlq show", "dlq retry"]


def covey(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def key() -> None:
    """What a server in development makes at its first start."""
    DevelopmentKey.in_folder(Path("data"))


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"covey \d+\.\d+\.\d+\n", covey("--version").stdout)


@pytest.mark.parametrize("command", [*COMMANDS, *OF_GROUPS])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = covey(*command.split(), "--help")
    assert result.exit_code == 0
    assert re.search(rf"Example: (\S+=\S+ (\\ )?)*covey {command}", " ".join(result.output.split()))


@pytest.mark.parametrize("command", [*COMMANDS, *OF_GROUPS])
def test_help_at_80_columns_can_be_pasted_and_reads_for_people(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = covey(*command.split(), "--help").output
    example = [line.strip() for line in text.partition("Example:")[2].partition("╭")[0].strip().splitlines()]
    assert all(line.endswith("\\") for line in example[:-1]) and not example[-1].endswith("\\")
    # Of `--help` itself the library makes the line.
    options = [line for line in text.partition("─ Options")[2].splitlines() if "--help" not in line]
    assert not [line for line in options if re.search(r"<[a-z]", line.replace("<=x<=", ""))]
    for choice in ("REQUIRE_FRESH", "ENROLLMENT", "BACKGROUND") if command == "check" else ():
        assert choice in text


def test_help_names_every_command_and_where_to_start() -> None:
    result = covey("--help")
    assert result.exit_code == 0 and "covey demo" in result.output
    for command in [*COMMANDS, "topics", "dlq"]:
        assert command in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["token"],
        ["serve", "--port", "70000"],
        ["serve", "--workers-in-process", "2"],
        ["worker"],
        ["rebuild"],
        ["topics", "create"],
        ["dlq", "list"],
        [*CHECK, "--deadline", "0"],
        [*CHECK, "--cache-mode", "SOMETIMES"],
        [*CHECK[:-6], "--birth-date", "04/04/2004", "--last-name", "Doe", "--card", "A"],
        ["tail", "--topic", "nonsense"],
        ["tail", "--from", "-1"],
    ],
)
def test_used_wrongly_is_2(arguments: list[str]) -> None:
    result = covey(*arguments)
    assert result.exit_code == 2
    assert result.stdout == "" or arguments == []


@pytest.mark.parametrize("command", [["token", "--tenant", "t-1", "--member", "m-1"], CHECK])
def test_no_key_is_made_that_no_server_knows(command: list[str], tmp_path: Path) -> None:
    result = covey(*command)
    assert result.exit_code == 2 and result.stdout == ""
    assert f"no development key in {tmp_path}/data/. Set COVEY_DATA" in result.stderr and "--token" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("key")
class TestToken:
    """`covey token`."""

    @pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), (None, 900)])
    def test_is_one_line_on_stdout_signed_by_the_development_key(self, ttl: str | None, seconds: int) -> None:
        options = [] if ttl is None else ["--ttl", ttl]
        result = covey("token", "--tenant", "t-1", "--member", "m-1", *options)
        assert result.exit_code == 0 and result.stderr == ""
        (line,) = result.stdout.splitlines()
        claims = jwt.decode(line, options={"verify_signature": False})
        assert claims["mid"] == "m-1" and claims["tid"] == "t-1" and claims["roles"] == ["member"]
        assert claims["exp"] - claims["iat"] == seconds

    @pytest.mark.parametrize("ttl", ["15", "m", "0m", "-5m", "1d", "1.5h", " 15m", "15m\n", "9999999h"])
    def test_takes_no_other_lengths(self, ttl: str) -> None:
        result = covey("token", "--tenant", "t-1", "--member", "m-1", "--ttl", ttl)
        assert result.exit_code == 2 and "90s, 15m, 2h" in result.stderr

    @pytest.mark.parametrize("names", [("", "m-1"), ("t-1", ""), ("t" * 257, "m-1"), ("t-1", "m" * 257)])
    def test_names_are_those_that_a_server_takes(self, names: tuple[str, str]) -> None:
        tenant, member = names
        result = covey("token", "--tenant", tenant, "--member", member)
        assert result.exit_code == 2 and result.stdout == "" and "1 to 256 characters" in result.stderr

    def test_of_a_service_needs_no_member(self) -> None:
        result = covey("token", "--tenant", "t-1", "--role", "service")
        assert jwt.decode(result.stdout.strip(), options={"verify_signature": False})["roles"] == ["service"]

    def test_of_a_member_needs_one(self) -> None:
        result = covey("token", "--tenant", "t-1")
        assert result.exit_code == 2 and "--member" in result.stderr


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("command", [["token", "--tenant", "t-1", "--member", "m-1"], CHECK, ["connections"]])
def test_no_token_is_made_in_production_whatever_else_is_set(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVEY_MODE", "production")
    result = covey(*command)
    assert result.exit_code == 2 and result.stdout == ""
    assert "development only" in result.stderr and "issuer" in result.stderr and "docs/running.md" in result.stderr
    assert "COVEY_PAYER_URL" not in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_wrong_setting_is_told_without_a_traceback() -> None:
    ended = process("token", "--tenant", "t-1", "--member", "m-1", COVEY_SLOTZ="15")
    assert ended.returncode == 2 and ended.stdout == ""
    assert "did you mean COVEY_SLOTS?" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "nobody.invalid"])
def test_a_host_that_is_not_this_machines_is_told_as_such(host: str) -> None:
    result = covey("serve", "--host", host, "--port", "0")
    assert result.exit_code == 2 and f"--host: {host} is no address of this machine" in result.stderr


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("url", ["127.0.0.1:8000", "file:///tmp/x", "ws://127.0.0.1:8000", "http://"])
@pytest.mark.parametrize("command", [CHECK, ["connections"]])
def test_a_url_that_no_server_has_is_told_as_such(command: list[str], url: str) -> None:
    result = covey(*command, "--url", url, "--token", "t0ken")
    assert result.exit_code == 2 and "--url begins with http://" in result.stderr


@pytest.mark.parametrize(
    "command", [["worker", "--port", "0"], ["topics", "check"], ["dlq", "list"], ["tail"], ["rebuild"]]
)
def test_a_kafka_that_is_away_is_told_in_one_line_with_the_setting_that_leads_to_it(command: list[str]) -> None:
    ended = process(*command, COVEY_LOG="kafka://127.0.0.1:1", COVEY_STATE="redis://127.0.0.1:1")
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr == (
        "covey: No Kafka answers at 127.0.0.1:1 (COVEY_LOG). Is it running, and is the address right?\n"
    )


@pytest.mark.usefixtures("key")
def test_help_and_tokens_do_not_wait_for_the_server_to_be_imported() -> None:
    modules = "strawberry", "uvicorn", "starlette", "httpx", "rich.console"
    code = (
        "import sys; from typer.testing import CliRunner, Result; from cli import cli\n"
        "assert CliRunner().invoke(cli, ['token', '--tenant', 't', '--member', 'm']).exit_code == 0\n"
        f"print([name for name in {modules!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() in ("[]", "['rich.console']")


class TestCheck:
    """`covey check`, in front of its client."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """What the client was given; it says that the request ended well."""
        asked: dict[str, Any] = {}

        async def shown(request: dict[str, Any], **options: Any) -> int:
            asked.update(options, request=request)
            return 0

        monkeypatch.setattr(console.check, "shown", shown)
        return asked

    def test_asks_with_the_defaults_of_the_schema(self, asked: dict[str, Any]) -> None:
        assert covey(*CHECK, "--token", "t0ken").exit_code == 0
        assert asked["token"] == "t0ken" and asked["url"] == "http://127.0.0.1:8000/graphql" and not asked["as_json"]
        assert asked["request"] == {
            "question": {
                "memberId": "m-1",
                "payerId": "60054",
                "subscriber": {
                    "memberId": "AETNA12345",
                    "firstName": "Jane",
                    "lastName": "Doe",
                    "dateOfBirth": "2004-04-04",
                },
                "serviceTypeCodes": ["30"],
            },
            "cacheMode": "DEFAULT",
            "priority": "INTERACTIVE",
            "deadlineSeconds": 120,
        }

    def test_asks_for_what_the_options_say(self, asked: dict[str, Any]) -> None:
        options = ["--service-type", "30", "--service-type", "98", "--date-of-service", "2026-03-01", "--json"]
        options += ["--npi", "1999999984", "--provider-name", "Clinic", "--deadline", "9", "--url", "https://x.test"]
        options += ["--cache-mode", "REQUIRE_FRESH", "--priority", "BACKGROUND", "--token", "t"]
        assert covey(*CHECK, *options).exit_code == 0
        question = asked["request"]["question"]
        assert question["serviceTypeCodes"] == ["30", "98"] and question["dateOfService"] == "2026-03-01"
        assert question["provider"] == {"npi": "1999999984", "organizationName": "Clinic"}
        assert asked["request"]["cacheMode"] == "REQUIRE_FRESH" and asked["request"]["priority"] == "BACKGROUND"
        assert asked["request"]["deadlineSeconds"] == 9 and asked["url"] == "https://x.test" and asked["as_json"]

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (["--birth-date", "4/4/2004"], "'--birth-date': give a day as year-month-day"),
            (["--date-of-service", "2026-02-30"], "'--date-of-service': give a day as year-month-day"),
            (["--npi", "1999999984"], "--npi and --provider-name go together"),
            (["--provider-name", "Clinic"], "--npi and --provider-name go together"),
        ],
    )
    def test_what_is_wrong_is_told_by_its_option_and_not_repeated(
        self, asked: dict[str, Any], wrong: list[str], words: str
    ) -> None:
        result = covey(*CHECK, "--token", "t", *wrong)
        assert result.exit_code == 2 and asked == {}
        told = " ".join(result.stderr.replace("│", " ").split())
        assert words in told and wrong[1] not in told

    @pytest.mark.usefixtures("key")
    def test_makes_itself_a_token_where_none_is_given(self, asked: dict[str, Any]) -> None:
        assert covey(*CHECK, "--tenant", "t-7").exit_code == 0
        assert asked["key_folder"] == Path("data").absolute()
        claims = jwt.decode(asked["token"], options={"verify_signature": False})
        assert claims["mid"] == "m-1" and claims["tid"] == "t-7"

    @pytest.mark.usefixtures("key")
    def test_without_a_server_fails_with_the_cure(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            result = covey(*CHECK, "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert result.exit_code == 1 and result.stdout == ""
        assert "covey demo" in result.stderr and "Traceback" not in result.stderr


class TestServe:
    """`covey serve`, in front of the program it starts."""

    @pytest.fixture
    def app(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        """A program in the server's place."""
        app = ModuleType("app")

        async def serve(settings: Any, *, host: str, port: int, on_ready: Any, **_: Any) -> int:
            on_ready(f"http://{host}:{port}")
            return 0

        app.serve = serve  # type: ignore[attr-defined]  # a module made here
        monkeypatch.setitem(sys.modules, "app", app)
        monkeypatch.setattr("logs.configure", lambda **_: None)
        return app

    def test_says_on_stderr_where_it_is_ready(self, app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COVEY_PAYER_URL", "http://127.0.0.1:9")
        result = covey("serve", "--port", "0")
        assert result.exit_code == 0 and result.stdout == ""
        assert result.stderr == "Ready at http://127.0.0.1:0\n"

    def test_warns_where_nobody_said_who_answers(self, app: ModuleType) -> None:
        warning = covey("serve", "--port", "0").stderr.splitlines()[1]
        assert "COVEY_PAYER_URL" in warning and "covey payer-sim" in warning and "covey demo" in warning

    def test_takes_its_folder_as_an_option(self, app: ModuleType) -> None:
        seen = []

        async def serve(settings: Any, **_: Any) -> int:
            seen.append(settings.data)
            return 0

        app.serve = serve  # type: ignore[attr-defined]  # a module made in the fixture
        assert covey("serve", "--data", "elsewhere").exit_code == 0 and seen == [Path("elsewhere")]

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (
                LogLocked("data/covey.db is in use: use another folder."),
                "use another folder (--data data/two, or COVEY_LOG",
            ),
            (WorkFailed("No."), "No."),
            (PermissionError(errno.EACCES, "Permission denied", "data"), "data: Permission denied"),
            (OSError(errno.EADDRINUSE, "Address already in use"), "Address already in use"),
        ],
    )
    def test_fails_with_one_message(self, app: ModuleType, error: Exception, words: str) -> None:
        async def serve(*_: Any, **__: Any) -> int:
            raise error

        app.serve = serve  # type: ignore[attr-defined]  # a module made in the fixture
        result = covey("serve")
        assert result.exit_code == 1 and result.stdout == ""
        assert words in result.stderr and len(result.stderr.splitlines()) == 1

    def test_an_unexpected_error_is_not_hidden(self, app: ModuleType) -> None:
        async def serve(*_: Any, **__: Any) -> int:
            raise RuntimeError("a fault of ours")

        app.serve = serve  # type: ignore[attr-defined]  # a module made in the fixture
        assert isinstance(covey("serve").exception, RuntimeError)

    def test_ends_by_ctrl_c(self, app: ModuleType) -> None:
        async def serve(*_: Any, **__: Any) -> int:
            raise KeyboardInterrupt

        app.serve = serve  # type: ignore[attr-defined]  # a module made in the fixture
        assert covey("serve").exit_code == 130


class TestTail:
    """`covey tail`, in front of the log."""

    def test_says_what_to_do_where_there_is_no_log(self) -> None:
        result = covey("tail")
        assert result.exit_code == 1 and "COVEY_DATA" in result.stderr

    def test_warns_before_it_shows_health_data(self) -> None:
        assert "health data" in covey("tail", "--data").stderr
