"""What every part is given."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import structlog
from pydantic import SecretStr

from bus.clock import Clock
from bus.metrics import Metrics
from bus.sealing import PlainSealer, Sealer, TenantSealer
from settings import Settings

_logger = structlog.get_logger(__name__)


def sealer_of(settings: Settings) -> Sealer:
    """What seals data by tenant, where there is a key for it."""
    return PlainSealer() if settings.data_key is None else TenantSealer(secret_bytes(settings.data_key))


def warn_of_plain_data(settings: Settings) -> None:
    """Say it at a start where production keeps health data as it is."""
    if settings.data_key is None and not settings.development:
        _logger.warning("kept_in_the_clear", note="Health data is not encrypted where it is kept: set COVEY_DATA_KEY.")


def secret_bytes(secret: SecretStr) -> bytes:
    """What the secret says."""
    return secret.get_secret_value().encode()


class Foundation(NamedTuple):
    """Settings, and what stands for the machine: time, randomness; and where all report and all seal."""

    settings: Settings
    url: str
    """Where this server listens."""
    clock: Clock
    random: Random
    metrics: Metrics
    sealer: Sealer
