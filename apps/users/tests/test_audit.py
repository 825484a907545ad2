"""The record of security events: who wrote it, that nobody can change it, and what the admin adds."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.core.client import Client as Where
from apps.users.audit import record
from apps.users.models import (
    EmailToken,
    EmailTokenPurpose,
    RefreshToken,
    SecurityEvent,
    SecurityEventKind,
    Session,
    User,
)
from apps.users.services.sessions import REUSE_GRACE
from tests.api import Api
from tests.mails import mailed
from tests.make import PASSWORD, Make, make_user
from tests.tasks import written

pytestmark = pytest.mark.django_db

EVENTS = reverse("admin:users_securityevent_changelist")
SIGN_IN = reverse("admin:login")


def kinds(**conditions: Any) -> list[str]:
    return list(SecurityEvent.objects.filter(**conditions).order_by("pk").values_list("kind", flat=True))


def edit(client: Client, user: User, **changes: Any) -> None:
    """Send in the user's page in the admin as it is, but for the changes; None leaves a field out."""
    data = {"email": user.email, "first_name": user.first_name, "last_name": user.last_name, "bio": user.bio}
    flags = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    sent = {name: value for name, value in {**data, **flags, **changes}.items() if value is not None}
    response = client.post(reverse("admin:users_user_change", args=[user.pk]), sent)
    assert response.status_code == 302, response.context["errors"]


async def test_a_sign_in_is_recorded_with_where_it_came_from(api: Api, make: Make) -> None:
    user = await make.user()
    query = "mutation($i: LoginInput!) { login(input: $i) { accessToken } }"
    body = {"query": query, "variables": {"i": {"email": user.email, "password": PASSWORD}}}
    answer = await api.post(body, headers={"User-Agent": "Test browser", "X-Request-ID": "request-id-of-this"})
    assert answer.data["login"]["accessToken"]
    event = await SecurityEvent.objects.aget()
    assert (event.kind, event.user_id, event.actor_id) == ("login", user.pk, user.pk)
    assert (event.ip, event.user_agent, event.request_id) == ("127.0.0.1", "Test browser", "request-id-of-this")
    assert timezone.now() - event.at < timedelta(minutes=1)


async def test_a_failed_one_too_without_an_actor_and_without_the_address_that_was_tried(api: Api, make: Make) -> None:
    user = await make.user()
    await api.refused("login", email=user.email, password="wrong")
    await api.refused("login", email="nobody@example.com", password="wrong")
    rows = SecurityEvent.objects.order_by("pk").values_list("kind", "user_id", "actor_id", "detail")
    assert [row async for row in rows] == [("login_failed", user.pk, None, ""), ("login_failed", None, None, "")]


async def test_a_token_that_was_copied_is_recorded_once_and_its_owner_told(api: Api, make: Make) -> None:
    user = await make.user()
    first = await api.payload("login", "refreshToken", email=user.email, password=PASSWORD)
    await api.payload("refreshToken", "", refreshToken=first["refreshToken"])
    assert await SecurityEvent.objects.filter(kind="refresh_reused").acount() == 0
    late = REUSE_GRACE + timedelta(seconds=1)
    await RefreshToken.objects.filter(spent_at__isnull=False).aupdate(spent_at=F("spent_at") - late)
    for _ in range(2):
        await api.refused("refreshToken", refreshToken=first["refreshToken"])
    event = await SecurityEvent.objects.aget(kind="refresh_reused")
    assert (event.user_id, event.actor_id, event.ip) == (user.pk, None, "127.0.0.1")
    assert await sync_to_async(written)() == [("mail_notice", ["refresh_reused", user.email, "127.0.0.1"])]


