"""Every setting, once: its type, its unit, what is allowed, its default and the reason for it.

Settings come from the environment, `COVEY_` before each name, and in development also from `.env`. A variable that is
wrong, missing or unknown stops the start (`SettingsInvalid`); an empty one counts as absent. `docs/settings.md` is made
from this class by `python -m settings --docs`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, ModelWrapValidatorHandler, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from bus.errors import CoveyError
from gateway_settings import GatewaySettings
from setting_kinds import (
    KAFKA,
    LOOPBACK,
    MEMORY,
    SQLITE,
    ApiKey,
    HttpUrl,
    Key,
    Level,
    LogLevel,
    LogUrl,
    Mode,
    Npi,
    Origins,
    PublicKeyPem,
    SocketUrl,
    StateUrl,
    TopicPrefix,
    allowed,
    is_secret,
)

PREFIX: Final = "COVEY_"
VENDOR_HOLD_SECONDS: Final = 120.0
"""Stedi may hold a connection that long before it answers; a call given up earlier goes on being counted."""
_ENV_FILE: Final = Path(".env")
_PAIRS: Final = (
    ("kafka_username", "kafka_password"),
    ("kafka_certificate", "kafka_key"),
    ("redis_certificate", "redis_key"),
    ("provider_npi", "provider_name"),
)


class SettingsInvalid(CoveyError):
    """The process cannot start with these settings. The message names each, what was given, and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"Covey cannot start with these settings:\n{lines}\nAll settings: docs/settings.md")
        self.problems = tuple(problems)


DEVELOPMENT_PAYER_URL: Final = "http://127.0.0.1:8100"
"""Where `covey payer-sim` listens."""
_DEVELOPMENT: Final[Mapping[str, str]] = {
    "payer_url": DEVELOPMENT_PAYER_URL,
    "payer_api_key": "test_simulator",
    "cursor_key": "development only, known to everybody",
    "provider_npi": "1999999984",
    "provider_name": "Covey Development Clinic",
}
"""Defaults that only development has. The NPI is that of Stedi's mocks."""


