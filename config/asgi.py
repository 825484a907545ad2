"""The ASGI application: GraphQL on its own branch, Django for everything else."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

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
from starlette.websockets import WebSocketClose  # noqa: E402

from apps.core.middleware import RequestIdMiddleware  # noqa: E402
from apps.users.api.identity import identify  # noqa: E402
from apps.users.middleware import JWTMiddleware  # noqa: E402
from schema.endpoint import GraphQLEndpoint  # noqa: E402
from schema.explorer import assets  # noqa: E402
from schema.root import schema  # noqa: E402

EXPLORER_DIST = settings.BASE_DIR / "explorer" / "dist"

# Mounted beside Django's handler on purpose: its middleware costs a request thread hops, and a stream a connection.
graphql_endpoint = JWTMiddleware(
    GraphQLEndpoint(schema, identify, EXPLORER_DIST if settings.GRAPHQL_GRAPHIQL else None)
)
graphql_application = CORSMiddleware(
    # Django writes a host with all below it as ".example.com", Starlette as "*.example.com".
    TrustedHostMiddleware(
        graphql_endpoint,
        [f"*{host}" if host.startswith(".") else host for host in settings.ALLOWED_HOSTS],
        www_redirect=False,
    ),
    allow_origins=settings.CORS_ALLOWED_ORIGINS,
    allow_methods=["GET", "POST"],
    allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
    expose_headers=["X-Request-ID"],
)
explorer_assets = assets(EXPLORER_DIST)
# What `collectstatic` has gathered; in development the admin's own files, where they are installed.
static_files = ExceptionMiddleware(
    StaticFiles(directory=settings.STATIC_ROOT, check_dir=False)
    if settings.STATIC_ROOT
    else StaticFiles(packages=[("django.contrib.admin", "static")])
)


async def route(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
    elif _has_to_be_https(scope):
        # The only answer to a request that has already sent its secrets in clear: not again like this.
        await RedirectResponse(URL(scope=scope).replace(scheme="https"), 308)(scope, receive, send)
    elif scope["path"] in {"/graphql", "/graphql/"}:
        await graphql_application(scope, receive, send)
    elif scope["path"].startswith("/graphql/explorer/") and settings.GRAPHQL_GRAPHIQL:
        await explorer_assets(scope, receive, send)
    elif scope["path"].startswith(settings.STATIC_URL) and "\x00" not in scope["path"]:
        root_path = scope.get("root_path", "") + settings.STATIC_URL.rstrip("/")
        await static_files({**scope, "root_path": root_path}, receive, send)
    else:
        await django_application(scope, receive, send)


def _has_to_be_https(scope: Any) -> bool:
    """Django does the same for what it answers; the branches beside it would go without."""
    if not settings.SECURE_SSL_REDIRECT or not scope["path"].startswith(("/graphql", settings.STATIC_URL)):
        return False
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"") if settings.TRUSTED_PROXIES else b""
    return (forwarded.decode("latin-1") or scope["scheme"]) != "https"


async def _lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": f"{message['type']}.complete"})


application = RequestIdMiddleware(route)
