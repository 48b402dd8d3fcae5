"""Who is asking: the client's address as far as it can be believed, and whether it may add songs."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from secrets import compare_digest

from werkzeug.datastructures import Headers

from dejavu.config.deployment import Deployment, FingerprintingConfig, Network
from dejavu.errors import FingerprintingDisabled, NotAuthorized

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORWARDING_HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")
"""Each is a sign that a proxy stands between us and the client."""

_IPV6_SITE_BITS = 64


def client_address(peer: str | None, forwarded_for: str, trusted: Sequence[Network]) -> Address | None:
    """Whose request this is: the peer, or, through trusted proxies, the nearest address that is not one of them.

    `forwarded_for` is the X-Forwarded-For header. Its entries are believed from the right, and only as long as whoever
    wrote them is trusted: everything further left may have been made up. None where the peer has no address (a Unix
    socket).
    """
    address = _parse(peer or "")
    hops = forwarded_for.split(",") if forwarded_for.strip() else []
    while address is not None and hops and _within(address, trusted):
        nearer = _parse(hops.pop().strip())
        if nearer is None:
            break
        address = nearer
    return address


def is_trusted(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Whether a request comes from one of these proxies."""
    address = _parse(peer or "")
    return address is not None and _within(address, trusted)


def rate_limit_key(address: Address | None) -> str:
    """What requests of one client are counted under; an IPv6 client has a whole /64 of addresses to come from."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))
    return str(address)


def require_catalogue_access(deployment: Deployment, peer: str | None, headers: Headers) -> None:
    """Pass whoever may ask for songs and add some; raise `NotAuthorized` for everybody else.

    With a token configured, that token decides. Without one, only this machine may: a loopback peer whose request came
    neither through a proxy (unless a trusted one vouches for a loopback client) nor from somebody else's web page.
    """
    require_access(deployment, deployment.fingerprinting.token, peer, headers, "fingerprinting.token")


def require_access(deployment: Deployment, token: str | None, peer: str | None, headers: Headers, key: str) -> None:
    """Pass who has the token, or, where there is none, this machine; `key` is where the token is configured."""
    if token is not None:
        if not _has_token(headers.get("Authorization", ""), token):
            raise NotAuthorized("Send the service's token in the header Authorization: Bearer <token>.")
    elif not _is_local(deployment, peer, headers):
        raise NotAuthorized(
            f"No token is configured, so this is for the service's own machine only; set {key} to let others in."
        )


def require_fingerprinting(config: FingerprintingConfig) -> None:
    """Raise `FingerprintingDisabled` where the configuration forbids adding songs."""
    if not config.allow:
        raise FingerprintingDisabled("Adding songs is switched off on this service (fingerprinting.allow).")


def _has_token(authorization: str, token: str) -> bool:
    scheme, _, credentials = authorization.partition(" ")
    given = credentials.strip().encode("utf-8", "surrogateescape")
    return compare_digest(given, token.encode()) and scheme.lower() == "bearer"


def _is_local(deployment: Deployment, peer: str | None, headers: Headers) -> bool:
    trusted = deployment.server.trusted_proxies
    is_forwarded = any(name in headers for name in _FORWARDING_HEADERS)
    if not is_forwarded and "Host" in headers and not _names_this_machine(headers["Host"]):
        return False  # a page whose own name was made to lead here, once it was loaded
    origin = headers.get("Origin")
    if origin is not None and origin not in deployment.allowed_origins and not _is_own(origin, headers):
        return False
    forwarded_for = headers.get("X-Forwarded-For", "")
    if is_forwarded:
        proxy = _parse(peer or "")
        if proxy is None or not _within(proxy, trusted) or not forwarded_for.strip():
            return False
    address = client_address(peer, forwarded_for, trusted)
    return address is not None and address.is_loopback


def _is_own(origin: str, headers: Headers) -> bool:
    """Whether a page of this service, opened under a name of this machine, has sent the request."""
    host = headers.get("Host", "")
    return _names_this_machine(host) and origin in (f"http://{host}", f"https://{host}")


def _names_this_machine(host: str) -> bool:
    """Whether a Host header (perhaps with a port) means this machine itself, whatever a name server says."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    address = _parse(name)
    return name.lower() == "localhost" or (address is not None and address.is_loopback)


def _parse(text: str) -> Address | None:
    """An address as proxies write it, perhaps with a port; IPv4 also where it comes dressed as IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
