"""Links that switch off mails: whoever has one may, without signing in."""

from collections.abc import Iterable

from django.conf import settings
from django.core.signing import Signer

from apps.comments.models import NoticeKind

SALT = "broadside.unsubscribe"


def url(user_id: int, kinds: Iterable[NoticeKind]) -> str:
    """The link that ends the user's mails of these kinds; "" where PUBLIC_URL does not say how to reach us."""
    return f"{settings.PUBLIC_URL}/unsubscribe/{token(user_id, kinds)}" if settings.PUBLIC_URL else ""


def headers(url: str) -> dict[str, str]:
    """What has mail programs show a button of their own for that link, and press it by a POST (RFC 8058)."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if url else {}


def token(user_id: int, kinds: Iterable[NoticeKind]) -> str:
    """It is good for as long as SECRET_KEY, or SECRET_KEY_FALLBACKS, has the key that signed it, and for this alone."""
    return _signer().sign(".".join([str(user_id), *sorted(kinds)]))


def read(token: str) -> tuple[int, list[NoticeKind]]:
    """The key of the user and the kinds. Raises BadSignature for anything that `token` has not made."""
    user_id, *kinds = _signer().unsign(token).split(".")
    return int(user_id), [NoticeKind(kind) for kind in kinds]


def _signer() -> Signer:
    return Signer(salt=SALT, sep=".")
