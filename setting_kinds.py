"""The kinds of values that settings have, each with the words that tell what it allows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

SQLITE: Final = "sqlite:///"
KAFKA: Final = "kafka://"
MEMORY: Final = "memory:"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Allowed:
    """What a kind allows, for people; goes behind "allowed:"."""

    text: str


class Mode(StrEnum):
    """Whether conveniences that would be holes in production exist."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    """The least grave lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _only(holds: Callable[[str], bool]) -> AfterValidator:
    def check(value: str) -> str:
        if not holds(value):
            raise ValueError
        return value

    return AfterValidator(check)


def _is_sqlite(value: str) -> bool:
    return value.startswith(SQLITE) and value != SQLITE and "?" not in value


def _is_kafka(value: str) -> bool:
    if not value.startswith(KAFKA):
        return False
    brokers = [urlsplit(f"//{broker}") for broker in value.removeprefix(KAFKA).split(",")]
    return all(broker.hostname and broker.port and broker.netloc == broker.netloc.strip() for broker in brokers)


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    parts = urlsplit(value)
    port = parts.port  # raises ValueError where it is none
    return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc and port != 0


def _is_npi(value: str) -> bool:
    if not (value.isascii() and value.isdecimal() and len(value) == 10):
        return False
    # Luhn's check over the number with 80840, the prefix of health applications, before it.
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(f"80840{value}", start=1))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    origins = tuple(origin.strip() for origin in value.split(","))
    if origins != ("*",) and not all(_is_origin(origin) for origin in origins):
        raise ValueError
    return origins


def _proxies(value: object) -> object:
    if not isinstance(value, str):
        return value
    proxies = tuple(proxy.strip() for proxy in value.split(","))
    for proxy in proxies:
        ip_network(proxy)  # raises ValueError where it is none
    return proxies


def _is_origin(value: str) -> bool:
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and value == f"{parts.scheme}://{parts.netloc}"


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < 32:
        raise ValueError
    return value


def _pem(value: str) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - slow to import

    pem = value.replace("\\n", "\n")
    try:
        if not pem.lstrip().startswith("-----BEGIN"):
            pem = Path(value).expanduser().read_text("ascii")
        load_pem_public_key(pem.encode())
    except OSError:
        raise ValueError from None
    return pem


def _operations(value: Path) -> Path:
    try:
        listed = json.loads(value.expanduser().read_text("utf-8"))
    except OSError:
        raise ValueError from None
    if not isinstance(listed, dict) or not all(isinstance(text, str) for text in listed.values()):
        raise ValueError
    return value.expanduser()


OperationsFile = Annotated[
    Path, AfterValidator(_operations), Allowed("the path of a JSON object whose values are GraphQL documents")
]
LogUrl = Annotated[
    str,
    _only(lambda value: _is_sqlite(value) or _is_kafka(value)),
    Allowed(
        "sqlite:///PATH, with one more slash where the path is absolute, or kafka://HOST:PORT,... (some of the brokers)"
    ),
]
StateUrl = Annotated[
    str,
    _only(lambda value: value == MEMORY or _is_url(value, ("redis", "rediss"))),
    Allowed("memory:, or redis://HOST:PORT/DB, or rediss:// for TLS; user and password have settings of their own"),
]
TopicPrefix = Annotated[
    str,
    _only(lambda value: re.fullmatch(r"[A-Za-z0-9._-]{0,100}", value) is not None),
    Allowed("up to 100 letters, digits, dots, underscores and dashes"),
]
HttpUrl = Annotated[
    str,
    _only(lambda value: _is_url(value, ("http", "https"))),
    Allowed("a URL that begins with https:// or http://, without a password"),
]
SocketUrl = Annotated[
    str,
    _only(lambda value: _is_url(value, ("ws", "wss"))),
    Allowed("a URL that begins with wss:// or ws://, without a password"),
]
Origins = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_origins),
    Allowed("*, or origins like https://app.example.com with commas between them"),
]
Proxies = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_proxies),
    Allowed("addresses or networks like 10.0.0.0/8 with commas between them"),
]
Npi = Annotated[str, _only(_is_npi), Allowed("ten digits of which the last is the right check digit")]
ApiKey = Annotated[SecretStr, Allowed("the account's key at Stedi, never shown")]
Key = Annotated[
    SecretStr, AfterValidator(_long_enough), Allowed("at least 32 bytes, for example of `openssl rand -base64 48`")
]
PublicKeyPem = Annotated[
    str, AfterValidator(_pem), Allowed("a public key in PEM, or the path of a file that holds one")
]
Level = Annotated[LogLevel, BeforeValidator(lambda value: str(value).lower())]


def allowed(field: FieldInfo) -> str:
    """What a setting allows, in words: of its kind, or of its type and range."""
    kind, marks = _unwrapped(field.annotation, tuple(field.metadata))
    for mark in marks:
        if isinstance(mark, Allowed):
            return mark.text
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(kind)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return f"a {'whole number' if kind is int else 'number'} {_range(marks)}"
    return "a path" if kind is Path else f"text{_length(marks)}"


def is_secret(field: FieldInfo) -> bool:
    """Whether what was given must never be shown. A key that should be public may be a private one by mistake."""
    kind, marks = _unwrapped(field.annotation, tuple(field.metadata))
    return kind is SecretStr or get_args(PublicKeyPem)[1] in marks


def _unwrapped(annotation: Any, marks: tuple[object, ...]) -> tuple[Any, tuple[object, ...]]:
    """The type behind `| None` and Annotated, with every mark on the way."""
    if get_origin(annotation) is Annotated:
        kind, *inner = get_args(annotation)
        return _unwrapped(kind, (*marks, *inner))
    if isinstance(annotation, UnionType) or type(None) in get_args(annotation):
        return _unwrapped(next(kind for kind in get_args(annotation) if kind is not type(None)), marks)
    return annotation, marks


def _range(marks: tuple[object, ...]) -> str:
    least = next(
        (f"from {mark.ge:,}" if isinstance(mark, Ge) else f"above {mark.gt:,}")
        for mark in marks
        if isinstance(mark, Ge | Gt)
    )
    most = next(mark.le for mark in marks if isinstance(mark, Le))
    return f"{least} to {most:,}"


def _length(marks: tuple[object, ...]) -> str:
    return next((f" of up to {mark.max_length} characters" for mark in marks if isinstance(mark, MaxLen)), "")
