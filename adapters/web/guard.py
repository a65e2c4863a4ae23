"""Who may use the page: this machine alone, since there is no log-in.

A browser that visits a page elsewhere can be made to send requests here. What gives those away is their Host
(a name that was rebound to loopback), their Origin, or the browser's own note of where they come from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_FORWARDED = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server"),
    *("X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "CDN-Loop"),
)
"""Marks of a proxy: behind one, a loopback address says nothing of who asks."""

_COOKIE = re.compile(r"[0-9a-f]{32}")


def is_direct(version: tuple[int, int]) -> bool:
    """Whether a request may come from a browser itself. Some proxies leave no mark, but still speak HTTP/1.0."""
    return version >= (1, 1)


def is_local(peer: str | None, scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from this machine, to a name of this machine, and from no other site's page."""
    host, origin = headers.get("Host", ""), headers.get("Origin")
    return (
        _is_loopback(peer or "")
        and _is_loopback(_hostname(host))
        and (origin is None or origin == f"{scheme}://{host}")
        and not any(name in headers for name in _FORWARDED)
    )


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether the page itself asks (or no browser, or its address bar), as far as the browser tells."""
    return headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


def is_browser_id(cookie: str) -> bool:
    """Whether a cookie can be one of ours."""
    return _COOKIE.fullmatch(cookie) is not None


def _hostname(host: str) -> str:
    """The name in a Host header, without its port; empty where it is malformed."""
    if "@" in host:
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
