"""Signing in and out: sessions and their tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core import outbox
from apps.core.client import Client
from apps.core.errors import DomainError, ErrorCode, not_found
from apps.core.throttling import hit, refund
from apps.users import audit, hashing, tasks, throttles, tokens
from apps.users.emails import address_of
from apps.users.models import RefreshToken, RivalRegistration, SecurityEventKind, Session, User
from apps.users.policies import signed_in
from apps.users.selectors import PermissionNames, sessions_visible_to, with_permissions

# Two tabs that renew with one token at the same moment are no theft.
REUSE_GRACE = timedelta(seconds=10)
# Of one account at a time; the next sign-in ends the one that was used least recently.
SESSIONS_MAX = 50
NO_LONGER_VALID = "This token is no longer valid. Sign in again."


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets when it signs in or renews."""

    user: User
    session_id: int
    access_token: str
    access_token_expires_at: datetime
    refresh_token: str
    refresh_token_expires_at: datetime


class TokenReused(DomainError):
    """A refresh token came back that was spent long ago: it has been copied, so `session_id` was ended."""

    def __init__(self, session_id: int) -> None:
        super().__init__(ErrorCode.INVALID_TOKEN, NO_LONGER_VALID, "refresh_token")
        self.session_id = session_id


class TokenJustSpent(DomainError):
    """A refresh token came back within `REUSE_GRACE`: another tab was faster, and has the next one."""

    def __init__(self) -> None:
        message = "This token has just been used. Take what came of that, or sign in again."
        super().__init__(ErrorCode.INVALID_TOKEN, message, "refresh_token")


def session_start(*, email: str, password: str, client: Client) -> Tokens:
    """Sign in: a new session and its first tokens. No connection is held while the password is hashed.

    Raises DomainError INVALID_CREDENTIALS, whether or not the address has an account and after the same work;
    RATE_LIMITED; and to whoever knows the password ACCOUNT_DISABLED or EMAIL_NOT_VERIFIED.
    """
    address = address_of(email)
    attempt = throttles.sign_in(client, address)
    hit(attempt)
    user = with_permissions(User.objects.filter(email=address)).first()
    try:
        is_right = _is_right(user, address, password)
    except DomainError:
        refund(attempt)  # nobody was able to look at it, or it was right in its way
        raise
    if user is None or not is_right:
        audit.record(SecurityEventKind.LOGIN_FAILED, client, user=user)
        raise _wrong_credentials()
    refund(attempt)
    if not user.is_active:
        raise _account_disabled()
    if user.email_verified_at is None and settings.EMAIL_VERIFICATION == "required":
        raise _not_verified()
    return _start(user, client)


@transaction.atomic
def _start(user: User, client: Client) -> Tokens:
    # Hashing takes a while: a password that was changed meanwhile must not start a session any more.
    unchanged = User.objects.filter(pk=user.pk, password=user.password, is_active=True)
    if not unchanged.update(last_login=timezone.now()):
        raise _wrong_credentials()
    audit.record(SecurityEventKind.LOGIN, client, user=user, actor=user)
    return new_session(user, client)


def session_renew(*, refresh_token: str, client: Client) -> Tokens:
    """Exchange a refresh token for the next pair; each token works once.

    Raises DomainError INVALID_TOKEN (TokenReused when that ended a session, TokenJustSpent when another use won) or
    ACCOUNT_DISABLED.
    """
    outcome = _renew(tokens.digest(refresh_token), client)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


@transaction.atomic
def _renew(digest: bytes, client: Client) -> Tokens | DomainError:
    """Spend the token, then mint the next one, under the token's lock: of parallel uses exactly one wins.

    A token that was spent longer than `REUSE_GRACE` ago has been copied, so its whole session ends. The refusal is
    returned and not raised, because raising it would roll that back.
    """
    token = (
        RefreshToken.objects.select_for_update(of=("self",), no_key=True)
        .select_related("session__user")
        .annotate(permission_names=PermissionNames("session__user_id"))
        .filter(digest=digest)
        .first()
    )
    now = timezone.now()
    refusal = DomainError(ErrorCode.INVALID_TOKEN, NO_LONGER_VALID, "refresh_token")
    if token is None:
        return refusal
    session, user = token.session, token.session.user
    if token.spent_at is not None:
        if now - token.spent_at <= REUSE_GRACE:
            return TokenJustSpent()
        if Session.objects.filter(pk=session.pk).end():
            audit.record(SecurityEventKind.REFRESH_REUSED, client, user=user)
            outbox.send(tasks.mail_notice, "refresh_reused", user.email, client.ip)
        return TokenReused(session.pk)
    if token.expires_at <= now or session.revoked_at is not None:
        return refusal
    if not user.is_active:
        return _account_disabled()
    token.spent_at = now
    token.save(update_fields=["spent_at"])
    user.permission_names = token.permission_names
    session.expires_at = now + settings.JWT_REFRESH_LIFETIME
    alive = Session.objects.filter(pk=session.pk, revoked_at=None)
    # Revoked since it was read: by a sign-out, or by a new password.
    if not alive.update(last_used_at=now, expires_at=session.expires_at):
        return refusal
    return _mint(session, now)


