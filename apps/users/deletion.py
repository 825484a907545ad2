"""How an account ends. Slices above this one say what becomes of theirs, because this one does not know them."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.admin.models import LogEntry

from apps.users.models import User

NAME_OF_THE_DELETED = "Deleted user"

# Called with the user and whether what they wrote goes, inside the transaction that ends the account.
Ending = Callable[[User, bool], None]
_endings: list[Ending] = []


def at_the_end(ending: Ending) -> None:
    """Have `ending` called for each account that ends. For the `ready` of an AppConfig."""
    _endings.append(ending)


def delete(user: User) -> None:
    """End the account of `user`, whose row the caller has locked: nobody can sign in, and nobody reads who it was.

    The row stays: other people's replies hang below what it wrote. So do its security events, for as long as all do.
    """
    for ending in _endings:
        ending(user, settings.ACCOUNT_DELETION == "erase")
    user.sessions.all().delete()
    user.email_tokens.all().delete()
    # The admin's history names what was changed there.
    LogEntry.objects.filter(content_type__model="user", object_id=str(user.pk)).update(object_repr=NAME_OF_THE_DELETED)
    user.groups.clear()
    user.user_permissions.clear()
    user.email = f"deleted-{user.pk}@deleted.invalid"
    user.first_name, user.last_name, user.bio = NAME_OF_THE_DELETED, "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.email_verified_at = user.last_login = None
    user.set_unusable_password()
    user.save()
