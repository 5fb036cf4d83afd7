"""Ports of this machine, looked at before anything is started on them."""

from __future__ import annotations

import socket

from console.errors import PortInUse


def require_free(host: str, port: int) -> None:
    """Raises PortInUse where a server could not listen; port 0 is always free."""
    if not is_free(host, port):
        raise PortInUse(host, port)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. As for servers, connections that are still ending do not count."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True
