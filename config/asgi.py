"""The ASGI application: GraphQL on its own branch, Django for everything else."""

import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.prod")
django_application = get_asgi_application()

from django.conf import settings  # noqa: E402  (settings and models exist from here on)
from starlette.datastructures import URL  # noqa: E402
from starlette.middleware.cors import CORSMiddleware  # noqa: E402
from starlette.middleware.exceptions import ExceptionMiddleware  # noqa: E402
from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: E402
from starlette.responses import RedirectResponse  # noqa: E402
from starlette.staticfiles import StaticFiles  # noqa: E402
from starlette.types import ASGIApp, Message, Receive, Scope, Send  # noqa: E402
from starlette.websockets import WebSocketClose  # noqa: E402

from apps.core import pool  # noqa: E402
from apps.core.client import scheme_of  # noqa: E402
from apps.core.db import waits_bounded  # noqa: E402
from apps.core.middleware import RequestIdMiddleware  # noqa: E402
from apps.core.stopping import when_told_to_stop  # noqa: E402
from apps.users.api.identity import identify, viewers_of  # noqa: E402
from apps.users.middleware import JWTMiddleware, authenticate_init  # noqa: E402
from schema.endpoint import GraphQLEndpoint  # noqa: E402
from schema.explorer import assets  # noqa: E402
from schema.root import schema  # noqa: E402
from schema.subscriptions import Subscriptions  # noqa: E402
from schema.websocket import GraphQLSocket  # noqa: E402

# New objects between two collections of the youngest generation; Python's own 700 suits programs without requests.
GC_THRESHOLD = 50_000
EXPLORER_DIST = settings.BASE_DIR / "explorer" / "dist"

# Django's ".example.com" is that host and all below it; Starlette wants both.
HOSTS = [
    spelled
    for host in settings.ALLOWED_HOSTS
    for spelled in ([host[1:], f"*{host}"] if host.startswith(".") else [host])
]


def guarded(application: ASGIApp) -> ASGIApp:
    """`application` for known hosts, and over https where SECURE_SSL_REDIRECT is on: as Django does for its own.

    So does SECURE_HSTS_SECONDS have browsers told, over https, to come by nothing else. A socket is not redirected,
    which hardly any client would follow, but refused.
    """

    async def over_https(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_hsts(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"strict-transport-security", _hsts())]
            await send(message)

        is_https = scheme_of(scope) in {"https", "wss"}
        if settings.SECURE_SSL_REDIRECT and not is_https:
            if scope["type"] == "websocket":
                return await WebSocketClose()(scope, receive, send)
            # The only answer to a request that has already sent its secrets in clear: not again like this.
            redirect = RedirectResponse(URL(scope=scope).replace(scheme="https"), 308)
            return await redirect(scope, receive, send)
        return await application(scope, receive, send_with_hsts if is_https and settings.SECURE_HSTS_SECONDS else send)

    return TrustedHostMiddleware(over_https, HOSTS, www_redirect=False)


def with_policy(application: ASGIApp) -> ASGIApp:
    """`application`, whose pages load and run nothing but what is its own. Of the admin's styles some are inline."""
    policy = (
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", policy)]
            await send(message)

        await application(scope, receive, send_with_policy)

    return respond


def _hsts() -> bytes:
    subdomains = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    preload = "; preload" if settings.SECURE_HSTS_PRELOAD else ""
    return f"max-age={settings.SECURE_HSTS_SECONDS}{subdomains}{preload}".encode()


subscriptions = Subscriptions(schema, viewers_of)
endpoint = GraphQLEndpoint(schema, identify, EXPLORER_DIST if settings.GRAPHQL_GRAPHIQL else None, subscriptions)
socket = GraphQLSocket(schema, identify, authenticate_init, subscriptions)


async def over_http_or_socket(scope: Scope, receive: Receive, send: Send) -> None:
    # Sockets are taken from pages of any origin: no cookie is ever looked at, so a page has only a token of its own.
    await (socket if scope["type"] == "websocket" else endpoint)(scope, receive, send)


# Mounted beside Django's handler on purpose: its middleware costs a request thread hops, and a stream a connection.
graphql: ASGIApp = JWTMiddleware(over_http_or_socket)
if settings.CORS_ALLOWED_ORIGINS:
    graphql = CORSMiddleware(
        graphql,
        allow_origins=settings.CORS_ALLOWED_ORIGINS,
        allow_methods=["GET", "POST"],
        # For the cookie of a refresh token. Nothing else is read from cookies.
        allow_credentials=True,
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After"],
    )
graphql_endpoint = guarded(graphql)
pages = with_policy(cast("ASGIApp", django_application))
explorer_assets = guarded(assets(EXPLORER_DIST))
# What `collectstatic` has gathered; in development the admin's own files, where they are installed.
static_files = guarded(
    ExceptionMiddleware(
        StaticFiles(directory=settings.STATIC_ROOT, check_dir=False)
        if settings.STATIC_ROOT
        else StaticFiles(packages=[("django.contrib.admin", "static")])
    )
)


async def route(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"] in {"/graphql", "/graphql/"}:
        await graphql_endpoint(scope, receive, send)
    elif scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
    elif scope["path"].startswith("/graphql/explorer/") and settings.GRAPHQL_GRAPHIQL:
        await explorer_assets(scope, receive, send)
    elif scope["path"].startswith(settings.STATIC_URL) and "\x00" not in scope["path"]:
        root_path = scope.get("root_path", "") + settings.STATIC_URL.rstrip("/")
        await static_files({**scope, "root_path": root_path}, receive, send)
    else:
        await pages(scope, receive, send)


async def _lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Reads have their pool for as long as the server runs, and writes do not wait for locks as long as they last.

    Subscriptions end as soon as the process is told to stop: the server waits for their streams before it tells us.
    """
    await receive()
    subscriptions.hub.start()
    # In this order: reads have bounds of their own.
    async with pool.opened():
        with waits_bounded(settings.DATABASE_LOCK_TIMEOUT_SECONDS), when_told_to_stop(subscriptions.hub.stop):
            gc.collect()
            # What is there now stays: the collector need not look at it again, nor as often at what a request makes.
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            subscriptions.hub.stop()
    await send({"type": "lifespan.shutdown.complete"})


application = RequestIdMiddleware(route)
