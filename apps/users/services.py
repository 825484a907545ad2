"""Writes of accounts and sessions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.broker import enqueue_on_commit
from apps.core.db import violated_constraint
from apps.core.errors import DomainError, ErrorCode
from apps.core.text import Form, is_storable
from apps.users import tasks, tokens
from apps.users.emails import normalize_email
from apps.users.models import BIO_MAX, NAME_MAX, USER_AGENT_MAX, RefreshToken, Session, User
from apps.users.policies import signed_in

PASSWORD_MAX = 1_000
# Two tabs that renew with one token at the same moment are no theft.
REUSE_GRACE = timedelta(seconds=10)
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


@transaction.atomic
def user_register(*, email: str, password: str, first_name: str, last_name: str) -> User:
    """A new account, and a mail to its owner once it is committed.

    Raises DomainError REQUIRED, INVALID, PASSWORD_TOO_WEAK, or UNIQUE when the address has an account.
    """
    form = Form()
    user = User(
        email=form.run(lambda: normalize_email(email), default=""),
        first_name=form.text("first_name", first_name, maximum=NAME_MAX, single_line=True),
        last_name=form.text("last_name", last_name, maximum=NAME_MAX, single_line=True, required=False),
    )
    form.run(lambda: _check_password(password, user, "password"), default=None)
    form.check()
    taken = DomainError(ErrorCode.UNIQUE, "This address has an account already.", "email")
    # The constraint is what decides; looking first keeps addresses and hashes out of PostgreSQL's log of errors.
    if User.objects.filter(email=user.email).exists():
        raise taken
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        if violated_constraint(error) != "users_user_email_key":
            raise
        raise taken from None
    enqueue_on_commit(tasks.send_welcome_mail, user.pk)
    return user


@transaction.atomic
def session_start(*, email: str, password: str, ip: str | None, user_agent: str) -> Tokens:
    """Sign in: a new session and its first tokens.

    Raises DomainError INVALID_CREDENTIALS, whether or not the address has an account and after the same work, or
    ACCOUNT_DISABLED to whoever knows the password of a locked account.
    """
    user = _user_with_address(email)
    refusal = DomainError(ErrorCode.INVALID_CREDENTIALS, "Unknown address or wrong password.")
    if user is None or len(password) > PASSWORD_MAX:
        make_password(password[:PASSWORD_MAX])
        raise refusal
    if not user.check_password(password):
        raise refusal
    if not user.is_active:
        raise DomainError(ErrorCode.ACCOUNT_DISABLED, "This account is locked.")
    # Hashing takes a while: a password that was changed meanwhile must not start a session any more.
    unchanged = User.objects.filter(pk=user.pk, password=user.password, is_active=True)
    if not unchanged.update(last_login=timezone.now()):
        raise refusal
    return _new_session(user, ip, user_agent)


def session_renew(*, refresh_token: str) -> Tokens:
    """Exchange a refresh token for the next pair; each token works once.

    Raises DomainError INVALID_TOKEN (TokenReused when that ended a session) or ACCOUNT_DISABLED.
    """
    outcome = _renew(tokens.digest(refresh_token))
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


@transaction.atomic
def _renew(digest: bytes) -> Tokens | DomainError:
    """Spend the token, then mint the next one, under the token's lock: of parallel uses exactly one wins.

    A token that was spent longer than `REUSE_GRACE` ago has been copied, so its whole session ends. The refusal is
    returned and not raised, because raising it would roll that back.
    """
    token = (
        RefreshToken.objects.select_for_update(of=("self",), no_key=True)
        .select_related("session__user")
        .filter(digest=digest)
        .first()
    )
    now = timezone.now()
    refusal = DomainError(ErrorCode.INVALID_TOKEN, NO_LONGER_VALID, "refresh_token")
    if token is None:
        return refusal
    if token.spent_at is not None:
        if now - token.spent_at <= REUSE_GRACE:
            return refusal
        Session.objects.filter(pk=token.session_id, revoked_at=None).update(revoked_at=now)
        return TokenReused(token.session_id)
    if token.expires_at <= now or token.session.revoked_at is not None:
        return refusal
    if not token.session.user.is_active:
        return DomainError(ErrorCode.ACCOUNT_DISABLED, "This account is locked.")
    token.spent_at = now
    token.save(update_fields=["spent_at"])
    session = token.session
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
    Session.objects.filter(pk=token.session_id, revoked_at=None).update(revoked_at=timezone.now())
    return token.session_id


@transaction.atomic
def password_change(
    *, actor: User | None, current_password: str, new_password: str, ip: str | None, user_agent: str
) -> Tokens:
    """Set a new password. All sessions end, and a new one starts for the caller.

    Locks the user. Raises DomainError UNAUTHENTICATED, INVALID_CREDENTIALS, INVALID or PASSWORD_TOO_WEAK.
    """
    user = User.objects.select_for_update(no_key=True).get(pk=signed_in(actor).pk)
    if len(current_password) > PASSWORD_MAX or not user.check_password(current_password):
        raise DomainError(ErrorCode.INVALID_CREDENTIALS, "This is not your password.", "current_password")
    _check_password(new_password, user, "new_password")
    user.set_password(new_password)
    user.save(update_fields=["password"])  # which ends all sessions: see apps.users.validators
    return _new_session(user, ip, user_agent)


@transaction.atomic
def profile_update(
    *, actor: User | None, first_name: str | None = None, last_name: str | None = None, bio: str | None = None
) -> User:
    """Change what is given; None leaves a field as it is.

    Locks the user. Raises DomainError UNAUTHENTICATED, REQUIRED or INVALID.
    """
    user = User.objects.select_for_update(no_key=True).get(pk=signed_in(actor).pk)
    form = Form()
    if first_name is not None:
        user.first_name = form.text("first_name", first_name, maximum=NAME_MAX, single_line=True)
    if last_name is not None:
        user.last_name = form.text("last_name", last_name, maximum=NAME_MAX, single_line=True, required=False)
    if bio is not None:
        user.bio = form.text("bio", bio, maximum=BIO_MAX, required=False)
    form.check()
    user.save(update_fields=["first_name", "last_name", "bio"])
    return user


def _check_password(password: str, user: User, field: str) -> None:
    if len(password) > PASSWORD_MAX or not is_storable(password):
        raise DomainError(ErrorCode.INVALID, f"Must be text of at most {PASSWORD_MAX:,} characters.", field)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise DomainError(ErrorCode.PASSWORD_TOO_WEAK, " ".join(error.messages), field) from None


def _user_with_address(email: str) -> User | None:
    try:
        return User.objects.filter(email=normalize_email(email)).first()
    except DomainError:
        return None


def _new_session(user: User, ip: str | None, user_agent: str) -> Tokens:
    now = timezone.now()
    session = Session.objects.create(
        user=user,
        created_at=now,
        last_used_at=now,
        expires_at=now + settings.JWT_REFRESH_LIFETIME,
        ip=ip,
        user_agent=user_agent[:USER_AGENT_MAX],
    )
    return _mint(session, now)


def _mint(session: Session, now: datetime) -> Tokens:
    refresh_token, digest = tokens.new_refresh()
    RefreshToken.objects.create(session=session, digest=digest, expires_at=session.expires_at)
    access_token, access_expires_at = tokens.issue_access(session.user_id, session.pk, now)
    return Tokens(session.user, session.pk, access_token, access_expires_at, refresh_token, session.expires_at)
