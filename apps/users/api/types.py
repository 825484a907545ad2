"""Types of the users slice."""

from strawberry import auto

from apps.users import models
from apps.users.api import loaders
from schema.engine import batch_field
from schema.relay import Connection
from schema.types import Node, long_text, model_type


@model_type(models.Session, description="A sign-in on one device.")
class SessionType(Node):
    created_at: auto
    last_used_at: auto
    user_agent: auto
    ip: auto
    current: bool = batch_field(loaders.are_current, description="Whether this request belongs to it.")


@model_type(models.User, description="A person who writes or comments.")
class UserType(Node):
    first_name: auto
    last_name: auto
    full_name: str = batch_field(loaders.full_names, description="First and last name, as they are shown.")
    bio: auto = long_text(models.BIO_MAX)
    date_joined: auto
    email: str | None = batch_field(
        loaders.emails, description="The address; null for everybody but the user, admins and the staff."
    )
    email_verified: bool | None = batch_field(
        loaders.emails_verified,
        description="Whether the address has been confirmed; null for everybody but the user, admins and the staff.",
    )
    notify_of_comments: bool | None = batch_field(
        loaders.notified_of_comments,
        description="Whether a mail tells the user of comments on their posts, once the address is confirmed; null for "
        "everybody else.",
    )
    notify_of_replies: bool | None = batch_field(
        loaders.notified_of_replies,
        description="Whether a mail tells the user of replies to their comments, once the address is confirmed; null "
        "for everybody else.",
    )
    sessions: list[SessionType] | None = batch_field(
        loaders.own_sessions,
        description="Where the user is signed in, last used first; null for everybody else.",
    )


UserConnection = Connection[UserType]
