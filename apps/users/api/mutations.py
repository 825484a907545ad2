"""Mutations of accounts and sessions."""

from datetime import datetime
from typing import Self

import strawberry

from apps.users import services
from apps.users.api.inputs import (
    ChangePasswordInput,
    LoginInput,
    LogoutInput,
    RefreshTokenInput,
    RegisterInput,
    UpdateProfileInput,
)
from apps.users.api.types import UserType
from apps.users.services import Tokens
from schema.context import Info
from schema.payloads import Payload, mutation, write
from schema.types import given


@strawberry.type(description="The answer to `register`.")
class RegisterPayload(Payload):
    user: UserType | None = strawberry.field(default=None, description="The new account. Sign in with `login`.")


@strawberry.type
class TokensPayload(Payload):
    access_token: str | None = strawberry.field(
        default=None, description="Send it as `Authorization: Bearer …` with every request."
    )
    refresh_token: str | None = strawberry.field(
        default=None,
        description="Keep it secret, and exchange it with `refreshToken` when the access token expires.",
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
    def of_tokens(cls, tokens: Tokens) -> Self:
        return cls.of(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
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


@strawberry.type(description="The answer to `logout`.")
class LogoutPayload(Payload):
    success: bool | None = strawberry.field(default=None, description="True when the session has ended.")


@strawberry.type(description="The answer to `updateProfile`.")
class UpdateProfilePayload(Payload):
    user: UserType | None = strawberry.field(default=None, description="The viewer, as stored now.")


@strawberry.type
class UserMutation:
    @mutation(description="Make an account. A mail greets its owner.")
    async def register(self, info: Info, input: RegisterInput) -> RegisterPayload:
        return RegisterPayload.of(user=await write(info, services.user_register, **given(input)))

    @mutation(description="Sign in with address and password: starts a session.")
    async def login(self, info: Info, input: LoginInput) -> LoginPayload:
        client = info.context.client()
        tokens = await write(info, services.session_start, **given(input), ip=client.ip, user_agent=client.user_agent)
        info.context.act_as(tokens.user, tokens.session_id)
        return LoginPayload.of_tokens(tokens)

    @mutation(description="Exchange a refresh token for new tokens. Each refresh token works once.")
    async def refresh_token(self, info: Info, input: RefreshTokenInput) -> RefreshTokenPayload:
        try:
            tokens = await write(info, services.session_renew, **given(input))
        except services.TokenReused as reuse:
            info.context.session_ended(reuse.session_id)
            raise
        info.context.act_as(tokens.user, tokens.session_id)
        return RefreshTokenPayload.of_tokens(tokens)

    @mutation(description="Sign out: ends the session that the refresh token belongs to.")
    async def logout(self, info: Info, input: LogoutInput) -> LogoutPayload:
        info.context.session_ended(await write(info, services.session_end, **given(input)))
        return LogoutPayload.of(success=True)

    @mutation(description="Change the viewer's password. All sessions end; the answer carries tokens of a new one.")
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordPayload:
        context = info.context
        client = context.client()
        tokens = await write(
            info,
            services.password_change,
            actor=context.viewer,
            **given(input),
            ip=client.ip,
            user_agent=client.user_agent,
        )
        context.act_as(tokens.user, tokens.session_id)
        return ChangePasswordPayload.of_tokens(tokens)

    @mutation(description="Change the viewer's names or bio.")
    async def update_profile(self, info: Info, input: UpdateProfileInput) -> UpdateProfilePayload:
        user = await write(info, services.profile_update, actor=info.context.viewer, **given(input))
        return UpdateProfilePayload.of(user=user)
