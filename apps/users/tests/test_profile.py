from typing import Any

import pytest

from apps.users.models import User
from tests.api import Api
from tests.make import Make, gid

pytestmark = pytest.mark.django_db


async def test_changes_what_is_given_and_leaves_the_rest(api: Api, make: Make) -> None:
    user = await make.user(first_name="Ann", last_name="Lee", bio="Writes.")
    client = await api.as_(user)
    for given, expected in (
        ({"bio": " Reads. "}, ("Ann", "Lee", "Reads.")),
        ({"firstName": "Anna", "bio": None}, ("Anna", "Lee", "Reads.")),
        ({"lastName": ""}, ("Anna", "", "Reads.")),
        ({"bio": "", "lastName": "Li"}, ("Anna", "Li", "")),
        ({}, ("Anna", "Li", "")),
    ):
        payload = await client.payload("updateProfile", "user { firstName lastName bio }", **given)
        assert (payload["errors"], tuple(payload["user"].values())) == ([], expected)
        await user.arefresh_from_db()
        assert (user.first_name, user.last_name, user.bio) == expected


async def test_mails_are_wanted_until_they_are_switched_off_and_only_their_owner_sees_that(
    api: Api, make: Make
) -> None:
    user = await make.user()
    client, staff = await api.as_(user), await api.as_(await make.user(is_staff=True, role="admin"))
    wanted = "query($id: ID!) { user(id: $id) { notifyOfComments notifyOfReplies } }"
    for given, expected in (
        ({}, (True, True)),
        ({"notifyOfReplies": False}, (True, False)),
        ({"notifyOfComments": False, "notifyOfReplies": None}, (False, False)),
        ({"notifyOfReplies": True, "bio": "x"}, (False, True)),
    ):
        payload = await client.payload("updateProfile", "user { notifyOfComments notifyOfReplies }", **given)
        assert (payload["errors"], tuple(payload["user"].values())) == ([], expected)
        assert tuple((await client(wanted, id=gid(user))).data["user"].values()) == expected
    for other in (api, staff):
        assert tuple((await other(wanted, id=gid(user))).data["user"].values()) == (None, None)


async def test_the_answer_has_the_new_values_of_generated_fields(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    await client.payload("updateProfile", "", firstName="Zo\u00eb", lastName="Quill")
    found = (await api('{ users(filter: { search: "zo\u00eb quill" }) { nodes { fullName } } }')).data
    assert found["users"]["nodes"] == [{"fullName": "Zo\u00eb Quill"}]


@pytest.mark.parametrize(
    ("given", "refusals"),
    [
        ({"firstName": " "}, [("REQUIRED", ["firstName"])]),
        ({"firstName": "x" * 101, "bio": "fine"}, [("INVALID", ["firstName"])]),
        ({"lastName": "a\tb"}, [("INVALID", ["lastName"])]),
        ({"bio": "x" * 2_001}, [("INVALID", ["bio"])]),
        ({"bio": "\x00"}, [("INVALID", ["bio"])]),
        ({"firstName": "", "bio": "x" * 2_001}, [("REQUIRED", ["firstName"]), ("INVALID", ["bio"])]),
    ],
)
async def test_refusals_store_nothing(api: Api, make: Make, given: dict[str, Any], refusals: list[Any]) -> None:
    user = await make.user(bio="Old.")
    assert await (await api.as_(user)).refused("updateProfile", **given) == refusals
    stored = await User.objects.aget(pk=user.pk)
    assert (stored.first_name, stored.last_name, stored.bio) == (user.first_name, user.last_name, "Old.")


async def test_needs_a_viewer(api: Api) -> None:
    assert await api.refused("updateProfile", bio="x") == [("UNAUTHENTICATED", None)]


async def test_a_bio_of_the_greatest_length_fits(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    payload = await client.payload("updateProfile", "user { bio }", bio="\U0001f600" * 2_000)
    assert len(payload["user"]["bio"]) == 2_000
