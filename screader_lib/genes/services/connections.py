"""How a service is reached: its URL, the key for it, the proxy on the way, or no network at all."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from screader_lib import offline
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    import urllib3

NCBI_KEY = "NCBI_API_KEY"
NCBI_EMAIL = "NCBI_EMAIL"
OPENAI_KEY = "OPENAI_API_KEY"


class Unreachable(ScReaderError):
    """A service cannot be reached: there is no network, or none is allowed."""


def secret_of(variable: str) -> str:
    """A key from the environment, the only place for secrets; empty where it is not set."""
    return os.environ.get(variable, "").strip()


def checked_url(url: str) -> str:
    """``url`` without a trailing slash; ScReaderError unless it is plain http or https.

    User and password in a URL would reach outputs and messages, so they are refused.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ScReaderError("is not an http or https URL.", file=url.rpartition("@")[2])
    if parts.username or parts.password or parts.query:
        raise ScReaderError(
            "contains credentials or a query.",
            file=parts.hostname,
            remedy="Give the plain URL; keys are read from the environment.",
        )
    return url.rstrip("/")


def check_allowed(url: str, remedy: str = "") -> None:
    """Unreachable where ``url`` needs a network and the user has said that there is none."""
    if offline.is_offline() and not is_this_machine(urlsplit(url).hostname or ""):
        problem = f"needs a network, but {offline.VARIABLE} is set."
        raise Unreachable(problem, file=url, remedy=remedy)


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
    server = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    user = f"{unquote(server.username or '')}:{unquote(server.password or '')}"
    headers = urllib3.make_headers(proxy_basic_auth=user) if server.username else None
    address = f"{server.scheme}://{server.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(address, proxy_headers=headers, **settings)
