"""Writes of accounts and sessions."""

from apps.users.services.accounts import account_delete, profile_update, user_register
from apps.users.services.addresses import (
    email_change,
    email_change_request,
    email_verification_request,
    email_verify,
)
from apps.users.services.passwords import password_change, password_reset, password_reset_request
from apps.users.services.purging import purges, unconfirmed_accounts_purge
from apps.users.services.sessions import (
    TokenJustSpent,
    TokenReused,
    Tokens,
    session_end,
    session_renew,
    session_revoke,
    session_start,
    sessions_revoke_others,
)

__all__ = [
    "TokenJustSpent",
    "TokenReused",
    "Tokens",
    "account_delete",
    "email_change",
    "email_change_request",
    "email_verification_request",
    "email_verify",
    "password_change",
    "password_reset",
    "password_reset_request",
    "profile_update",
    "purges",
    "session_end",
    "session_renew",
    "session_revoke",
    "session_start",
    "sessions_revoke_others",
    "unconfirmed_accounts_purge",
    "user_register",
]
