"""No field takes more statements for more rows, and the numbers stand in `tests/statement_table.py`."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from apps.users.models import Session
from tests.api import Answer, Api
from tests.make import access_token, gid
from tests.selections import root_fields, selection_of
from tests.statement_table import BUDGETS, FEED_BUDGET
from tests.world import World, make_world

pytestmark = pytest.mark.django_db

FEED = """{
  posts(first: 50) {
    nodes {
      id title slug publishedAt author { id firstName lastName } tags { name } commentCount
      comments(first: 10) { nodes { id body createdAt author { id firstName lastName } } }
    }
  }
}"""


def ids_of_all_types(world: World) -> list[str]:
    size = len(world.posts)
    lists = (world.writers, world.posts, world.tags, world.comments[:size], world.sessions[:2])
    return [gid(row) for rows in lists for row in rows]


# The arguments that a root field needs to have something to give.
ARGUMENTS: dict[str, Callable[[World], str]] = {
    "node": lambda world: f'id: "{gid(world.posts[0])}"',
    "nodes": lambda world: "ids: [" + ", ".join(f'"{id}"' for id in ids_of_all_types(world)) + "]",
    "user": lambda world: f'id: "{gid(world.writers[0])}"',
    "users": lambda world: "first: 50",
    "post": lambda world: f'id: "{gid(world.posts[0])}"',
    "comment": lambda world: f'id: "{gid(world.comments[0])}"',
}


async def ask(api: Api, world: World, name: str, levels: int) -> Answer:
    """Everything on the rows of the root field `name`, and on `levels` relations further down."""
    arguments = ARGUMENTS[name](world) if name in ARGUMENTS else ""
    field = f"{name}({arguments})" if arguments else name
    answer = await api(f"{{ {field} {selection_of(root_fields()[name], levels)} }}")
    assert answer.data[name]
    return answer


async def as_writer(api: Api, world: World) -> Api:
    """The API as the first writer, who has sessions already and gets no further one."""
    return api.with_token(await sync_to_async(_token)(world))


def _token(world: World) -> str:
    token = access_token(world.writers[0])
    Session.objects.filter(pk=world.sessions[1].pk).delete()
    return token


def test_every_root_field_has_a_budget() -> None:
    assert BUDGETS.keys() == root_fields().keys()


@pytest.mark.parametrize("size", [2, 20])
async def test_statements_of_root_fields_do_not_grow_with_the_rows(api: Api, size: int, settings: Any) -> None:
    settings.GRAPHQL_MAX_COST = 1_000_000  # everything at once is more than anybody may ask for
    world = await sync_to_async(make_world)(size)
    writer = await as_writer(api, world)
    answers = {name: [await ask(writer, world, name, levels) for levels in (0, 1)] for name in BUDGETS}
    assert {name: tuple(answer.statements for answer in both) for name, both in answers.items()} == BUDGETS
    assert answers["posts"][1].rows > size * size


async def test_anonymous_requests_take_no_statement_to_find_out_who_asks(api: Api) -> None:
    world = await sync_to_async(make_world)(2)
    answer = await ask(api, world, "posts", 0)
    assert answer.statements == BUDGETS["posts"].rows - 1
    assert (await api("{ viewer { id } }")).statements == 0


@pytest.mark.parametrize("size", [2, 20])
async def test_the_nested_feed_keeps_its_budget(api: Api, size: int) -> None:
    world = await sync_to_async(make_world)(size)
    anonymous = await api(FEED)
    nodes = anonymous.data["posts"]["nodes"]
    assert len(nodes) == size
    assert all(len(node["comments"]["nodes"]) == min(size, 10) for node in nodes)
    assert anonymous.statements == 6
    signed_in = await (await as_writer(api, world))(FEED)
    assert signed_in.statements == FEED_BUDGET


async def test_the_same_relation_through_different_paths_is_read_once(api: Api) -> None:
    await sync_to_async(make_world)(4)
    query = "{ a: posts { nodes { author { bio } } } b: posts(orderBy: OLDEST) { nodes { author { %s } } } }"
    answer = await api(query % "bio")
    assert answer.data["a"]["nodes"]
    assert answer.statements == 3
    # Other columns are other rows to a loader.
    apart = 4 if settings.GRAPHQL_ENGINE == "breadth" else 3
    assert (await api(query % "firstName")).statements == apart


@pytest.mark.parametrize("again", ["posts", "posts(first: 20)", 'posts(filter: {search: " "})', "posts(filter: null)"])
async def test_a_list_that_is_asked_for_often_is_read_once(api: Api, again: str) -> None:
    await sync_to_async(make_world)(2)
    selected = "{ totalCount nodes { id body } }"
    answer = await api(f"{{ posts {selected} {' '.join(f'a{place}: {again} {selected}' for place in range(9))} }}")
    assert answer.statements == 2
    lists = list(answer.data.values())
    assert lists == [lists[0]] * 10
    assert len(lists[0]["nodes"]) == lists[0]["totalCount"] > 0


async def test_a_total_is_counted_only_when_selected(api: Api) -> None:
    await sync_to_async(make_world)(2)
    fields = {"posts", "users", "tags"}
    for name in fields:
        assert (await api(f"{{ {name} {{ nodes {{ id }} }} }}")).statements == 1
        assert (await api(f"{{ {name} {{ totalCount }} }}")).statements == 2
    nested = "{ posts { nodes { comments { nodes { id } %s } } } }"
    assert (await api(nested % "")).statements == 2
    assert (await api(nested % "totalCount")).statements == 3
