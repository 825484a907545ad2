"""Root fields that read users."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from apps.users import selectors
from apps.users.api.inputs import UserFilter
from apps.users.api.loaders import listed_users, users_by_id
from apps.users.api.types import UserConnection, UserType
from apps.users.models import User
from schema.context import Info
from schema.engine import batch_field
from schema.errors import searchable
from schema.relay import Order, Page, PageArgs, connection_field, key_of

NEWEST = Order("user:newest", "date_joined", datetime)


def viewer(roots: Sequence[None], info: Info) -> list[User | None]:
    return [info.context.viewer]


async def user(
    roots: Sequence[None],
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The user's id.")],
) -> list[User | None]:
    return await users_by_id.load([key_of("User", id)], info)


async def users(
    roots: Sequence[None],
    info: Info,
    page: PageArgs,
    filter: Annotated[UserFilter | None, strawberry.argument(description="Which users to list.")] = None,
) -> list[Page[User]]:
    search = searchable("search", filter.search if filter else None)
    narrow = (lambda users: selectors.named(users, search)) if search else None
    return [await listed_users.page(info, page, NEWEST, narrow, search)]


@strawberry.type
class UserQuery:
    viewer: UserType | None = batch_field(viewer, description="Who is asking; null for an anonymous request.")
    user: UserType | None = batch_field(user, description="A user by id; null when there is none.")
    users: UserConnection = connection_field(
        users, description="All accounts, newest first; locked ones only for admins and the staff."
    )
