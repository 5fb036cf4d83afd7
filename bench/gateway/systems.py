"""The systems that take turns, each served on a core of its own."""

from __future__ import annotations

import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from bench.gateway.covey import covey_under_load
from bench.gateway.pinned import Served
from bench.gateway.rivals import rival_fed_by_kafka, rival_fed_by_lines

T = TypeVar("T")
_OTHER_FILES: Final = 200
"""Of a process, beside its sockets."""


@asynccontextmanager
async def served(system: str, services: Mapping[str, str], *, timed: bool = False) -> AsyncIterator[Served]:
    """One of `covey`, `stock`, `node` and `picows`. Covey reads from Kafka always; where times are compared (`timed`),
    the rivals in Python do, too. Node is told by lines, which costs it less."""
    if system == "covey":
        with TemporaryDirectory() as data:
            async with covey_under_load(services, Path(data)) as server:
                yield server
    elif timed and system != "node":
        async with rival_fed_by_kafka(system, services) as server:
            yield server
    else:
        async with rival_fed_by_lines(system) as server:
            yield server


async def interleaved(
    name: str, systems: Sequence[str], rounds: int, measure: Callable[[str], Awaitable[T]]
) -> dict[str, list[T]]:
    """What each round of each system gave, in turns; printed as it comes."""
    found: dict[str, list[T]] = {system: [] for system in systems}
    for number in range(rounds):
        for system in systems:
            found[system].append(await measure(system))
            print(
                f"{name} {number + 1} {system:<8} {found[system][-1]}   load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    return found


def sockets_possible(wanted: int) -> int:
    """How many sockets a process may have, `wanted` at most; the limit of open files is raised as far as it goes, here
    and in what is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = wanted + _OTHER_FILES
    if hard == resource.RLIM_INFINITY:
        hard = need
    if hard < need:
        with suppress(ValueError, OSError):  # only the privileged may
            resource.setrlimit(resource.RLIMIT_NOFILE, (need, need))
            hard = need
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < need:
        print(f"of {wanted} sockets the limit of open files allows {hard - _OTHER_FILES}", flush=True)
    return min(wanted, hard - _OTHER_FILES)
