"""Who may read a page that has a token in it: somebody who opened it on this server, and no other site's page."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from delivery.errors import PageRefused

_CURE: Final = "Open it by typing http://localhost and its port, or the address in COVEY_PUBLIC_URL, in the browser."


def check_page_request(headers: Headers, public_host: str | None) -> None:
    """See that the request comes from a person, and under a name that is this server's. Raises PageRefused.

    The name matters because any site can have its own name lead to this machine (DNS rebinding): its pages then count
    as same-origin. Browsers tell where a request comes from (Fetch Metadata; `Origin`).
    """
    hosts = headers.getlist("host")
    name = _name(hosts[0]) if len(hosts) == 1 else None
    if name is None or not (_is_this_machine(name) or name == public_host):
        raise PageRefused(
            f"This page is not served under that host name: set COVEY_PUBLIC_URL if it is this server's. {_CURE}"
        )
    if headers.get("sec-fetch-site", "none") == "cross-site":
        raise PageRefused(f"This page is not given to other sites. {_CURE}")
    origin = headers.get("origin")
    if origin is not None and _authority(origin) != hosts[0]:
        raise PageRefused(f"This page is not given to other origins. {_CURE}")


def _name(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_this_machine(name: str) -> bool:
    """`0.0.0.0` too: a server on all addresses prints its own link so; and no site can have that name."""
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
