"""The one form in which an e-mail address is stored."""

import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from apps.core.errors import DomainError, ErrorCode

EMAIL_MAX = 254
validate = EmailValidator(allowlist=[])


def normalize_email(value: str, field: str = "email") -> str:
    """`value` in lower-case ASCII without surrounding white space, its domain in IDNA form.

    Two addresses that differ only in case are one account, so the table holds nothing else (a CHECK enforces it).
    A local part outside ASCII is refused: "K" the Kelvin sign lower-cases to "k" and would let a stranger in. So is one
    in quotes, which may hold what mail programs read as lines of their own, and a domain that is a number or none.

    Raises DomainError about `field`: REQUIRED when blank, INVALID when it is no address.
    """
    value = value.strip()
    if not value:
        raise DomainError(ErrorCode.REQUIRED, "Must not be blank.", field)
    refusal = DomainError(ErrorCode.INVALID, "Must be an e-mail address.", field)
    local, _, domain = value.rpartition("@")
    # What is too long is not looked at: IDNA takes its time over a megabyte.
    if len(value) > EMAIL_MAX or not local.isascii() or local.startswith('"') or domain.startswith("["):
        raise refusal
    try:
        address = f"{local}@{unicodedata.normalize('NFC', domain).encode('idna').decode('ascii')}".lower()
        validate(address)
    except (UnicodeError, ValidationError):
        raise refusal from None
    if len(address) > EMAIL_MAX:
        raise refusal
    return address


def address_of(value: str) -> str:
    """`value` in that form, or "" when it is no address: nobody has that one."""
    try:
        return normalize_email(value)
    except DomainError:
        return ""
