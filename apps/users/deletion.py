"""How an account ends. Slices above this one say what becomes of theirs, because this one does not know them."""

import secrets
from collections.abc import Callable

from django.conf import settings
from django.contrib.admin.models import LogEntry

from apps.users.models import Session, User

NAME_OF_THE_DELETED = "Deleted user"

# Called with the user and whether what they wrote goes, inside the transaction that ends the account; those of the
# slices above first, as what they have hangs below.
Ending = Callable[[User, bool], None]
_endings: list[Ending] = []


def at_the_end(ending: Ending) -> None:
    """Have `ending` called for each account that ends. For the `ready` of an AppConfig."""
    _endings.append(ending)


def delete(user: User) -> None:
    """End the account of `user`, whose row the caller has locked: nobody can sign in, and nobody reads who it was.

    The row stays: other people's replies hang below what it wrote. So do its security events, for as long as all do.
    """
    for ending in reversed(_endings):
        ending(user, settings.ACCOUNT_DELETION == "erase")
    # Their rows go with `manage.py purge`: whoever renews one at this moment holds what would have to be deleted.
    Session.objects.filter(user=user).end()
    user.email_tokens.all().delete()
    # The admin's history names what was changed there.
    history = LogEntry.objects.filter(content_type__app_label="users", content_type__model="user")
    history.filter(object_id=str(user.pk)).update(object_repr=NAME_OF_THE_DELETED)
    user.groups.clear()
    user.user_permissions.clear()
    # Nobody can have taken it before.
    user.email = f"deleted-{user.pk}-{secrets.token_hex(8)}@deleted.invalid"
    user.first_name, user.last_name, user.bio = NAME_OF_THE_DELETED, "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.email_verified_at = user.last_login = None
    user.set_unusable_password()
    user.save()