@transaction.atomic
def session_end(*, refresh_token: str) -> int:
    """Sign out: the session of the token ends, and its access tokens with it. Gives the session's key.

    Twice is as good as once. Raises DomainError INVALID_TOKEN for a token that never existed.
    """
    token = RefreshToken.objects.filter(digest=tokens.digest(refresh_token)).first()
    if token is None:
        raise DomainError(ErrorCode.INVALID_TOKEN, "This token is not known.", "refresh_token")
    Session.objects.filter(pk=token.session_id).end()
    return token.session_id


@transaction.atomic
def session_revoke(*, actor: User | None, session_id: int, client: Client) -> Session:
    """End one of the actor's sessions, the current one too. Raises DomainError UNAUTHENTICATED or NOT_FOUND."""
    actor = signed_in(actor)
    session = sessions_visible_to(actor).filter(pk=session_id).first()
    if session is None or not Session.objects.filter(pk=session_id).end():
        raise not_found("Session", "id")
    audit.record(SecurityEventKind.SESSION_REVOKED, client, user=actor, actor=actor, detail=f"session {session_id}")
    return session


@transaction.atomic
def sessions_revoke_others(*, actor: User | None, session_id: int | None, client: Client) -> int:
    """End all of the actor's sessions but `session_id`, and give their number. Raises DomainError UNAUTHENTICATED."""
    actor = signed_in(actor)
    others = Session.objects.filter(user=actor, expires_at__gt=timezone.now()).exclude(pk=session_id or 0)
    count = others.end()
    if count:
        audit.record(SecurityEventKind.SESSION_REVOKED, client, user=actor, actor=actor, detail=f"{count} others")
    return count


def new_session(user: User, client: Client) -> Tokens:
    """The tokens of a session that begins now. Three statements, in the transaction of a caller that holds the user."""
    now = timezone.now()
    live = Session.objects.filter(user=user, revoked_at=None, expires_at__gt=now)
    kept = live.order_by("-last_used_at", "-id")[: SESSIONS_MAX - 1]
    live.exclude(pk__in=kept.values("pk")).end()
    session = Session.objects.create(
        user=user,
        created_at=now,
        last_used_at=now,
        expires_at=now + settings.JWT_REFRESH_LIFETIME,
        ip=client.ip,
        user_agent=client.user_agent,
    )
    return _mint(session, now)


def _is_password_of(user: User | None, password: str) -> bool:
    """Whether it is the user's password. For nobody it is not, and takes as long."""
    if user is None:
        hashing.verified(password)
        return False
    return user.check_password(password)


def _account_disabled() -> DomainError:
    return DomainError(ErrorCode.ACCOUNT_DISABLED, "This account is locked.")


def _is_right(user: User | None, address: str, password: str) -> bool:
    """Whether it is the user's password.

    Raises DomainError EMAIL_NOT_VERIFIED for that of somebody who has registered the address although it was taken: the
    answer that they would get had it been free, after the same work. RATE_LIMITED when too many are waiting.
    """
    if settings.EMAIL_VERIFICATION != "required":
        return _is_password_of(user, password)
    rival = RivalRegistration.objects.filter(email=address, expires_at__gt=timezone.now()).first()
    if rival is not None and hashing.verified(password, rival.password)[0]:
        raise _not_verified()
    is_right = _is_password_of(user, password)
    if not is_right and rival is None and user is not None and user.email_verified_at is None:
        hashing.verified(password)  # as where a rival's was looked at before
    return is_right


def _not_verified() -> DomainError:
    return DomainError(ErrorCode.EMAIL_NOT_VERIFIED, "Confirm your address first, as our mail says.")


def _wrong_credentials() -> DomainError:
    return DomainError(ErrorCode.INVALID_CREDENTIALS, "Unknown address or wrong password.")


def _mint(session: Session, now: datetime) -> Tokens:
    refresh_token, digest = tokens.new_secret()
    RefreshToken.objects.create(session=session, digest=digest, expires_at=session.expires_at)
    access_token, access_expires_at = tokens.issue_access(session.user_id, session.pk, now)
    return Tokens(session.user, session.pk, access_token, access_expires_at, refresh_token, session.expires_at)