class Settings(GatewaySettings):
    """What one process runs with. Made by `load`."""

    model_config = SettingsConfigDict(frozen=True, env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    mode: Mode = Field(Mode.DEVELOPMENT, description="Development has token minting, GraphiQL and introspection.")
    data: Path = Field(Path("data"), description="Folder of the SQLite file and of the development key.")
    log: LogUrl | None = Field(
        None, description="The event log: a file of one process, `covey.db` in the data folder when absent; or Kafka."
    )
    state: StateUrl = Field(
        MEMORY, description="Where slots, queue and views are kept: `memory:` beside a file, Redis beside Kafka."
    )
    kafka_tls: bool = Field(False, description="Whether Kafka is spoken to over TLS.")
    kafka_ca: Path | None = Field(
        None, description="PEM file of the authorities that sign its certificates; the machine's own when absent."
    )
    kafka_certificate: Path | None = Field(
        None, description="PEM file of the certificate that this program shows to Kafka, where brokers ask for one."
    )
    kafka_key: Path | None = Field(None, description="PEM file of its private key; goes with the certificate.")
    kafka_username: str | None = Field(None, min_length=1, description="Account at Kafka (SASL/SCRAM).")
    kafka_password: SecretStr | None = Field(None, description="The account's password; goes with the name.")
    kafka_scram: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = Field("SCRAM-SHA-512", description="How it is proven.")
    plain_links: bool = Field(
        False, description="Whether production may speak to Kafka and Redis without TLS: on a private network only."
    )
    topic_prefix: TopicPrefix = Field(
        "", description="Begins the names of Kafka's topics: several Coveys, one cluster."
    )
    topic_partitions: int = Field(
        48, ge=1, le=10_000, description="Of `rte.events`: more allow more instances; a change makes cursors a Gap."
    )
    topic_replication: int = Field(
        3, ge=1, le=100, description="Copies of each topic; 1 only where there is one broker."
    )
    topic_min_in_sync: int = Field(
        2, ge=1, le=100, description="Copies that have an event before it is acknowledged (`min.insync.replicas`)."
    )
    redis_ca: Path | None = Field(
        None, description="PEM file of the authorities that sign Redis' certificate; the machine's own when absent."
    )
    redis_certificate: Path | None = Field(
        None, description="PEM file of the certificate that this program shows to Redis, where it asks for one."
    )
    redis_key: Path | None = Field(None, description="PEM file of its private key; goes with the certificate.")
    redis_username: str | None = Field(None, min_length=1, description="ACL user at Redis.")
    redis_password: SecretStr | None = Field(None, description="The ACL user's password.")
    redis_lag_seconds: float = Field(
        10, ge=0, le=300, description="Writes that a failover of Redis may lose; a worker's first slot waits so long."
    )
    otlp_url: HttpUrl | None = Field(
        None, description="Where traces are sent (OTLP over HTTP, with its path /v1/traces); no traces when absent."
    )
    trace_ratio: float = Field(
        0.01, ge=0, le=1, description="The share of submissions that are traced: a trace is six spans or so."
    )
    log_level: Level = Field(LogLevel.INFO, description="The least grave lines that are written to stderr.")

    payer_url: HttpUrl = Field(
        description="Where Stedi, or a simulator, listens. `covey demo` brings a simulator where this is not set."
    )
    payer_api_key: ApiKey = Field(description="What calls are made and charged with; the simulator takes any.")
    stedi_api: Literal["2026-06-01", "2024-04-01"] = Field(
        "2026-06-01", description="The shape of real-time checks: the present one, or the legacy one."
    )
    provider_npi: Npi | None = Field(
        None, description="The provider asked for when a question names none; such questions are refused when absent."
    )
    provider_name: str | None = Field(
        None, min_length=1, max_length=60, description="Its organisation's name; goes with `COVEY_PROVIDER_NPI`."
    )

    slots: int = Field(15, ge=1, le=1000, description="Calls in flight at once that the account allows.")
    slots_per_payer: int = Field(
        5, ge=1, le=1000, description="Of these for one payer, so that a slow one cannot stop all."
    )
    lease_seconds: float = Field(
        125,
        gt=0,
        le=3600,
        description="How long a call whose end is not proven keeps its slot: longer than it can last.",
    )
    call_timeout_seconds: float = Field(
        122, gt=0, le=3600, description="When a call is given up: above the vendor's hold of 120 s, below the lease."
    )
    breaker_open_seconds: float = Field(
        60, gt=0, le=86_400, description="How long a payer that is down is left alone before one call probes it."
    )
    queue_limit: int = Field(
        10_000, ge=1, le=1_000_000, description="Calls that may wait; more are refused, so that waits stay bearable."
    )

    cache_fresh_seconds: float = Field(86_400, ge=0, le=31_536_000, description="An answer younger than this is fresh.")
    cache_stale_seconds: float = Field(
        604_800, ge=0, le=31_536_000, description="Up to this age an answer is given while it is refreshed."
    )
    cache_entries: int = Field(100_000, ge=1, le=100_000_000, description="Answers kept; the oldest go first.")
    retention_days: int = Field(30, ge=1, le=3650, description="How long events are kept, and cursors can be resumed.")

    public_url: SocketUrl | None = Field(None, description="What `websocketSubscribeInfo.url` says.")
    allowed_origins: Origins = Field(
        ("*",),
        description="Origins whose pages may call (CORS). Any is safe: tokens are in headers, there are no cookies.",
    )
    jwt_jwks_url: HttpUrl | None = Field(None, description="Where the issuer's public keys are; or the next setting.")
    jwt_public_key: PublicKeyPem | None = Field(
        None, description="The issuer's one public key: PEM, or the path of a file that holds it."
    )
    cursor_key: Key = Field(description="Signs cursors, so that altered ones are refused; the same on every instance.")
    data_key: Key | None = Field(
        None, description="Encrypts event data and the cache, per tenant; in the clear when absent."
    )
    connect_token_seconds: int = Field(
        300, ge=10, le=3600, description="Life of a connect token: enough to open a socket with, of no use to a thief."
    )

    @property
    def development(self) -> bool:
        """Whether conveniences that would be holes in production exist."""
        return self.mode is Mode.DEVELOPMENT

    @property
    def shared(self) -> bool:
        """Whether many instances work together, over Kafka and Redis."""
        return self.log is not None and self.log.startswith(KAFKA)

    @property
    def names_payers(self) -> bool:
        """Whether somebody said where payers listen, rather than development's default."""
        return "payer_url" in self.model_fields_set

    @property
    def log_path(self) -> Path:
        """The log's file."""
        return self.data / "covey.db" if self.log is None else Path(self.log.removeprefix(SQLITE)).expanduser()

    @model_validator(mode="wrap")
    @classmethod
    def _development_defaults(cls, given: dict[str, Any], make: ModelWrapValidatorHandler[Self]) -> Self:
        if given.get("mode") == Mode.PRODUCTION:
            return make(given)
        settings = make({**_DEVELOPMENT, **given})
        settings.model_fields_set.difference_update(_DEVELOPMENT.keys() - given.keys())  # nobody set these
        return settings

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        problems = [*self._contradictions(), *(() if self.development else self._unfit_for_production())]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.call_timeout_seconds >= self.lease_seconds:
            yield self._out_of_order("call_timeout_seconds", "lease_seconds", "less than {}", "more than {}")
        if self.cache_stale_seconds < self.cache_fresh_seconds:
            yield self._out_of_order("cache_stale_seconds", "cache_fresh_seconds", "{} or more", "{} or less")
        if self.shared != (self.state != MEMORY):
            yield "COVEY_LOG and COVEY_STATE do not match; allowed: kafka:// with redis://, sqlite:/// with memory:"
        for one, other in _PAIRS:
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                yield f"{_variable(one)} and {_variable(other)}: one is set; allowed: both, or neither"
        if not self.kafka_tls and (self.kafka_ca or self.kafka_certificate):
            yield "COVEY_KAFKA_CA and COVEY_KAFKA_CERTIFICATE are of use with COVEY_KAFKA_TLS=true only"
        if not self.state.startswith("rediss:") and (self.redis_ca or self.redis_certificate):
            yield "COVEY_REDIS_CA and COVEY_REDIS_CERTIFICATE are of use with a rediss:// address in COVEY_STATE only"
        if self.topic_min_in_sync > self.topic_replication:
            yield self._out_of_order("topic_min_in_sync", "topic_replication", "no more than {}", "{} or more")
        if self.jwt_jwks_url and self.jwt_public_key:
            yield "COVEY_JWT_JWKS_URL and COVEY_JWT_PUBLIC_KEY are both set; allowed: one of them"

    def _out_of_order(self, name: str, other: str, of_it: str, of_the_other: str) -> str:
        """Of two settings that do not go together the one that was set is wrong, not the other's default."""
        if other in self.model_fields_set and name not in self.model_fields_set:
            name, other, of_it = other, name, of_the_other
        return _wrong(name, getattr(self, name), of_it.format(f"{_variable(other)} ({getattr(self, other):g})"))

    def _unfit_for_production(self) -> Iterator[str]:
        if self.public_url is None:
            yield f"COVEY_PUBLIC_URL is not set; production needs {allowed(type(self).model_fields['public_url'])}"
        if not (self.jwt_jwks_url or self.jwt_public_key):
            yield "COVEY_JWT_JWKS_URL or COVEY_JWT_PUBLIC_KEY is not set; production needs one of them"
        if self.call_timeout_seconds <= VENDOR_HOLD_SECONDS:
            yield _wrong("call_timeout_seconds", self.call_timeout_seconds, "more than 120 in production")
        for name in ("payer_url", "public_url", "jwt_jwks_url"):
            url = urlsplit(getattr(self, name) or "")
            if url.scheme in ("http", "ws") and _elsewhere(url.geturl()):
                yield _wrong(name, url.geturl(), f"{url.scheme}s:// in production, unless it is on this machine")
        if not self.plain_links:
            yield from self._open_links()

    def _open_links(self) -> Iterator[str]:
        """Health data goes over these links; what lies in Kafka and Redis goes over them as it is."""
        or_private = "; or COVEY_PLAIN_LINKS=true, where the network to it is private"
        brokers = (self.log or "").removeprefix(KAFKA).split(",") if self.shared else ()
        if not self.kafka_tls and any(_elsewhere(f"//{broker}") for broker in brokers):
            instead = f"true in production, unless all of COVEY_LOG is on this machine{or_private}"
            yield _wrong("kafka_tls", "false", instead)
        if self.state.startswith("redis:") and _elsewhere(self.state):
            yield _wrong("state", self.state, f"rediss:// in production, unless it is on this machine{or_private}")


def load(**given: object) -> Settings:
    """The settings of this process: `given` before the environment, that before `.env`, which only development reads.

    Raises SettingsInvalid.
    """
    in_file = {} if os.environ.get(f"{PREFIX}MODE") == Mode.PRODUCTION else _env_file()
    problems = [*_unknown(os.environ), *_unknown(in_file)]
    if in_file.get(f"{PREFIX}MODE", Mode.DEVELOPMENT) != Mode.DEVELOPMENT:
        problems.append("COVEY_MODE in .env: that file is read in development only; set the mode in the environment")
    make: Callable[..., Settings] = Settings  # its parameters of the library's own are not in its type
    env_file = _ENV_FILE if in_file else None
    try:
        settings = make(_env_file=env_file, **given)
    except ValidationError as error:
        problems += [line for details in error.errors() for line in _told(details)]
        wrong = {str(details["loc"][0]) for details in error.errors() if details["loc"]}
        problems += _beyond(wrong, lambda stand_ins: make(_env_file=env_file, **given | stand_ins))
        raise SettingsInvalid(problems) from None
    if problems:
        raise SettingsInvalid(problems)
    return settings


def _beyond(wrong: Set[str], make: Callable[[dict[str, object]], object]) -> list[str]:
    """What is also the matter between the other settings, which pydantic looks at only once each of them is valid."""
    if not wrong:
        return []
    fields = Settings.model_fields
    try:
        make({name: _DEVELOPMENT[name] if fields[name].is_required() else fields[name].default for name in wrong})
    except ValidationError as error:
        lines = [line for details in error.errors() for line in _told(details)]
        named = [re.compile(rf"{_variable(name)}\b") for name in wrong]  # of a stand-in there is nothing to tell
        return [line for line in lines if not any(name.search(line) for name in named)]
    return []


def _env_file() -> Mapping[str, str | None]:
    try:
        return dotenv_values(_ENV_FILE)
    except (OSError, UnicodeDecodeError):
        raise SettingsInvalid([".env cannot be read; allowed: lines like COVEY_SLOTS=15, in UTF-8"]) from None


def _elsewhere(url: str) -> bool:
    return urlsplit(url).hostname not in LOOPBACK


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _unknown(variables: Mapping[str, str | None]) -> Iterator[str]:
    known = [_variable(name) for name in Settings.model_fields]
    for variable in variables:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            nearest = get_close_matches(variable.upper(), known, n=1, cutoff=0.8)
            yield f"{variable} is no setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _wrong(name: str, given: object, allowed_instead: str) -> str:
    shown = "a value that is not shown here" if is_secret(Settings.model_fields[name]) else f'"{str(given)[:80]}"'
    return f"{_variable(name)}: given {shown}; allowed: {allowed_instead}"


def _told(details: ErrorDetails) -> Iterator[str]:
    if not details["loc"]:  # of the settings as a whole
        yield from str(details["ctx"]["error"]).splitlines()
        return
    name = str(details["loc"][0])
    field = Settings.model_fields[name]
    if details["type"] == "missing":
        yield f"{_variable(name)} is not set; production needs {allowed(field)}"
    else:
        yield _wrong(name, "..." if "@" in str(details["input"]) else details["input"], allowed(field))


def documentation() -> str:
    """The table of all settings, as `docs/settings.md` has it."""
    fields = sorted(Settings.model_fields.items(), key=lambda field: field[0] in GatewaySettings.model_fields)
    rows = "\n".join(_row(name, field) for name, field in fields)
    return f"""# Settings

Each is an environment variable; in development they may also stand in a file `.env`. A wrong, missing or unknown one
stops the start with a message that names it. Times and sizes have their unit in their name.

Made from the code by `.venv/bin/python -m settings --docs > docs/settings.md`.

| setting | allowed | default | reason |
|---|---|---|---|
{rows}
"""


def _row(name: str, field: FieldInfo) -> str:
    if field.is_required():
        default = f"in development `{_DEVELOPMENT[name]}`; needed in production"
    elif name in _DEVELOPMENT:
        default = f"in development `{_DEVELOPMENT[name]}`; else none"
    elif name == "public_url":
        default = "in development the server's own address; needed in production"
    elif field.default in (None, ()):
        default = "none"
    else:
        default = f"`{','.join(field.default) if isinstance(field.default, tuple) else field.default}`"
    return f"| `{_variable(name)}` | {allowed(field)} | {default} | {field.description} |"


if __name__ == "__main__":
    if sys.argv[1:] != ["--docs"]:
        sys.exit("usage: python -m settings --docs")
    sys.stdout.write(documentation())
