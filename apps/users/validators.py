"""What Django asks of a password, and tells when one has changed."""

from apps.users import email_tokens
from apps.users.models import EmailTokenPurpose, Session, User


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
