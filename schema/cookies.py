"""The cookie that a browser may keep its refresh token in, out of reach of scripts.

Only the mutations that are about refresh tokens look at it, and only when the request's Origin is the API's own or one
of CORS_ALLOWED_ORIGINS. Together with SameSite=Strict, and JSON as the only content type, which pages of other sites
cannot send without being asked first, that is the defence against requests that other sites forge.
"""

from datetime import datetime
from email.utils import format_datetime

from django.conf import settings
from starlette.requests import cookie_parser
from starlette.types import Scope

from apps.core.client import header, scheme_of
from apps.core.errors import forbidden

NAME = "refresh_token"


class RefreshCookie:
    """The cookie of one request, and what becomes of it with the answer."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        # The value of the answer's Set-Cookie.
        self.change: bytes | None = None

    @property
    def token(self) -> str | None:
        """What the browser has kept; None when another site's page has sent the request."""
        return cookie_parser(header(self._scope, b"cookie")).get(_name()) if self.is_ours else None

    @property
    def is_ours(self) -> bool:
        """Whether a page of ours has sent the request. Browsers send Origin with each POST; others keep no cookies."""
        origin = header(self._scope, b"origin")
        own = f"{scheme_of(self._scope)}://{header(self._scope, b'host')}"
        return origin == own or origin in settings.CORS_ALLOWED_ORIGINS

    def check(self) -> None:
        """Raises DomainError FORBIDDEN for a page that is not ours."""
        if not self.is_ours:
            raise forbidden("Cookies are for pages whose Origin is this host, or one of CORS_ALLOWED_ORIGINS.")

    def keep(self, token: str, expires_at: datetime) -> None:
        """Have the browser keep `token`."""
        self.change = _cookie(token, format_datetime(expires_at, usegmt=True))

    def drop(self) -> None:
        self.change = _cookie("", "Thu, 01 Jan 1970 00:00:00 GMT")


def _name() -> str:
    """With this prefix a browser keeps it for this host alone, and takes it over https only."""
    return f"__Host-{NAME}" if settings.REFRESH_COOKIE_SECURE else NAME


def _cookie(value: str, expires: str) -> bytes:
    secure = "; Secure" if settings.REFRESH_COOKIE_SECURE else ""
    return f"{_name()}={value}; Expires={expires}; Path=/; HttpOnly; SameSite=Strict{secure}".encode()
