"""Readers that stopped reading: how much they may leave unread, and for how long."""

from __future__ import annotations

import asyncio
import socket

from msgspec import Struct


class StallLimits(Struct, frozen=True, kw_only=True):
    """How much a reader may leave unread, and for how long."""

    write_deadline_seconds: float = 30.0
    buffer_bytes: int = 32 * 1024
    """In the process, before senders wait."""
    kernel_buffer_bytes: int = 64 * 1024
    """In the kernel, which else grows to megabytes a socket; Linux doubles the figure for its own needs."""


def bound_buffers(transport: asyncio.Transport, limits: StallLimits) -> None:
    """Hold the connection to both bounds from now on."""
    transport.set_write_buffer_limits(high=limits.buffer_bytes)
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.kernel_buffer_bytes)
