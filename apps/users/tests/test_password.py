import pytest

from apps.users.models import Session
from tests.api import Api
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "another horse battery staple"
VIEWER = "{ viewer { id } }"


async def test_changes_the_password_and_ends_every_session_but_a_new_one(api: Api, make: Make) -> None:
    user = await make.user()
    here, there = await api.as_(user), await api.as_(user)
    payload = await here.payload(
        "changePassword",
        "accessToken refreshToken user { sessions { current } }",
        currentPassword=PASSWORD,
        newPassword=NEW_PASSWORD,
    )
    assert payload["errors"] == []
    assert payload["user"]["sessions"] == [{"current": True}]
    for client in (here, there):
        assert (await client(VIEWER)).codes == ["UNAUTHENTICATED"]
    assert (await api.with_token(payload["accessToken"])(VIEWER)).data["viewer"]
    renewed = await api.payload("refreshToken", "accessToken", refreshToken=payload["refreshToken"])
    assert renewed["accessToken"]
    assert await api.refused("login", email=user.email, password=PASSWORD) == [("INVALID_CREDENTIALS", None)]
    assert (await api.payload("login", "accessToken", email=user.email, password=NEW_PASSWORD))["accessToken"]


async def test_sessions_of_others_go_on(api: Api, make: Make) -> None:
    ann, bob = await api.as_(await make.user()), await api.as_(await make.user())
    await ann.payload("changePassword", "", currentPassword=PASSWORD, newPassword=NEW_PASSWORD)
    assert (await bob(VIEWER)).data["viewer"]


@pytest.mark.parametrize(
    ("current", "new", "refusal"),
    [
        ("wrong", NEW_PASSWORD, ("INVALID_CREDENTIALS", ["currentPassword"])),
        ("x" * 1_001, NEW_PASSWORD, ("INVALID_CREDENTIALS", ["currentPassword"])),
        ("nul\x00", NEW_PASSWORD, ("INVALID_CREDENTIALS", ["currentPassword"])),
        (PASSWORD, "short", ("PASSWORD_TOO_WEAK", ["newPassword"])),
        (PASSWORD, "ada@example.com", ("PASSWORD_TOO_WEAK", ["newPassword"])),
        (PASSWORD, "x" * 1_001, ("INVALID", ["newPassword"])),
        (PASSWORD, "nul\x00" * 5, ("INVALID", ["newPassword"])),
    ],
)
async def test_refusals_change_nothing(
    api: Api, make: Make, current: str, new: str, refusal: tuple[str, list[str]]
) -> None:
    user = await make.user(email="ada@example.com")
    client = await api.as_(user)
    assert await client.refused("changePassword", currentPassword=current, newPassword=new) == [refusal]
    stored = user.password
    await user.arefresh_from_db()
    assert user.password == stored
    assert await Session.objects.filter(revoked_at=None).acount() == 1
    assert (await client(VIEWER)).data["viewer"]


async def test_needs_a_viewer(api: Api) -> None:
    refusals = await api.refused("changePassword", currentPassword=PASSWORD, newPassword=NEW_PASSWORD)
    assert refusals == [("UNAUTHENTICATED", None)]
