"""Mutations of accounts and sessions."""

from datetime import datetime
from typing import Self

import strawberry

from apps.core.errors import DomainError, ErrorCode
from apps.users import services
from apps.users.api.inputs import (
    ChangeEmailInput,
    ChangePasswordInput,
    DeleteAccountInput,
    LoginInput,
    LogoutInput,
    RefreshTokenInput,
    RegisterInput,
    RequestEmailChangeInput,
    RequestEmailVerificationInput,
    RequestPasswordResetInput,
    ResetPasswordInput,
    RevokeSessionInput,
    UpdateProfileInput,
    VerifyEmailInput,
)
from apps.users.api.types import SessionType, UserType
from apps.users.models import User
from apps.users.policies import can_read
from apps.users.services import Tokens
from schema.context import Info
from schema.cookies import RefreshCookie
from schema.payloads import Payload, input_key, mutation, write
from schema.types import given


@strawberry.type(description="The answer to `register`.")
class RegisterPayload(Payload):
    user: UserType | None = strawberry.field(
        default=None,
        description="The new account. Sign in with `login`. Null where addresses have to be confirmed first: the mail "
        "says whether there was an account already; and for an anonymous client where reading needs a token.",
    )


@strawberry.type
class TokensPayload(Payload):
    access_token: str | None = strawberry.field(
        default=None, description="Send it as `Authorization: Bearer …` with every request."
    )
    refresh_token: str | None = strawberry.field(
        default=None,
        description="Keep it secret, and exchange it with `refreshToken` when the access token expires. Null when it "
        "is in a cookie.",
    )
    access_token_expires_at: datetime | None = strawberry.field(
        default=None,
        description="When the access token expires: 15 minutes from now unless configured otherwise.",
    )
    refresh_token_expires_at: datetime | None = strawberry.field(
        default=None,
        description="When the refresh token expires: a day from now unless configured otherwise.",
    )
    user: UserType | None = strawberry.field(default=None, description="Whose tokens these are.")

    @classmethod
    def of_tokens(cls, tokens: Tokens, info: Info, *, in_cookie: bool) -> Self:
        """The answer to whoever goes on with `tokens`, and is their user from here on."""
        info.context.act_as(tokens.user, tokens.session_id)
        if in_cookie:
            cookie_of(info).keep(tokens.refresh_token, tokens.refresh_token_expires_at)
        return cls.of(
            access_token=tokens.access_token,
            refresh_token=None if in_cookie else tokens.refresh_token,
            access_token_expires_at=tokens.access_token_expires_at,
            refresh_token_expires_at=tokens.refresh_token_expires_at,
            user=tokens.user,
        )


@strawberry.type(description="The answer to `login`.")
class LoginPayload(TokensPayload):
    pass


@strawberry.type(description="The answer to `refreshToken`.")
class RefreshTokenPayload(TokensPayload):
    pass


@strawberry.type(description="The answer to `changePassword`: tokens of a new session, because all others have ended.")
class ChangePasswordPayload(TokensPayload):
    pass


@strawberry.type(description="The answer to `updateProfile`.")
class UpdateProfilePayload(Payload):
    user: UserType | None = strawberry.field(default=None, description="The viewer, as stored now.")


@strawberry.type
class SuccessPayload(Payload):
    success: bool | None = strawberry.field(default=None, description="True when there are no errors.")


@strawberry.type(description="The answer to `logout`.")
class LogoutPayload(SuccessPayload):
    pass


@strawberry.type(description="The answer to `requestEmailVerification`, the same whether or not a mail was sent.")
class RequestEmailVerificationPayload(SuccessPayload):
    pass


@strawberry.type(description="The answer to `requestPasswordReset`, the same whether or not the address is known.")
class RequestPasswordResetPayload(SuccessPayload):
    pass


@strawberry.type(description="The answer to `resetPassword`.")
class ResetPasswordPayload(SuccessPayload):
    pass


@strawberry.type(description="The answer to `requestEmailChange`, the same whether or not the address is taken.")
class RequestEmailChangePayload(SuccessPayload):
    pass


