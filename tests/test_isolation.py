"""Async tests leave nothing behind: two tests write the same address, and neither finds the other's."""

import pytest

from apps.users.models import User
from tests.api import Api
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db

EMAIL = "only@example.com"


@pytest.mark.parametrize("run", [1, 2])
async def test_rows_of_one_async_test_are_gone_in_the_next(api: Api, make: Make, run: int) -> None:
    assert await User.objects.acount() == 0
    await make.user(email=EMAIL)
    registered = await api.payload("register", "user { id }", email=f"other{EMAIL}", password=PASSWORD, firstName="O")
    assert registered["user"] is not None
    assert await User.objects.acount() == 2


def test_rows_of_async_tests_are_gone_in_a_sync_one() -> None:
    assert not User.objects.exists()