async def test_a_changed_password_is_recorded_and_its_owner_told(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    await client.payload("changePassword", "", currentPassword=PASSWORD, newPassword=f"better {PASSWORD}")
    event = await SecurityEvent.objects.aget()
    assert (event.kind, event.user_id, event.actor_id) == ("password_changed", user.pk, user.pk)
    assert await sync_to_async(mailed)() == [(user.email, "Your password was changed")]


@pytest.mark.parametrize("sql", ["UPDATE users_securityevent SET ip = NULL", "DELETE FROM users_securityevent"])
def test_the_database_refuses_to_change_what_was_recorded(sql: str) -> None:
    SecurityEvent.objects.create(kind="login")
    with (
        pytest.raises(IntegrityError, match="security events are not changed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert SecurityEvent.objects.count() == 1


@pytest.mark.parametrize(("days", "goes"), [(89, False), (91, True)])
def test_what_is_older_than_90_days_may_be_deleted(days: int, goes: bool) -> None:
    SecurityEvent.objects.create(kind="login", at=timezone.now() - timedelta(days=days))
    try:
        with transaction.atomic():
            SecurityEvent.objects.all().delete()
    except IntegrityError:
        assert not goes
    assert SecurityEvent.objects.exists() is not goes


def test_the_longest_id_of_a_request_fits() -> None:
    """A proxy's, and the number of an operation of a WebSocket behind it."""
    record(SecurityEventKind.LOGIN, Where(request_id="x" * 64 + "-" + "9" * 19, user_agent="x" * 255), user=None)
    assert SecurityEvent.objects.count() == 1


def test_the_admin_shows_events_and_lets_nobody_touch_them(admin_client: Client) -> None:
    event = SecurityEvent.objects.create(
        kind="login", user_id=make_user().pk, ip="192.0.2.1", user_agent="Test browser"
    )
    assert "Test browser" in admin_client.get(EVENTS).content.decode()
    page = reverse("admin:users_securityevent_change", args=[event.pk])
    assert admin_client.get(page).status_code == 200
    assert b'name="_save"' not in admin_client.get(page).content
    for url in (page, reverse("admin:users_securityevent_add"), reverse("admin:users_securityevent_delete", args=[1])):
        assert admin_client.post(url, {"kind": "logout"}).status_code == 403


def test_a_change_of_role_is_recorded_with_who_made_it(admin_client: Client, admin_user: User) -> None:
    user = make_user()
    before = SecurityEvent.objects.count()
    edit(admin_client, user, groups=[Group.objects.get(name="editor").pk])
    edit(admin_client, user, is_staff="on", groups=[Group.objects.get(name="editor").pk])
    events = SecurityEvent.objects.order_by("pk")[before:]
    assert [(event.kind, event.user_id, event.actor_id, event.detail) for event in events] == [
        ("role_changed", user.pk, admin_user.pk, "groups: editor"),
        ("role_changed", user.pk, admin_user.pk, "is_staff: True"),
    ]


def test_locking_an_account_is_recorded_and_another_name_is_not(admin_client: Client) -> None:
    user = make_user()
    groups = [group.pk for group in user.groups.all()]
    edit(admin_client, user, first_name="Other", groups=groups)
    assert kinds(user_id=user.pk) == []
    edit(admin_client, user, first_name="Other", groups=groups, is_active=None)
    user.refresh_from_db()
    edit(admin_client, user, groups=groups, is_active="on")
    assert kinds(user_id=user.pk) == ["account_locked", "account_unlocked"]


def test_an_address_that_the_admin_changes_is_recorded_and_vouched_for(admin_client: Client) -> None:
    user = make_user()
    EmailToken.objects.create(
        user=user,
        purpose=EmailTokenPurpose.RESET_PASSWORD,
        email=user.email,
        digest=b"x",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    edit(admin_client, user, email="new@example.com", groups=[group.pk for group in user.groups.all()])
    user.refresh_from_db()
    assert user.email == "new@example.com"
    assert user.email_verified_at is not None
    event = SecurityEvent.objects.get(user_id=user.pk)
    assert (event.kind, event.detail) == ("email_changed", "admin"), "events outlive accounts"
    assert EmailToken.objects.get().used_at is not None


def test_a_password_that_the_admin_sets_is_recorded(admin_client: Client) -> None:
    user = make_user()
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    assert admin_client.post(url, {"password1": "x", "password2": "y"}).status_code == 200
    assert kinds(user_id=user.pk) == []
    new = {"password1": f"better {PASSWORD}", "password2": f"better {PASSWORD}", "usable_password": "true"}
    assert admin_client.post(url, new).status_code == 302
    assert kinds(user_id=user.pk) == ["password_changed"]
    assert written() == [("mail_notice", ["password_changed", user.email, "127.0.0.1"])]


def test_sessions_that_the_admin_ends_are_recorded_once_for_each_account(admin_client: Client) -> None:
    user = make_user()
    sessions = [Session.objects.create(user=user, expires_at=timezone.now() + timedelta(days=1)) for _ in range(2)]
    chosen = {"action": "revoke", "_selected_action": [session.pk for session in sessions]}
    admin_client.post(reverse("admin:users_session_changelist"), chosen)
    assert kinds(user_id=user.pk) == ["session_revoked"]


def sign_in(email: str, password: str) -> int:
    credentials = {"username": email, "password": password}
    return Client().post(SIGN_IN, credentials, headers={"User-Agent": "Test browser"}).status_code


def test_signing_in_to_the_admin_is_recorded(client: Client) -> None:
    user = make_user(is_staff=True)
    assert sign_in(user.email, "wrong") == 200
    assert sign_in(user.email.upper(), PASSWORD) == 302
    events = SecurityEvent.objects.filter(user_id=user.pk).order_by("pk").values_list("kind", "detail", "user_agent")
    assert list(events) == [("login_failed", "admin", "Test browser"), ("login", "admin", "Test browser")]


def test_a_sign_in_without_a_password_is_no_attempt(client: Client, settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "3/hour"
    user = make_user(is_staff=True)
    for _ in range(5):
        assert sign_in(user.email, "") == sign_in("", PASSWORD) == 200
    assert not SecurityEvent.objects.filter(user_id=user.pk).exists()
    assert sign_in(user.email, PASSWORD) == 302


def test_whoever_signs_in_to_the_admin_again_and_again_is_not_limited(settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "3/hour"
    user = make_user(is_staff=True)
    assert {sign_in(user.email, PASSWORD) for _ in range(5)} == {302}


def test_who_is_no_staff_does_not_get_in_and_that_is_recorded(client: Client) -> None:
    user = make_user()
    assert sign_in(user.email, PASSWORD) == 200
    assert kinds(user_id=user.pk) == ["login_failed"]


def test_guessing_in_the_admin_is_limited(settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "3/hour"
    user = make_user(is_staff=True)
    for _ in range(3):
        assert sign_in(user.email, "wrong") == 200
    response = Client().post(SIGN_IN, {"username": user.email, "password": PASSWORD})
    assert response.status_code == 200
    assert "Too many attempts" in response.content.decode()


def test_what_a_group_may_is_recorded_when_it_changes(admin_client: Client, admin_user: User) -> None:
    group = Group.objects.get(name="moderator")
    page = reverse("admin:auth_group_change", args=[group.pk])
    assert admin_client.post(page, {"name": "moderator", "permissions": []}).status_code == 302
    assert admin_client.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"}).status_code == 302
    events = SecurityEvent.objects.filter(kind="role_changed").order_by("pk")
    assert [(event.actor_id, event.detail) for event in events] == [
        (admin_user.pk, "group moderator: permissions"),
        (admin_user.pk, "group moderator: deleted"),
    ]


OWN = "/admin/password_change/"
NEW = {"new_password1": f"better {PASSWORD}", "new_password2": f"better {PASSWORD}"}


def test_ones_own_password_in_the_admin_is_recorded_and_told(client: Client) -> None:
    user = make_user(is_staff=True)
    client.force_login(user)
    assert b"Change my password" in client.get(OWN).content
    assert client.post(OWN, {"old_password": PASSWORD, **NEW}).status_code == 302
    assert kinds(user_id=user.pk) == ["password_changed"]
    assert written() == [("mail_notice", ["password_changed", user.email, "127.0.0.1"])]
    assert sign_in(user.email, NEW["new_password1"]) == 302


def test_guessing_it_there_is_limited(client: Client, settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "3/hour"
    user = make_user(is_staff=True)
    client.force_login(user)
    for _ in range(3):
        assert "Too many" not in client.post(OWN, {"old_password": "wrong", **NEW}).content.decode()
    assert "Too many attempts" in client.post(OWN, {"old_password": PASSWORD, **NEW}).content.decode()


def test_nobody_but_the_staff_sees_that_page(client: Client) -> None:
    client.force_login(make_user())
    assert client.get(OWN).status_code == 302
