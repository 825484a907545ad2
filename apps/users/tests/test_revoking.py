import pytest

from apps.core.ids import global_id
from apps.users.models import SecurityEvent, Session, User
from apps.users.services.sessions import SESSIONS_MAX
from tests.api import Api
from tests.make import PASSWORD, Make, gid

pytestmark = pytest.mark.django_db

VIEWER = "{ viewer { sessions { id current } } }"
MISSING = [("NOT_FOUND", ["id"])]


async def sign_in(api: Api, user: User) -> Api:
    payload = await api.payload("login", "accessToken", email=user.email, password=PASSWORD)
    return api.with_token(payload["accessToken"])


async def sessions(client: Api) -> dict[bool, list[str]]:
    """The ids of the viewer's sessions, by whether it is the current one."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for session in (await client(VIEWER)).data["viewer"]["sessions"]:
        found[session["current"]].append(session["id"])
    return found


async def revoked(client: Api) -> int | None:
    answer = await client("mutation { revokeOtherSessions { revokedCount errors { code } } }")
    count: int | None = answer.data["revokeOtherSessions"]["revokedCount"]
    return count


async def test_a_revoked_session_is_refused_at_once_and_the_others_go_on(api: Api, make: Make) -> None:
    user = await make.user()
    here, there = await sign_in(api, user), await sign_in(api, user)
    [other] = (await sessions(here))[False]
    payload = await here.payload("revokeSession", "session { id current }", id=other)
    assert payload == {"session": {"id": other, "current": False}, "errors": []}
    assert (await there(VIEWER)).codes == ["UNAUTHENTICATED"]
    assert (await sessions(here))[False] == []
    [event] = [event async for event in SecurityEvent.objects.filter(kind="session_revoked")]
    assert (event.user_id, event.actor_id, event.ip) == (user.pk, user.pk, "127.0.0.1")


async def test_the_current_session_can_be_revoked_and_the_request_goes_on_as_nobody(api: Api, make: Make) -> None:
    client = await sign_in(api, await make.user())
    [current] = (await sessions(client))[True]
    query = """mutation($id: ID!) {
        revokeSession(input: {id: $id}) { session { id } }
        updateProfile(input: {bio: "x"}) { errors { code } }
    }"""
    assert (await client(query, id=current)).data == {
        "revokeSession": {"session": {"id": current}},
        "updateProfile": {"errors": [{"code": "UNAUTHENTICATED"}]},
    }
    assert (await client(VIEWER)).status == 401


async def test_a_session_of_somebody_else_equals_a_missing_one(api: Api, make: Make) -> None:
    owner = await make.user()
    await sign_in(api, owner)
    session = await Session.objects.aget(user=owner)
    stranger = await sign_in(api, await make.user())
    assert await stranger.refused("revokeSession", id=gid(session)) == MISSING
    assert await stranger.refused("revokeSession", id=global_id("Session", 10**15)) == MISSING
    await session.arefresh_from_db()
    assert session.revoked_at is None


async def test_a_session_that_has_ended_is_missing_and_another_type_is_refused(api: Api, make: Make) -> None:
    user = await make.user()
    client = await sign_in(api, user)
    await sign_in(api, user)
    [other] = (await sessions(client))[False]
    await client.payload("revokeSession", "", id=other)
    assert await client.refused("revokeSession", id=other) == MISSING
    assert await client.refused("revokeSession", id=gid(user)) == [("INVALID", ["id"])]


async def test_all_others_end_and_are_counted(api: Api, make: Make) -> None:
    user = await make.user()
    stranger = await sign_in(api, await make.user())
    others = [await sign_in(api, user) for _ in range(3)]
    here = await sign_in(api, user)
    assert await revoked(here) == 3
    assert await revoked(here) == 0
    assert (await sessions(here))[False] == []
    for client in others:
        assert (await client(VIEWER)).status == 401
    assert (await sessions(stranger))[True]


async def test_revoking_needs_a_viewer(api: Api) -> None:
    assert await api.refused("revokeSession", id=global_id("Session", 1)) == [("UNAUTHENTICATED", None)]
    answer = await api("mutation { revokeOtherSessions { revokedCount errors { code } } }")
    assert answer.data["revokeOtherSessions"] == {"revokedCount": None, "errors": [{"code": "UNAUTHENTICATED"}]}


async def test_an_account_has_so_many_sessions_at_most(api: Api, make: Make) -> None:
    user = await make.user()
    first = await sign_in(api, user)
    for _ in range(SESSIONS_MAX - 1):
        last = await sign_in(api, user)
    assert (await first(VIEWER)).status == 200
    newest = await sign_in(api, user)
    assert (await first(VIEWER)).status == 401, "the one that was used least recently stays"
    for client in (last, newest):
        assert len((await client(VIEWER)).data["viewer"]["sessions"]) == SESSIONS_MAX
