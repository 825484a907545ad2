"""Inputs of the users slice."""

import strawberry

NEW_PASSWORD = "10 characters at least and 1,000 at most; common ones and one's own name are refused."


@strawberry.input(description="A new account.")
class RegisterInput:
    email: str = strawberry.field(description="The name to sign in with. Case makes no difference.")
    password: str = strawberry.field(description=NEW_PASSWORD)
    first_name: str = strawberry.field(description="Given name, at most 100 characters.")
    last_name: str = strawberry.field(default="", description="Family name, at most 100 characters; may be empty.")


@strawberry.input(description="Who signs in.")
class LoginInput:
    email: str = strawberry.field(description="The account's address.")
    password: str = strawberry.field(description="The account's password.")
    use_cookie: bool = strawberry.field(
        default=False,
        description="For browsers: keep the refresh token in a cookie that scripts cannot read. `refreshToken` is null "
        "in the answer then, and left out of what is sent.",
    )


@strawberry.input(description="The token to renew with.")
class RefreshTokenInput:
    refresh_token: str | None = strawberry.field(
        default=None, description="The last one that was handed out; it works once. Left out or null, the cookie's."
    )


@strawberry.input(description="The session to end.")
class LogoutInput:
    refresh_token: str | None = strawberry.field(
        default=None, description="A refresh token of the session, spent or not. Left out or null, the cookie's."
    )


@strawberry.input(description="A token from a mail.")
class VerifyEmailInput:
    token: str = strawberry.field(description="The one that was mailed to the address; it works once.")


@strawberry.input(description="Whose address is to be confirmed.")
class RequestEmailVerificationInput:
    email: str | None = strawberry.field(
        default=None, description="For whoever cannot sign in yet; left out or null, it is the viewer's."
    )


@strawberry.input(description="Which session ends.")
class RevokeSessionInput:
    id: strawberry.ID = strawberry.field(description="One of the viewer's sessions, the current one too.")


@strawberry.input(description="Whose password is forgotten.")
class RequestPasswordResetInput:
    email: str = strawberry.field(description="The account's address.")


@strawberry.input(description="A new password for whoever got the mail.")
class ResetPasswordInput:
    token: str = strawberry.field(description="The one that was mailed; it works once.")
    new_password: str = strawberry.field(description=NEW_PASSWORD)


@strawberry.input(description="Another address for the viewer's account.")
class RequestEmailChangeInput:
    password: str = strawberry.field(description="The account's password.")
    new_email: str = strawberry.field(description="The address that gets the mail.")


@strawberry.input(description="A token from a mail to the new address.")
class ChangeEmailInput:
    token: str = strawberry.field(description="The one that was mailed to the new address; it works once.")


@strawberry.input(description="The end of the viewer's account.")
class DeleteAccountInput:
    password: str = strawberry.field(description="The account's password.")


@strawberry.input(description="A new password for the viewer.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The one that is valid now.")
    new_password: str = strawberry.field(description=NEW_PASSWORD)


@strawberry.input(description="What changes in the viewer's profile. What is left out or null stays as it is.")
class UpdateProfileInput:
    first_name: str | None = strawberry.field(default=None, description="Given name, at most 100 characters.")
    last_name: str | None = strawberry.field(default=None, description="Family name, at most 100 characters.")
    bio: str | None = strawberry.field(default=None, description="Plain text, at most 2,000 characters.")
    notify_of_comments: bool | None = strawberry.field(
        default=None, description="Whether a mail tells the viewer of comments on their posts."
    )
    notify_of_replies: bool | None = strawberry.field(
        default=None, description="Whether a mail tells the viewer of replies to their comments."
    )


@strawberry.input(description="Which users to list. Everything given has to match.")
class UserFilter:
    search: str | None = strawberry.field(
        default=None, description="A part of the name, regardless of case; at most 250 characters."
    )
