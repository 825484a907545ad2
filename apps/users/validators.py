"""What Django asks of a password, and tells when one has changed."""

from django.core.exceptions import ValidationError

from apps.users import email_tokens
from apps.users.hashing import PASSWORD_MAX
from apps.users.models import EmailTokenPurpose, Session, User


class NotTooLong:
    """Refuses what nobody could sign in with. The API says so itself, with a code of its own."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raises ValidationError beyond PASSWORD_MAX characters."""
        if len(password) > PASSWORD_MAX:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password must have at most {PASSWORD_MAX:,} characters."


class SessionsEndWithThePassword:
    """Ends all sessions of a user whose new password is saved, wherever that happens: API, admin or command.

    With them go the links that were mailed to get into the account: what is old opens nothing any more.

    A validator, because those are what Django tells of it. It refuses nothing.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Any password will do."""

    def password_changed(self, password: str, user: User) -> None:
        """Two statements. A hash that is only renewed with new parameters does not come here."""
        Session.objects.filter(user=user).end()
        email_tokens.withdraw(user, EmailTokenPurpose.RESET_PASSWORD, EmailTokenPurpose.CHANGE_EMAIL)

    def get_help_text(self) -> str:
        return "A new password signs you out everywhere."
