"""Mutations: what a caller can get wrong comes back in the payload's `errors`, and its object is then null."""

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ParamSpec, Self, TypeVar, get_args

import strawberry
from strawberry.types import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from apps.core.db import in_one_go
from apps.core.errors import DomainError, DomainErrors, ErrorCode
from schema.context import Info
from schema.enums import api_enum
from schema.errors import RequestError
from schema.gate import OPEN
from schema.relay import key_of

P = ParamSpec("P")
R = TypeVar("R")

api_enum(
    ErrorCode,
    "Why a mutation was refused. Switch on this, not on the message.",
    {
        ErrorCode.UNAUTHENTICATED: "Sign in first.",
        ErrorCode.FORBIDDEN: "You may not do this.",
        ErrorCode.NOT_FOUND: "It does not exist, or you may not see it.",
        ErrorCode.INVALID: "The value of `field` is not acceptable.",
        ErrorCode.REQUIRED: "`field` is missing or blank.",
        ErrorCode.UNIQUE: "Somebody has this value of `field` already.",
        ErrorCode.CONFLICT: "It has changed meanwhile, or is in a state that does not allow this. Read it again.",
        ErrorCode.INVALID_CREDENTIALS: "No account has this address and password.",
        ErrorCode.INVALID_TOKEN: "The token is unknown, expired, used or revoked.",
        ErrorCode.RATE_LIMITED: "Too many attempts; try again in `retryAfter` seconds.",
        ErrorCode.PASSWORD_TOO_WEAK: "The message says what the password lacks.",
        ErrorCode.ACCOUNT_DISABLED: "The account exists, but is locked.",
        ErrorCode.EMAIL_NOT_VERIFIED: "The address has to be confirmed first: see `requestEmailVerification`.",
    },
)


@strawberry.type(description="One thing that the caller can put right.")
class UserError:
    code: ErrorCode = strawberry.field(description="What kind of refusal it is.")
    message: str = strawberry.field(description="A sentence in English, fit to be shown.")
    field: list[str] | None = strawberry.field(
        default=None, description="The input field that it is about, as a path; null when it is about none."
    )
    retry_after: int | None = strawberry.field(
        default=None,
        description="After how many seconds another attempt makes sense; null when waiting is no help.",
    )


@strawberry.type
class Payload:
    """Base of every mutation's answer. Other fields of a payload are null when there are errors."""

    errors: list[UserError] = strawberry.field(
        default_factory=list,
        description="What the caller got wrong; empty when the mutation was carried out.",
    )

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """The answer to a mutation that was carried out. Rows may stand for the types of the API."""
        return cls(**fields)


def mutation(*, description: str, is_open: bool = False) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """A mutation whose resolver is annotated with its Payload, and whose DomainErrors become `errors`.

    One that `is_open` is for anonymous clients too where PUBLIC_READS is false. Its payload must not lead them to rows.
    The argument `input` is described as its type is.
    """

    def decorate(resolver: Callable[..., Awaitable[Any]]) -> Any:
        annotations = resolver.__annotations__
        payload: type[Payload] = annotations["return"]
        if "input" in annotations:
            described = strawberry.argument(description=_description_of(annotations["input"]))
            annotations["input"] = Annotated[annotations["input"], described]

        @functools.wraps(resolver)
        async def resolve(*args: Any, **kwargs: Any) -> Any:
            try:
                return await resolver(*args, **kwargs)
            except DomainErrors as refusals:
                return payload(errors=[_user_error(error) for error in refusals.errors])
            except DomainError as refusal:
                return payload(errors=[_user_error(refusal)])

        return strawberry.mutation(resolver=resolve, description=description, metadata={OPEN: is_open})

    return decorate


def _description_of(input_type: Any) -> str | None:
    """That of an input, which may be left out: `SomeInput | None`."""
    input_type, *_ = get_args(input_type) or [input_type]
    return get_object_definition(input_type, strict=True).description


def _user_error(error: DomainError) -> UserError:
    field = [to_camel_case(error.field)] if error.field else None
    return UserError(code=error.code, message=error.message, field=field, retry_after=error.retry_after)


async def write(info: Info, service: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What the sync, atomic `service` gives; what the request has loaded before is read anew afterwards."""
    try:
        return await in_one_go(service, *args, **kwargs)
    finally:
        info.context.batchers.clear()


def input_key(type_name: str, value: str, field: str = "id") -> int:
    """The key in the global id `value` of an input. Raises DomainError INVALID unless it is a `type_name`'s."""
    try:
        return key_of(type_name, value)
    except RequestError as error:
        raise DomainError(ErrorCode.INVALID, str(error), field) from None