@strawberry.type(description="The answer to `deleteAccount`.")
class DeleteAccountPayload(SuccessPayload):
    pass


@strawberry.type(description="The answer to `verifyEmail`.")
class VerifyEmailPayload(Payload):
    user: UserType | None = strawberry.field(
        default=None, description="Whose address it is; null for an anonymous client where reading needs a token."
    )


@strawberry.type(description="The answer to `changeEmail`.")
class ChangeEmailPayload(Payload):
    user: UserType | None = strawberry.field(
        default=None, description="Who has the new address; null for an anonymous client where reading needs a token."
    )


@strawberry.type(description="The answer to `revokeSession`.")
class RevokeSessionPayload(Payload):
    session: SessionType | None = strawberry.field(default=None, description="The session that has ended.")


@strawberry.type(description="The answer to `revokeOtherSessions`.")
class RevokeOtherSessionsPayload(Payload):
    revoked_count: int | None = strawberry.field(default=None, description="How many sessions have ended.")


def cookie_of(info: Info) -> RefreshCookie:
    """Raises DomainError INVALID over a WebSocket, which answers without headers."""
    if info.context.cookie is None:
        raise DomainError(ErrorCode.INVALID, "Cookies are for HTTP.")
    return info.context.cookie


def drop_cookie(info: Info) -> None:
    """What it holds is good for nothing any more: only we can take it from the browser."""
    if info.context.cookie is not None and info.context.cookie.token is not None:
        info.context.cookie.drop()


def refresh_token_of(input: RefreshTokenInput | LogoutInput, info: Info) -> str:
    """The token that was sent, or that of the cookie. Raises DomainError REQUIRED without both."""
    token = input.refresh_token if input.refresh_token is not None else cookie_of(info).token
    if token is None:
        message = "There is neither a token nor, from a page of ours, a cookie."
        raise DomainError(ErrorCode.REQUIRED, message, "refresh_token")
    return token


def shown(user: User | None, info: Info) -> User | None:
    """`user`, but not to an anonymous client where reading needs a token: from one row it could walk to all others."""
    return user if can_read(info.context.viewer) else None


