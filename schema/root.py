"""The schema: what the slices bring, merged. The only module that knows them all."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from django.conf import settings
from strawberry.tools import merge_types

from apps.comments.api.loaders import comments_by_id
from apps.comments.api.mutations import CommentMutation
from apps.comments.api.queries import CommentQuery
from apps.comments.api.subscriptions import CommentSubscription
from apps.comments.api.types import CommentType
from apps.posts.api.loaders import posts_by_id, tags_by_id
from apps.posts.api.mutations import PostMutation
from apps.posts.api.queries import PostQuery
from apps.posts.api.subscriptions import PostSubscription
from apps.posts.api.types import PostType, TagType
from apps.users.api.loaders import sessions_by_id, users_by_id
from apps.users.api.mutations import UserMutation
from apps.users.api.queries import UserQuery
from apps.users.api.types import SessionType, UserType
from schema.build import build_schema
from schema.context import Info
from schema.engine import batch_field
from schema.errors import bad_input
from schema.loaders import ByKey
from schema.relay import parse_global_id
from schema.types import Node

LOADERS: dict[str, ByKey[Any]] = {
    "User": users_by_id,
    "Session": sessions_by_id,
    "Post": posts_by_id,
    "Tag": tags_by_id,
    "Comment": comments_by_id,
}


async def node(
    roots: Sequence[None],
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Any id.")],
) -> list[Any]:
    return [await _load(id, info)]


async def nodes(
    roots: Sequence[None],
    info: Info,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="Ids of any types, at most a page of them.")],
) -> list[Any]:
    if len(ids) > settings.GRAPHQL_MAX_PAGE_SIZE:
        raise bad_input(f"At most {settings.GRAPHQL_MAX_PAGE_SIZE} ids at once.")
    found = await asyncio.gather(*(_load(id, info) for id in ids), return_exceptions=True)
    return [found]


async def _load(id: str, info: Info) -> Any:
    type_name, key = parse_global_id(id)
    if type_name not in LOADERS:
        raise bad_input("This is not an id of this API.")
    [row] = await LOADERS[type_name].load([key], info)
    return row


@strawberry.type
class NodeQuery:
    node: Node | None = batch_field(
        node, description="Whatever has this id; null when there is none, or none that you may see."
    )
    nodes: list[Node | None] = batch_field(nodes, description="The same for many ids at once, in their order.")


def _merged(name: str, parts: tuple[type, ...], *, description: str) -> type:
    return strawberry.type(merge_types(name, parts), description=description)


schema = build_schema(
    query=_merged(
        "Query",
        (NodeQuery, UserQuery, PostQuery, CommentQuery),
        description="What can be read. A row that you may not see is answered exactly like one that is missing.",
    ),
    mutation=_merged(
        "Mutation",
        (UserMutation, PostMutation, CommentMutation),
        description="What can be changed. What the caller can put right comes back in the payload's `errors`.",
    ),
    subscription=_merged(
        "Subscription",
        (PostSubscription, CommentSubscription),
        description="What can be told as soon as it happens, over a WebSocket or as server-sent events. Whether you "
        "may see it is looked at for each event.",
    ),
    types=[UserType, SessionType, PostType, TagType, CommentType],
)
