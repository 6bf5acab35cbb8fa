"""URLs of services, the proxies on the way to them, and whether there is a way at all."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from screader_lib import offline
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    import urllib3


class Unreachable(ScReaderError):
    """There is no way to a service: no network, or none allowed."""


def checked_url(url: str) -> str:
    """``url`` without a slash at its end; ScReaderError unless it is plain http or https.

    User and password in a URL would reach outputs and messages, so they are refused.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ScReaderError("is no http or https URL.", file=url.rpartition("@")[2])
    if parts.username or parts.password or parts.query:
        raise ScReaderError(
            "holds credentials or a query.",
            file=parts.hostname,
            remedy="Give the plain URL; keys come from the environment.",
        )
    return url.rstrip("/")


def check_allowed(url: str, remedy: str = "") -> None:
    """Unreachable where the user has said that there is no network, and ``url`` needs one."""
    if offline.is_offline() and not is_this_machine(urlsplit(url).hostname or ""):
        raise Unreachable(f"needs a network, and {offline.VARIABLE} is set.", file=url,
                          remedy=remedy)  # fmt: skip


def is_this_machine(host: str) -> bool:
    """Whether a host is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def pool_for(url: str, **settings: Any) -> urllib3.PoolManager:
    """Connections to ``url``, through the proxy that the environment names (``HTTPS_PROXY``)."""
    import urllib3

    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_this_machine(host) or proxy_bypass(host):
        return urllib3.PoolManager(**settings)
    place = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    user = f"{unquote(place.username or '')}:{unquote(place.password or '')}"
    headers = urllib3.make_headers(proxy_basic_auth=user) if place.username else None
    where = f"{place.scheme}://{place.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(where, proxy_headers=headers, **settings)
