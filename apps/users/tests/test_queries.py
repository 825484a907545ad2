"""Reading users and sessions."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.users.models import Session, User
from tests.api import Api
from tests.make import START, Make, access_token, gid

pytestmark = pytest.mark.django_db

USER = "query($id: ID!) { user(id: $id) { email emailVerified sessions { id } } }"


async def search(api: Api, text: str | None) -> list[str]:
    query = "query($search: String) { users(filter: {search: $search}) { totalCount nodes { fullName } } }"
    users = (await api(query, search=text)).data["users"]
    assert users["totalCount"] == len(users["nodes"])
    return [node["fullName"] for node in users["nodes"]]


async def test_a_user_shows_the_public_profile(api: Api, make: Make) -> None:
    user = await make.user(first_name="Ada", last_name="Lovelace", bio="First.", date_joined=START)
    query = "query($id: ID!) { user(id: $id) { id firstName lastName fullName bio dateJoined } }"
    assert (await api(query, id=gid(user))).data["user"] == {
        "id": gid(user),
        "firstName": "Ada",
        "lastName": "Lovelace",
        "fullName": "Ada Lovelace",
        "bio": "First.",
        "dateJoined": START.isoformat(),
    }


async def test_a_user_without_a_last_name_has_a_full_name(api: Api, make: Make) -> None:
    user = await make.user(first_name="Ada", last_name="")
    answer = await api("query($id: ID!) { user(id: $id) { fullName } }", id=gid(user))
    assert answer.data["user"] == {"fullName": "Ada"}


async def test_the_address_is_the_users_own_and_the_staffs(api: Api, make: Make) -> None:
    user = await make.user(email="ada@example.com", email_verified_at=START)
    hidden = {"email": None, "emailVerified": None, "sessions": None}
    assert (await api(USER, id=gid(user))).data["user"] == hidden
    assert (await (await api.as_(await make.user()))(USER, id=gid(user))).data["user"] == hidden
    shown = {"email": "ada@example.com", "emailVerified": True, "sessions": None}
    assert (await (await api.as_(await make.user(is_staff=True)))(USER, id=gid(user))).data["user"] == shown
    own = (await (await api.as_(user))(USER, id=gid(user))).data["user"]
    assert (own["email"], own["emailVerified"], len(own["sessions"])) == ("ada@example.com", True, 1)


async def test_an_address_that_was_not_confirmed_is_told_to_its_owner(api: Api, make: Make) -> None:
    user = await make.user()
    assert (await (await api.as_(user))(USER, id=gid(user))).data["user"]["emailVerified"] is False


async def test_the_viewer_is_who_asks(api: Api, make: Make) -> None:
    user = await make.user()
    assert (await api("{ viewer { id email } }")).data == {"viewer": None}
    assert (await (await api.as_(user))("{ viewer { id email } }")).data == {
        "viewer": {"id": gid(user), "email": user.email}
    }


async def test_sessions_are_listed_last_used_first_with_the_current_one_marked(api: Api, make: Make) -> None:
    user = await make.user()
    used = timezone.now()

    def sessions() -> tuple[list[Session], str]:
        later = used + timedelta(days=1)
        old, new = (
            Session.objects.create(
                user=user, user_agent=agent, ip=ip, created_at=START, last_used_at=at, expires_at=later
            )
            for agent, ip, at in (("Old", None, used - timedelta(hours=2)), ("New", "2001:db8::1", later))
        )
        Session.objects.create(user=user, expires_at=later, revoked_at=used)
        Session.objects.create(user=user, expires_at=used)
        return [new, old], access_token(user)

    [new, old], token = await sync_to_async(sessions)()
    query = "{ viewer { sessions { id userAgent ip current createdAt lastUsedAt } } }"
    listed = (await api.with_token(token)(query)).data["viewer"]["sessions"]
    assert [session["current"] for session in listed] == [False, True, False]
    assert [listed[0], listed[2]] == [shown(new), shown(old)]


def shown(session: Session) -> dict[str, Any]:
    return {
        "id": gid(session),
        "userAgent": session.user_agent,
        "ip": session.ip,
        "current": False,
        "createdAt": session.created_at.isoformat(),
        "lastUsedAt": session.last_used_at.isoformat(),
    }


async def test_ended_sessions_cannot_be_found_by_their_id(api: Api, make: Make) -> None:
    user = await make.user()
    later = timezone.now() + timedelta(days=1)
    live = await Session.objects.acreate(user=user, expires_at=later)
    revoked = await Session.objects.acreate(user=user, expires_at=later, revoked_at=START)
    expired = await Session.objects.acreate(user=user, expires_at=START)
    owner = await api.as_(user)
    ids = [gid(session) for session in (live, revoked, expired)]
    answer = await owner("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert answer.data["nodes"] == [{"id": gid(live)}, None, None]


async def test_users_are_listed_newest_first(api: Api, make: Make) -> None:
    for day in (2, 1, 3):
        await make.user(first_name=f"Day {day}", last_name="", date_joined=START + timedelta(days=day))
    assert await search(api, None) == ["Day 3", "Day 2", "Day 1"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ada", ["Ada Lovelace"]),
        ("ADA L", ["Ada Lovelace"]),
        ("a l", ["Ada Lovelace"]),
        (" lovelace ", ["Ada Lovelace"]),
        ("ΟΔΥΣΣΕΑΣ", ["Οδυσσέας ΟΔΥΣΣΕΑΣ"]),
        ("ØRSTED", ["Hans Ørsted"]),
        ("%", ["50% Off"]),
        ("_", ["snake_case Name"]),
        ("\\", ["Back\\slash Name"]),
        ("'", ["Sinéad O'Connor"]),
        ("adalovelace", []),
    ],
)
async def test_users_are_found_by_a_part_of_their_name(api: Api, make: Make, text: str, names: list[str]) -> None:
    everybody = ["Ada Lovelace", "Οδυσσέας ΟΔΥΣΣΕΑΣ", "Hans Ørsted", "50% Off", "snake_case Name", "Back\\slash Name"]
    for name in [*everybody, "Sinéad O'Connor"]:
        first, _, last = name.partition(" ")
        await make.user(first_name=first, last_name=last)
    assert await search(api, text) == names


async def test_users_are_not_found_by_their_address(api: Api, make: Make) -> None:
    await make.user(email="secret@example.com", first_name="Ada", last_name="")
    assert await search(api, "secret") == []
    assert await search(await api.as_(await make.user(is_staff=True)), "secret") == []


async def test_a_blank_search_finds_everybody(api: Api, make: Make) -> None:
    await make.user(first_name="Ada", last_name="")
    for text in (None, "", "  "):
        assert await search(api, text) == ["Ada"]
    assert (await api("{ users(filter: null) { totalCount } }")).data == {"users": {"totalCount": 1}}


@pytest.mark.parametrize("text", ["a\x00b", "a" * 251])
async def test_a_search_that_cannot_be_is_refused(api: Api, text: str) -> None:
    query = "query($search: String) { users(filter: {search: $search}) { totalCount } }"
    assert (await api(query, search=text)).codes == ["BAD_USER_INPUT"]


async def test_a_locked_account_keeps_its_profile(api: Api, make: Make) -> None:
    post = await make.post()
    await sync_to_async(User.objects.filter(pk=post.author_id).update)(is_active=False)
    answer = await api("query($id: ID!) { post(id: $id) { author { id fullName } } }", id=gid(post))
    assert answer.data["post"]["author"] == {"id": gid(post.author), "fullName": post.author.get_full_name()}


async def test_ids_of_all_types_come_back_in_their_order(api: Api, make: Make) -> None:
    comment = await make.comment()
    tag, post = await make.tag(), comment.post
    rows = [comment, tag, post, comment.author, comment]
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    assert (await api(query, ids=[gid(row) for row in rows])).data["nodes"] == [
        {"__typename": type(row).__name__, "id": gid(row)} for row in rows
    ]
    assert (await api(query, ids=[])).data == {"nodes": []}


async def test_a_bad_id_among_good_ones_spoils_its_own_place_only(api: Api, make: Make) -> None:
    user = await make.user()
    answer = await api("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[gid(user), "garbage", gid(user)])
    assert answer.body["data"] == {"nodes": [{"id": gid(user)}, None, {"id": gid(user)}]}
    assert [(error["path"], error["extensions"]["code"]) for error in answer.body["errors"]] == [
        (["nodes", 1], "BAD_USER_INPUT")
    ]


async def test_at_most_a_page_of_ids_is_looked_up(api: Api, make: Make) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    user = await make.user()
    assert len((await api(query, ids=[gid(user)] * 100)).data["nodes"]) == 100
    assert (await api(query, ids=[gid(user)] * 101)).codes == ["BAD_USER_INPUT"]
