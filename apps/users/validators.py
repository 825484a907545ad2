"""What Django asks of a password, and tells when one has changed."""

from django.utils import timezone

from apps.users.models import Session, User


class SessionsEndWithThePassword:
    """Ends all sessions of a user whose new password is saved, wherever that happens: API, admin or command.

    A validator, because those are what Django tells of it. It refuses nothing.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Any password will do."""

    def password_changed(self, password: str, user: User) -> None:
        """One statement. A hash that is only renewed with new parameters does not come here."""
        Session.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())

    def get_help_text(self) -> str:
        return "A new password signs you out everywhere."
