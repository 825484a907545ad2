"""Access tokens (JWT, minutes) and refresh tokens (opaque, a day). No database here."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from time import time

import jwt
from django.conf import settings
from django.utils.crypto import salted_hmac

from apps.users.keys import ring

ACCESS = "access"
# The clocks of two servers differ.
LEEWAY_SECONDS = 5
REQUIRED_CLAIMS = ["sub", "sid", "typ", "iat", "nbf", "exp", "iss", "aud", "jti"]


class InvalidToken(Exception):
    """The token is not one of ours, or no longer valid."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says: whose it is, and of which session."""

    user_id: int
    session_id: int
    # The Unix time of its end, with the leeway.
    good_until: int


def issue_access(user_id: int, session_id: int, now: datetime) -> tuple[str, datetime]:
    """A signed access token, and when it expires."""
    expires_at = (now + settings.JWT_ACCESS_LIFETIME).replace(microsecond=0)
    claims = {
        "sub": str(user_id),
        "sid": str(session_id),
        "typ": ACCESS,
        "iat": now,
        "nbf": now,
        "exp": expires_at,
        "iss": settings.JWT_ISSUER,
        "aud": settings.JWT_AUDIENCE,
        "jti": secrets.token_urlsafe(12),
    }
    key = ring().current
    return jwt.encode(claims, key.signing, key.algorithm, {"kid": key.kid}), expires_at


def verify_access(token: str) -> Claims:
    """The claims of an access token. Raises InvalidToken unless signature, times, issuer, audience and type hold.

    A token that was verified is only looked at for its end when it comes again: a client sends it with every request.
    """
    known = token, ring().name, settings.JWT_ISSUER, settings.JWT_AUDIENCE
    if known not in _verified:
        if len(_verified) >= MAX_VERIFIED:
            _verified.clear()
        _verified[known] = _verify(token)
    claims = _verified[known]
    if time() > claims.good_until:
        raise InvalidToken("The access token has expired.")
    return claims


MAX_VERIFIED = 5_000
_verified: dict[tuple[str, str, str, str], Claims] = {}


def _verify(token: str) -> Claims:
    """The key says which algorithm, the token only which key: so none can be made to pass for another's."""
    try:
        key = ring().by_kid[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(
            token,
            key.verifying,
            algorithms=[key.algorithm],
            issuer=settings.JWT_ISSUER,
            audience=settings.JWT_AUDIENCE,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED_CLAIMS},
        )
        if claims["typ"] != ACCESS:
            raise InvalidToken("This is not an access token.")
        return Claims(int(claims["sub"]), int(claims["sid"]), int(claims["exp"]) + LEEWAY_SECONDS)
    except jwt.ExpiredSignatureError:
        raise InvalidToken("The access token has expired.") from None
    except (jwt.InvalidTokenError, LookupError, OverflowError, TypeError, ValueError):
        raise InvalidToken("The access token is not valid.") from None


def new_secret() -> tuple[str, bytes]:
    """A token of 256 random bits for a client or a mail, and the digest that is stored of it."""
    token = secrets.token_urlsafe(32)
    return token, digest(token)


def derived_secret(*origin: str) -> tuple[str, bytes]:
    """The same, but always the same for one `origin`, as far as SECRET_KEY is. Without that nobody can guess it."""
    mac = salted_hmac("users.tokens", json.dumps(origin), algorithm="sha256").digest()
    token = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    return token, digest(token)


def digest(secret: str) -> bytes:
    """SHA-256: enough for 256 random bits, and nothing that a stolen table can be turned back into tokens by."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
