"""Background work of the users slice. Actors are thin: load by id, do one thing."""

from apps.core.actors import actor
from apps.users import email_tokens, mails
from apps.users.models import EmailTokenPurpose, User


@actor(once=True)
def mail_confirmation(email: str) -> None:
    """A link that confirms the address of an account. None for one that is confirmed, locked or gone."""
    user = User.objects.filter(email=email, email_verified_at=None, is_active=True).first()
    if user is not None:
        mails.send("verify_email", email, token=email_tokens.issue(user, EmailTokenPurpose.VERIFY_EMAIL, email))


@actor(once=True)
def mail_password_reset(email: str) -> None:
    """A link that sets a new password. None for an address without an account in use."""
    user = User.objects.filter(email=email, is_active=True).first()
    if user is not None:
        mails.send("reset_password", email, token=email_tokens.issue(user, EmailTokenPurpose.RESET_PASSWORD, email))


@actor(once=True)
def mail_email_change(user_id: int, email: str, password_then: str) -> None:
    """A link that makes `email` the user's address; a notice instead to whoever has an account with that already.

    None when the password, of which `password_then` is Django's fingerprint, has changed since it was asked for.
    """
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or user.get_session_auth_hash() != password_then:
        return
    if User.objects.filter(email=email).exists():
        mails.send("address_in_use", email)
    else:
        mails.send("change_email", email, token=email_tokens.issue(user, EmailTokenPurpose.CHANGE_EMAIL, email))


@actor(once=True)
def mail_notice(name: str, email: str, ip: str | None = None) -> None:
    """Tell the owner of an account what has happened to it, in the words of the mail `name`."""
    mails.send(name, email, ip=ip)
