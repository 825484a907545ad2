"""Where a request comes from, for sessions, security events and limits."""

from dataclasses import dataclass
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest
from starlette.types import Scope

USER_AGENT_MAX = 255


@dataclass(frozen=True, slots=True)
class Client:
    """The address of a request's client, what it calls itself (at most USER_AGENT_MAX characters), and the request."""

    ip: str | None = None
    user_agent: str = ""
    request_id: str = ""


def client_of(scope: Scope, request_id: str) -> Client:
    """The peer, or behind TRUSTED_PROXIES proxies the address that the outermost of them has seen.

    That is the entry of X-Forwarded-For with as many behind it as there are other proxies: what stands to its left was
    sent by the client. With fewer entries somebody has come in past a proxy, and the peer's address counts.
    """
    peer = (scope.get("client") or ("",))[0]
    proxies, forwarded = settings.TRUSTED_PROXIES, header(scope, b"x-forwarded-for").split(",")
    seen = forwarded[-proxies].strip() if 0 < proxies <= len(forwarded) else ""
    return Client(_ip(seen or peer), header(scope, b"user-agent")[:USER_AGENT_MAX], request_id)


def client_of_request(request: HttpRequest) -> Client:
    """The same for a request that Django answers: the admin's."""
    scope: Scope = getattr(request, "scope", None) or {
        "client": (request.META.get("REMOTE_ADDR", ""), 0),
        "headers": [(b"user-agent", request.META.get("HTTP_USER_AGENT", "").encode("latin-1", "replace"))],
    }
    return client_of(scope, scope.get("request_id", ""))


def scheme_of(scope: Scope) -> str:
    """What the client used: behind proxies, what the first of them has seen."""
    forwarded = header(scope, b"x-forwarded-proto") if settings.TRUSTED_PROXIES else ""
    return forwarded.split(",")[0].strip() or str(scope["scheme"])


def header(scope: Scope, name: bytes) -> str:
    """The header's value; sent more than once, it is one list."""
    return b",".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


def _ip(text: str) -> str | None:
    """The address in `text`, with or without a port, an IPv4 one as such where a socket for both wrote it as IPv6.

    None for a Unix socket, or a proxy that sent something else.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        # What stands behind the % is the name of a network card of ours; PostgreSQL does not take it.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
