"""What a process may be started with, and what it says about anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

import settings as program
from setting_kinds import LogLevel, Mode
from settings import DEVELOPMENT_PAYER_URL, Settings, SettingsInvalid, load

PRODUCTION = {
    "COVEY_MODE": "production",
    "COVEY_PAYER_URL": "https://healthcare.example.com",
    "COVEY_PAYER_API_KEY": "live_9f8e7d6c5b4a",
    "COVEY_PUBLIC_URL": "wss://covey.example.com/graphql",
    "COVEY_JWT_JWKS_URL": "https://login.example.com/keys",
    "COVEY_CURSOR_KEY": "c" * 32,
}
PUBLIC_PEM = (
    Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("COVEY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> tuple[str, ...]:
    given(monkeypatch, variables)
    with pytest.raises(SettingsInvalid) as raised:
        load()
    return raised.value.problems


def test_nothing_needs_to_be_set_in_development() -> None:
    settings = load()
    assert settings.mode is Mode.DEVELOPMENT and settings.development
    assert settings.log_path == Path("data/covey.db")
    assert settings.provider_npi == "1999999984"
    assert settings.payer_url.startswith("http://127.0.0.1:")
    assert settings.slots == 15 and settings.slots_per_payer == 5 and settings.lease_seconds == 125


def test_production_starts_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, PRODUCTION)
    settings = load()
    assert not settings.development
    assert settings.provider_npi is None and settings.provider_name is None
    assert settings.payer_api_key.get_secret_value() == "live_9f8e7d6c5b4a"


@pytest.mark.parametrize(
    "name", ["COVEY_PAYER_URL", "COVEY_PAYER_API_KEY", "COVEY_PUBLIC_URL", "COVEY_CURSOR_KEY", "COVEY_JWT_JWKS_URL"]
)
def test_production_names_what_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (problem,) = refused(monkeypatch, **{key: value for key, value in PRODUCTION.items() if key != name})
    assert problem.startswith(name) and "not set" in problem


def test_production_without_anything_names_all_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = refused(monkeypatch, COVEY_MODE="production")
    needed = ["COVEY_CURSOR_KEY", "COVEY_JWT_JWKS_URL", "COVEY_PAYER_API_KEY", "COVEY_PAYER_URL", "COVEY_PUBLIC_URL"]
    assert sorted(problem.split()[0] for problem in problems) == needed
    assert "COVEY_PAYER_API_KEY is not set; production needs the account's key at Stedi, never shown" in problems


def test_of_two_that_were_set_and_do_not_go_together_one_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = refused(monkeypatch, COVEY_CALL_TIMEOUT_SECONDS="20", COVEY_LEASE_SECONDS="10")
    assert problem == 'COVEY_CALL_TIMEOUT_SECONDS: given "20.0"; allowed: less than COVEY_LEASE_SECONDS (10)'


def test_it_is_known_whether_somebody_said_where_payers_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load().names_payers
    monkeypatch.setenv("COVEY_PAYER_URL", DEVELOPMENT_PAYER_URL)
    assert load().names_payers


def test_all_that_is_wrong_or_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"COVEY_MODE": "production", "COVEY_SLOTS": "many", "COVEY_LEASE_SECONDS": "10"}
    problems = refused(monkeypatch, **variables, COVEY_PROVIDER_NPI="1999999985", COVEY_PROVIDER_NAME="Clinic")
    assert sorted(problem.split()[0].rstrip(":") for problem in problems) == [
        "COVEY_CURSOR_KEY",
        "COVEY_JWT_JWKS_URL",
        "COVEY_LEASE_SECONDS",
        "COVEY_PAYER_API_KEY",
        "COVEY_PAYER_URL",
        "COVEY_PROVIDER_NPI",
        "COVEY_PUBLIC_URL",
        "COVEY_SLOTS",
    ]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("COVEY_PAYER_URL", "http://healthcare.example.com"),
        ("COVEY_PUBLIC_URL", "ws://covey.example.com/graphql"),
        ("COVEY_JWT_JWKS_URL", "http://login.example.com/keys"),
    ],
)
def test_production_takes_unencrypted_urls_of_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    (problem,) = refused(monkeypatch, **{**PRODUCTION, name: url})
    assert problem.startswith(f"{name}: given") and "in production" in problem
    monkeypatch.setenv(name, url.partition("://")[0] + "://127.0.0.1:9000/graphql")
    assert not load().development


KAFKA_AND_REDIS = {"COVEY_LOG": "kafka://127.0.0.1:9092", "COVEY_STATE": "redis://127.0.0.1:6379/0"}


@pytest.mark.parametrize(
    ("named", "changed"),
    [
        ("COVEY_KAFKA_TLS", {"COVEY_LOG": "kafka://127.0.0.1:9092,kafka-2.example.com:9092"}),
        ("COVEY_STATE", {"COVEY_STATE": "redis://redis.example.com:6379/0"}),
    ],
)
def test_production_takes_unencrypted_links_to_this_machine_or_over_a_private_network_only(
    monkeypatch: pytest.MonkeyPatch, named: str, changed: dict[str, str]
) -> None:
    (problem,) = refused(monkeypatch, **PRODUCTION, **KAFKA_AND_REDIS | changed)
    assert problem.startswith(f"{named}: given") and "COVEY_PLAIN_LINKS=true" in problem
    monkeypatch.setenv("COVEY_PLAIN_LINKS", "true")
    assert load().shared
    monkeypatch.delenv("COVEY_PLAIN_LINKS")
    given(monkeypatch, {"COVEY_KAFKA_TLS": "true"})
    monkeypatch.setenv(
        "COVEY_STATE", KAFKA_AND_REDIS["COVEY_STATE"] if named == "COVEY_KAFKA_TLS" else "rediss://r:6379"
    )
    assert load().shared
    given(monkeypatch, {"COVEY_KAFKA_TLS": "false", **KAFKA_AND_REDIS})
    assert load().shared


def test_development_takes_unencrypted_links_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {"COVEY_LOG": "kafka://kafka:9092", "COVEY_STATE": "redis://redis:6379/0"})
    assert load().shared


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("COVEY_MODE", "test", "development or production"),
        ("COVEY_LOG", "kafka://broker", "kafka://HOST:PORT"),
        ("COVEY_LOG", "kafka://a:9092,,b:9092", "kafka://HOST:PORT"),
        ("COVEY_LOG", "sqlite:///", "sqlite:///PATH"),
        ("COVEY_LOG", "/var/covey.db", "sqlite:///PATH"),
        ("COVEY_STATE", "memcached://127.0.0.1", "memory:"),
        ("COVEY_TOPIC_PREFIX", "a/b", "letters, digits"),
        ("COVEY_LOG_LEVEL", "loud", "debug or info or warning or error"),
        ("COVEY_STEDI_API", "2023-01-01", "2026-06-01 or 2024-04-01"),
        ("COVEY_PAYER_URL", "ftp://example.com", "https:// or http://"),
        ("COVEY_PAYER_URL", "http://example.com:99999", "https:// or http://"),
        ("COVEY_PUBLIC_URL", "https://example.com", "wss:// or ws://"),
        ("COVEY_SLOTS", "abc", "a whole number from 1 to 1,000"),
        ("COVEY_SLOTS", "0", "a whole number from 1 to 1,000"),
        ("COVEY_SLOTS", "2.5", "a whole number from 1 to 1,000"),
        ("COVEY_LEASE_SECONDS", "nan", "a number above 0 to 3,600"),
        ("COVEY_DRAIN_SECONDS", "inf", "a number from 0 to 3,600"),
        ("COVEY_PROVIDER_NPI", "1999999985", "check digit"),
        ("COVEY_PROVIDER_NPI", "1999999986", "check digit"),
        ("COVEY_PROVIDER_NPI", "199999998٤", "check digit"),
        ("COVEY_PROVIDER_NAME", "x" * 61, "text of up to 60 characters"),
        ("COVEY_ALLOWED_ORIGINS", "https://a.example.com,*", "https://app.example.com"),
        ("COVEY_ALLOWED_ORIGINS", "https://a.example.com/page", "https://app.example.com"),
        ("COVEY_TRUSTED_PROXIES", "10.0.0.0/8, everybody", "addresses or networks like 10.0.0.0/8"),
        ("COVEY_TRACE_RATIO", "2", "a number from 0 to 1"),
        ("COVEY_OPERATIONS_FILE", "nowhere.json", "a JSON object whose values are GraphQL documents"),
        ("COVEY_OPERATIONS_FILE", "pyproject.toml", "a JSON object whose values are GraphQL documents"),
        ("COVEY_CALL_TIMEOUT_SECONDS", "125", "less than COVEY_LEASE_SECONDS (125)"),
        ("COVEY_LEASE_SECONDS", "10", "more than COVEY_CALL_TIMEOUT_SECONDS (122)"),
        ("COVEY_CACHE_STALE_SECONDS", "10", "COVEY_CACHE_FRESH_SECONDS (86400) or more"),
        ("COVEY_CACHE_FRESH_SECONDS", "700000", "COVEY_CACHE_STALE_SECONDS (604800) or less"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    (problem,) = refused(monkeypatch, **{name: value})
    assert problem.startswith(f"{name}: given ")
    assert f'"{value}"' in problem or f'"{float(value)}"' in problem
    assert allowed in problem.partition("allowed: ")[2]


def test_a_call_is_never_given_up_before_the_vendor_does_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = refused(monkeypatch, **PRODUCTION, COVEY_CALL_TIMEOUT_SECONDS="60")
    assert "more than 120" in problem


@pytest.mark.parametrize("name", ["COVEY_CURSOR_KEY", "COVEY_DATA_KEY", "COVEY_JWT_PUBLIC_KEY"])
def test_what_was_given_for_a_key_is_never_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (problem,) = refused(monkeypatch, **{name: "hunter2"})
    assert problem.startswith(name) and "hunter2" not in problem


def test_a_private_key_in_place_of_the_public_one_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (problem,) = refused(monkeypatch, COVEY_JWT_PUBLIC_KEY=pem)
    assert "PRIVATE" not in problem and pem.splitlines()[1] not in problem


@pytest.mark.parametrize("name", ["COVEY_PAYER_URL", "COVEY_JWT_JWKS_URL", "COVEY_PUBLIC_URL"])
def test_a_password_in_a_url_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (problem,) = refused(monkeypatch, **{name: "https://somebody:hunter2@example.com"})
    assert "hunter2" not in problem


def test_secrets_are_not_in_the_settings_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {**PRODUCTION, "COVEY_DATA_KEY": "d" * 40})
    settings = load()
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "live_9f8e7d6c5b4a" not in shown and "c" * 32 not in shown and "d" * 40 not in shown


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("COVEY_SLOT", "COVEY_SLOTS"),
        ("COVEY_PAYER_KEY", "COVEY_PAYER_API_KEY"),
        ("COVEY_CALL_TIMEOUT_SECOND", "COVEY_CALL_TIMEOUT_SECONDS"),
        ("covey_retention_day", "COVEY_RETENTION_DAYS"),
    ],
)
def test_a_misspelt_setting_is_told_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, given_name: str, meant: str
) -> None:
    (problem,) = refused(monkeypatch, **{given_name: "15"})
    assert problem == f"{given_name} is no setting; did you mean {meant}?"


def test_an_unknown_setting_like_no_other_is_told_without_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, COVEY_ZEBRA="1") == ("COVEY_ZEBRA is no setting",)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"COVEY_LOG": "kafka://127.0.0.1:9092"}, "COVEY_LOG and COVEY_STATE do not match"),
        ({"COVEY_STATE": "redis://127.0.0.1:6379/0"}, "COVEY_LOG and COVEY_STATE do not match"),
        ({"COVEY_KAFKA_USERNAME": "covey"}, "COVEY_KAFKA_USERNAME and COVEY_KAFKA_PASSWORD"),
        ({"COVEY_KAFKA_KEY": "key.pem"}, "COVEY_KAFKA_CERTIFICATE and COVEY_KAFKA_KEY"),
        ({"COVEY_REDIS_KEY": "key.pem"}, "COVEY_REDIS_CERTIFICATE and COVEY_REDIS_KEY"),
        ({"COVEY_KAFKA_CA": "ca.pem"}, "COVEY_KAFKA_CA and COVEY_KAFKA_CERTIFICATE"),
        ({"COVEY_REDIS_CA": "ca.pem"}, "COVEY_REDIS_CA and COVEY_REDIS_CERTIFICATE"),
        ({"COVEY_KAFKA_SCRAM": "PLAIN"}, "COVEY_KAFKA_SCRAM"),
        ({"COVEY_TOPIC_REPLICATION": "1"}, "COVEY_TOPIC_REPLICATION"),
    ],
)
def test_what_many_processes_need_has_to_fit(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    (problem,) = refused(monkeypatch, **given)
    assert problem.startswith(named)


def test_kafka_and_redis_make_it_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load().shared
    monkeypatch.setenv("COVEY_LOG", "kafka://127.0.0.1:9092,127.0.0.1:9093")
    monkeypatch.setenv("COVEY_STATE", "redis://127.0.0.1:6379/0")
    assert load().shared


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = refused(monkeypatch, COVEY_SLOTS="many", COVEY_SLOTZ="1", COVEY_LOG="kafka://x")
    assert {problem.split(":")[0].split(" ")[0] for problem in problems} == {"COVEY_SLOTS", "COVEY_SLOTZ", "COVEY_LOG"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"COVEY_JWT_JWKS_URL": "https://a.example.com", "COVEY_JWT_PUBLIC_KEY": PUBLIC_PEM}, "both set"),
        ({**PRODUCTION, "COVEY_PROVIDER_NPI": "1999999984"}, "both, or neither"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    (problem,) = refused(monkeypatch, **variables)
    assert words in problem


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_SLOTS", "")
    assert load().slots == 15


@pytest.mark.parametrize("shape", ["pem", "one line", "path"])
def test_the_public_key_is_taken_as_pem_or_as_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: str
) -> None:
    (tmp_path / "key.pem").write_text(PUBLIC_PEM)
    monkeypatch.setenv(
        "COVEY_JWT_PUBLIC_KEY",
        {"pem": PUBLIC_PEM, "one line": PUBLIC_PEM.replace("\n", "\\n"), "path": "key.pem"}[shape],
    )
    assert load().jwt_public_key == PUBLIC_PEM


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///logs/a.db", Path("logs/a.db")), ("sqlite:////var/lib/a.db", Path("/var/lib/a.db"))]
)
def test_the_log_is_where_its_url_says(monkeypatch: pytest.MonkeyPatch, url: str, path: Path) -> None:
    monkeypatch.setenv("COVEY_LOG", url)
    assert load().log_path == path


def test_origins_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_ALLOWED_ORIGINS", "https://a.example.com, http://127.0.0.1:3000")
    assert load().allowed_origins == ("https://a.example.com", "http://127.0.0.1:3000")


def test_log_levels_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_LOG_LEVEL", "WARNING")
    assert load().log_level is LogLevel.WARNING


def test_settings_cannot_be_changed() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.slots = 3


def test_a_program_can_give_settings_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_SLOTS", "7")
    settings = load(slots=3, allowed_origins=("https://a.example.com",))
    assert settings.slots == 3 and settings.allowed_origins == ("https://a.example.com",)


class TestEnvFile:
    """`.env`, which development reads."""

    def test_is_read_in_development_behind_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_text("COVEY_SLOTS=4\nCOVEY_QUEUE_LIMIT=9\nOTHER=1\n")
        monkeypatch.setenv("COVEY_SLOTS", "6")
        settings = load()
        assert settings.slots == 6 and settings.queue_limit == 9

    def test_is_not_read_in_production(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_text("COVEY_SLOTS=4\nCOVEY_NONSENSE=1\n")
        given(monkeypatch, PRODUCTION)
        assert load().slots == 15

    def test_cannot_set_production(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_text("".join(f"{name}={value}\n" for name, value in PRODUCTION.items()))
        (problem,) = refused(monkeypatch)
        assert "read in development only" in problem

    def test_is_searched_for_misspellings_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_text("COVEY_SLOTZ=4\n")
        assert refused(monkeypatch) == ("COVEY_SLOTZ is no setting; did you mean COVEY_SLOTS?",)

    def test_that_is_no_text_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_bytes(b"\xff\xfe\x00")
        (problem,) = refused(monkeypatch)
        assert problem.startswith(".env cannot be read")


def test_the_documentation_is_that_of_these_settings() -> None:
    written = Path(program.__file__).parent / "docs" / "settings.md"
    assert written.read_text() == program.documentation(), (
        "remake it: .venv/bin/python -m settings --docs > docs/settings.md"
    )


def test_every_setting_has_a_reason_and_says_what_it_allows() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description.endswith("."), name
        assert f"| `COVEY_{name.upper()}` | " in program.documentation()