@strawberry.type
class UserMutation:
    @mutation(description="Make an account. A mail to its owner has a token that confirms the address.", is_open=True)
    async def register(self, info: Info, input: RegisterInput) -> RegisterPayload:
        user = await write(info, services.user_register, **given(input), client=info.context.client())
        return RegisterPayload.of(user=shown(user, info))

    @mutation(description="Confirm an address, with the token that was mailed to it.", is_open=True)
    async def verify_email(self, info: Info, input: VerifyEmailInput) -> VerifyEmailPayload:
        user = await write(info, services.email_verify, **given(input), client=info.context.client())
        return VerifyEmailPayload.of(user=shown(user, info))

    @mutation(description="Have another mail sent that confirms an address.", is_open=True)
    async def request_email_verification(
        self, info: Info, input: RequestEmailVerificationInput | None = None
    ) -> RequestEmailVerificationPayload:
        context, email = info.context, input.email if input else None
        await write(
            info, services.email_verification_request, actor=context.viewer, email=email, client=context.client()
        )
        return RequestEmailVerificationPayload.of(success=True)

    @mutation(description="Sign in with address and password: starts a session.", is_open=True)
    async def login(self, info: Info, input: LoginInput) -> LoginPayload:
        if input.use_cookie:
            cookie_of(info).check()
        credentials = given(input, without=["use_cookie"])
        tokens = await write(info, services.session_start, **credentials, client=info.context.client())
        return LoginPayload.of_tokens(tokens, info, in_cookie=input.use_cookie)

    @mutation(description="Exchange a refresh token for new tokens. Each refresh token works once.", is_open=True)
    async def refresh_token(self, info: Info, input: RefreshTokenInput) -> RefreshTokenPayload:
        token, client = refresh_token_of(input, info), info.context.client()
        try:
            tokens = await write(info, services.session_renew, refresh_token=token, client=client)
        except services.TokenJustSpent:
            raise  # the cookie holds the next one by now
        except DomainError as refusal:
            if isinstance(refusal, services.TokenReused):
                info.context.session_ended(refusal.session_id)
            if input.refresh_token is None:
                drop_cookie(info)
            raise
        return RefreshTokenPayload.of_tokens(tokens, info, in_cookie=input.refresh_token is None)

    @mutation(description="Sign out: ends the session that the refresh token belongs to.", is_open=True)
    async def logout(self, info: Info, input: LogoutInput) -> LogoutPayload:
        token = refresh_token_of(input, info)
        if input.refresh_token is None:
            drop_cookie(info)
        info.context.session_ended(await write(info, services.session_end, refresh_token=token))
        return LogoutPayload.of(success=True)

    @mutation(description="End one of the viewer's sessions, and its access tokens with it.")
    async def revoke_session(self, info: Info, input: RevokeSessionInput) -> RevokeSessionPayload:
        context, session_id = info.context, input_key("Session", input.id)
        session = await write(
            info, services.session_revoke, actor=context.viewer, session_id=session_id, client=context.client()
        )
        context.session_ended(session_id)
        return RevokeSessionPayload.of(session=session)

    @mutation(description="End all of the viewer's sessions but the current one.")
    async def revoke_other_sessions(self, info: Info) -> RevokeOtherSessionsPayload:
        context = info.context
        count = await write(
            info,
            services.sessions_revoke_others,
            actor=context.viewer,
            session_id=context.session_id,
            client=context.client(),
        )
        return RevokeOtherSessionsPayload.of(revoked_count=count)

    @mutation(description="Change the viewer's password. All sessions end; the answer carries tokens of a new one.")
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordPayload:
        context = info.context
        tokens = await write(
            info, services.password_change, actor=context.viewer, **given(input), client=context.client()
        )
        has_cookie = context.cookie is not None and context.cookie.token is not None
        return ChangePasswordPayload.of_tokens(tokens, info, in_cookie=has_cookie)

    @mutation(description="Have a mail sent with a token that sets a new password.", is_open=True)
    async def request_password_reset(self, info: Info, input: RequestPasswordResetInput) -> RequestPasswordResetPayload:
        await write(info, services.password_reset_request, **given(input), client=info.context.client())
        return RequestPasswordResetPayload.of(success=True)

    @mutation(description="Set a new password with the token that was mailed. All sessions end.", is_open=True)
    async def reset_password(self, info: Info, input: ResetPasswordInput) -> ResetPasswordPayload:
        context = info.context
        user_id = await write(info, services.password_reset, **given(input), client=context.client())
        context.sessions_ended(user_id)
        return ResetPasswordPayload.of(success=True)

    @mutation(description="Have a mail sent to a new address of the viewer, with a token that makes it the account's.")
    async def request_email_change(self, info: Info, input: RequestEmailChangeInput) -> RequestEmailChangePayload:
        context = info.context
        await write(info, services.email_change_request, actor=context.viewer, **given(input), client=context.client())
        return RequestEmailChangePayload.of(success=True)

    @mutation(description="Change an account's address with the token that was mailed to the new one.", is_open=True)
    async def change_email(self, info: Info, input: ChangeEmailInput) -> ChangeEmailPayload:
        user = await write(info, services.email_change, **given(input), client=info.context.client())
        return ChangeEmailPayload.of(user=shown(user, info))

    @mutation(description="End the viewer's account, for good.")
    async def delete_account(self, info: Info, input: DeleteAccountInput) -> DeleteAccountPayload:
        context = info.context
        user_id = await write(
            info, services.account_delete, actor=context.viewer, **given(input), client=context.client()
        )
        context.sessions_ended(user_id)
        drop_cookie(info)
        return DeleteAccountPayload.of(success=True)

    @mutation(description="Change the viewer's names, bio, or which mails they want.")
    async def update_profile(self, info: Info, input: UpdateProfileInput) -> UpdateProfilePayload:
        user = await write(info, services.profile_update, actor=info.context.viewer, **given(input))
        return UpdateProfilePayload.of(user=user)
