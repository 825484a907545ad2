"""Every field of every type is read on populated data: no statement may come from anywhere but `apps.core.rows`.

What Django would load lazily (a relation, a deferred column) is a statement of its own for each row.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from graphql import GraphQLObjectType

from apps.core import rows
from apps.posts.models import Post
from apps.users.models import User
from tests.api import Api
from tests.make import gid, make_user
from tests.selections import INTERNAL_TYPES, TYPES, node_types, root_fields, selection_of, selection_of_type
from tests.world import World, make_world

pytestmark = pytest.mark.django_db

# Who may send a statement.
READERS = {(rows.__file__, "fetch_in_transaction")}
LAZY = {"refresh_from_db", "get_object", "_prefetch_related_objects"}


@dataclass
class Watch:
    statements: int = 0
    strays: list[str] = field(default_factory=list)


@contextmanager
def watched(database: BaseDatabaseWrapper) -> Iterator[Watch]:
    """Note the statements that come from elsewhere, or from inside a reader by way of Django's lazy loading."""
    watch = Watch()

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        watch.statements += 1
        frames = [(frame.filename, frame.name) for frame in traceback.extract_stack()]
        names = {name for _, name in frames}
        if not READERS.intersection(frames) or LAZY & names:
            watch.strays.append(sql)
        return execute(sql, params, many, context)

    with database.execute_wrapper(look):
        yield watch


@pytest.fixture
def database(db: None) -> BaseDatabaseWrapper:
    """The connection that the application uses during the test; inside a coroutine Django would give another."""
    return connections["default"]


def row_of(world: World, type_name: str) -> Any:
    rows = {
        "Comment": world.replies[0],
        "Post": world.posts[0],
        "Session": world.sessions[0],
        "Tag": world.tags[0],
        "User": world.writers[0],
    }
    assert type_name in rows, f"here a row of the world is wanted for the type {type_name}; tests/world.py makes them"
    return rows[type_name]


async def viewers(api: Api, world: World) -> dict[str, Api]:
    staff = await sync_to_async(User.objects.create_user)("staff@example.com", first_name="Staff", is_staff=True)
    editor = await sync_to_async(make_user)(role="editor")
    return {
        "anonymous": api,
        "owner": await api.as_(world.writers[0]),
        "editor": await api.as_(editor),
        "staff": await api.as_(staff),
    }


@pytest.mark.parametrize("type_name", node_types())
async def test_no_field_is_loaded_lazily(api: Api, database: BaseDatabaseWrapper, type_name: str) -> None:
    world = await sync_to_async(make_world)(2)
    row = row_of(world, type_name)
    query = f'{{ node(id: "{gid(row)}") {{ ... on {type_name} {selection_of_type(type_name, 2)} }} }}'
    for name, viewer in (await viewers(api, world)).items():
        with watched(database) as watch:
            answer = await viewer(query)
        assert (answer.data["node"] is None) == (type_name == "Session" and name != "owner")
        assert (watch.statements, watch.strays) == (answer.statements, [])


@pytest.mark.parametrize("type_name", node_types())
async def test_a_field_that_is_asked_for_alone_has_what_it_reads(api: Api, type_name: str) -> None:
    """Beside others, what its resolver reads and does not name in `@reads` may be loaded for one of them."""
    world = await sync_to_async(make_world)(2)
    row, owner = row_of(world, type_name), (await viewers(api, world))["owner"]
    kind = TYPES[type_name]
    assert isinstance(kind, GraphQLObjectType)
    for name, selected in kind.fields.items():
        query = f'{{ node(id: "{gid(row)}") {{ ... on {type_name} {{ {name} {selection_of(selected, 0)} }} }} }}'
        assert list((await owner(query)).data["node"]) == [name]


async def test_no_root_field_is_loaded_lazily(api: Api, database: BaseDatabaseWrapper) -> None:
    world = await sync_to_async(make_world)(2)
    arguments = {
        "node": f'(id: "{gid(world.posts[0])}")',
        "nodes": f'(ids: ["{gid(world.posts[0])}", "{gid(world.writers[0])}"])',
        "user": f'(id: "{gid(world.writers[0])}")',
        "post": f'(slug: "{world.posts[0].slug}")',
        "comment": f'(id: "{gid(world.comments[0])}")',
    }
    for viewer in (await viewers(api, world)).values():
        for name, root_field in root_fields().items():
            with watched(database) as watch:
                answer = await viewer(f"{{ {name}{arguments.get(name, '')} {selection_of(root_field, 1)} }}")
            assert answer.data[name] or (name == "viewer" and viewer is api)
            assert (watch.statements, watch.strays) == (answer.statements, [])


def test_the_walk_reaches_every_type_of_the_api() -> None:
    types = {kind.name for kind in TYPES.values() if isinstance(kind, GraphQLObjectType)}
    answers = {name for name in types if name.endswith("Payload")} | {"UserError"}
    lists = {name for name in types if name.endswith(("Connection", "Edge"))} | {"PageInfo"}
    introspection = {name for name in types if name.startswith("__")}
    assert types - answers - lists - introspection - INTERNAL_TYPES == set(node_types())


def test_a_lazy_load_would_be_found(database: BaseDatabaseWrapper) -> None:
    world = make_world(2)
    post = Post.objects.defer("body").get(pk=world.posts[0].pk)
    with watched(database) as column:
        assert post.body == "Text of the world."
    with watched(database) as relation:
        assert post.author == world.writers[0]
    assert (len(column.strays), len(relation.strays)) == (1, 1)
