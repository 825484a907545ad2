"""Errors that a caller can cause. Services raise them; payloads and top-level errors carry their codes."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a mutation was refused. The names are the API's: clients switch on them."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    INVALID = "INVALID"
    REQUIRED = "REQUIRED"
    UNIQUE = "UNIQUE"
    CONFLICT = "CONFLICT"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    INVALID_TOKEN = "INVALID_TOKEN"
    RATE_LIMITED = "RATE_LIMITED"
    PASSWORD_TOO_WEAK = "PASSWORD_TOO_WEAK"
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"
    EMAIL_NOT_VERIFIED = "EMAIL_NOT_VERIFIED"


class DomainError(Exception):
    """A refusal that the caller is told about: a code, a sentence for people, the input field, seconds to wait.

    Raised inside an atomic service, it rolls everything back.
    """

    def __init__(self, code: ErrorCode, message: str, field: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.retry_after = retry_after


class DomainErrors(Exception):
    """Several refusals at once, so that a form can mark all its fields in one go."""

    def __init__(self, errors: list[DomainError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


def not_found(what: str, field: str | None = None) -> DomainError:
    """The one answer for a row that is missing and for one that the actor may not see."""
    return DomainError(ErrorCode.NOT_FOUND, f"{what} not found.", field)


def forbidden(message: str) -> DomainError:
    return DomainError(ErrorCode.FORBIDDEN, message)
