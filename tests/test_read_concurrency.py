"""A request reads on at most READ_CONCURRENCY connections, whatever it asks for."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.core import pool
from tests.api import Api
from tests.reads import the_pool
from tests.world import make_world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]

FIELDS = (
    "nodes { id author { id } tags { id } commentCount comments(first: 2) { nodes { id author { id } } } } totalCount"
)
LISTS = " ".join(f"a{number}: posts(first: {number}) {{ {FIELDS} }}" for number in range(1, 21))


@pytest.mark.parametrize("allowed", [1, 3])
async def test_a_request_reads_on_so_many_connections_at_most(api: Api, settings: Any, allowed: int) -> None:
    await sync_to_async(make_world)(2)
    settings.READ_CONCURRENCY, settings.READ_POOL_MAX = allowed, 20
    async with pool.opened():
        assert (await api(f"{{ {LISTS} }}")).data
        # The pool opens a connection whenever none is free.
        assert the_pool()._pool.get_stats()["pool_size"] <= allowed + 1  # it keeps one in reserve
    settings.READ_CONCURRENCY = 20
    async with pool.opened():
        assert (await api(f"{{ {LISTS} }}")).data
        assert the_pool()._pool.get_stats()["pool_size"] > allowed + 1
