"""Ports of this machine, looked at before anything is started on them."""

from __future__ import annotations

import errno
import socket

from console.errors import PortInUse, UsedWrongly


def require_free(host: str, port: int) -> None:
    """Raises PortInUse where a server could not listen; port 0 is always free. Raises UsedWrongly for a host that is
    none of this machine's."""
    try:
        _listen(host, port)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UsedWrongly(f"--host: {host} is no address of this machine; 0.0.0.0 is every one it has.") from None
        raise PortInUse(host, port) from None


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. As for servers, connections that are still ending do not count."""
    try:
        _listen(host, port)
    except OSError:
        return False
    return True


def _listen(host: str, port: int) -> None:
    socket.getaddrinfo(host, port)  # says that there is no such host, which the next line does not
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()
