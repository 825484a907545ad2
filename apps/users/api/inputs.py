"""Inputs of the users slice."""

import strawberry


@strawberry.input(description="A new account.")
class RegisterInput:
    email: str = strawberry.field(description="The name to sign in with. Case makes no difference.")
    password: str = strawberry.field(description="10 characters at least; common ones and one's own name are refused.")
    first_name: str = strawberry.field(description="Given name, at most 100 characters.")
    last_name: str = strawberry.field(default="", description="Family name, at most 100 characters; may be empty.")


@strawberry.input(description="Who signs in.")
class LoginInput:
    email: str = strawberry.field(description="The account's address.")
    password: str = strawberry.field(description="The account's password.")


@strawberry.input(description="The token to renew with.")
class RefreshTokenInput:
    refresh_token: str = strawberry.field(description="The last one that was handed out; it works once.")


@strawberry.input(description="The session to end.")
class LogoutInput:
    refresh_token: str = strawberry.field(description="A refresh token of the session, spent or not.")


@strawberry.input(description="A new password for the viewer.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The one that is valid now.")
    new_password: str = strawberry.field(
        description="10 characters at least; common ones and one's own name are refused."
    )


@strawberry.input(description="What changes in the viewer's profile. What is left out or null stays as it is.")
class UpdateProfileInput:
    first_name: str | None = strawberry.field(default=None, description="Given name, at most 100 characters.")
    last_name: str | None = strawberry.field(default=None, description="Family name, at most 100 characters.")
    bio: str | None = strawberry.field(default=None, description="Plain text, at most 2,000 characters.")


@strawberry.input(description="Which users to list. Everything given has to match.")
class UserFilter:
    search: str | None = strawberry.field(
        default=None, description="A part of the name, regardless of case; at most 250 characters."
    )
