from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.users.models import Session, User
from tests.statements import statements_of

pytestmark = pytest.mark.django_db

USERS = reverse("admin:users_user_changelist")
ADD = reverse("admin:users_user_add")
SESSIONS = reverse("admin:users_session_changelist")
PASSWORD = "a-long-enough-phrase"


def make_user(email: str = "mira@example.com", **fields: object) -> User:
    return User.objects.create_user(email, PASSWORD, **{"first_name": "Mira", "last_name": "Novak", **fields})


def make_session(user: User, **fields: object) -> Session:
    return Session.objects.create(user=user, expires_at=timezone.now() + timedelta(days=1), **fields)


def edit_url(user: User) -> str:
    return reverse("admin:users_user_change", args=[user.pk])


def edit_data(user: User, **changes: str) -> dict[str, str]:
    data = {"email": user.email, "first_name": user.first_name, "last_name": user.last_name, "bio": user.bio}
    return {**data, "is_active": "on", **changes}


def staff_client(*permissions: str) -> Client:
    staff = make_user("staff-member@example.com", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(staff)
    return client


def test_lists_cost_the_same_for_2_and_for_20_rows(admin_client: Client) -> None:
    urls = (USERS, SESSIONS)
    for number in range(2):
        make_session(make_user(f"first{number}@example.com"))
    few = [len(statements_of(admin_client, url)) for url in urls]
    for number in range(18):
        make_session(make_user(f"more{number}@example.com"))
    assert [len(statements_of(admin_client, url)) for url in urls] == few
    assert 3 < max(few) <= 8


def test_adds_a_user_whose_address_is_normalized(admin_client: Client) -> None:
    assert admin_client.get(ADD).status_code == 200
    data = {"email": " New.Member@Example.COM ", "first_name": "Ngozi", "last_name": ""}
    response = admin_client.post(ADD, {**data, "password1": PASSWORD, "password2": PASSWORD})
    user = User.objects.get(email="new.member@example.com")
    assert response.status_code == 302
    assert user.check_password(PASSWORD)
    assert user.has_perm("posts.add_post")


@pytest.mark.parametrize("email", ["MIRA@example.com", "mira@EXAMPLE.com "])
def test_refuses_a_second_account_that_differs_in_case(admin_client: Client, email: str) -> None:
    make_user("mira@example.com")
    data = {"email": email, "first_name": "Other", "password1": PASSWORD, "password2": PASSWORD}
    response = admin_client.post(ADD, data)
    assert response.status_code == 200
    assert "email" in response.context["adminform"].form.errors
    assert not User.objects.filter(first_name="Other").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no-address"}, "email"),
        ({"email": "\u017fam@example.com"}, "email"),
        ({"first_name": "   "}, "first_name"),
        ({"first_name": "\u200b"}, "first_name"),
        ({"password2": "something-else-entirely"}, "password2"),
        ({"password1": "12345", "password2": "12345"}, "password2"),
    ],
)
def test_shows_what_is_wrong_with_a_new_user(admin_client: Client, change: dict[str, str], field: str) -> None:
    data = {"email": "new@example.com", "first_name": "Ngozi", "password1": PASSWORD, "password2": PASSWORD}
    response = admin_client.post(ADD, {**data, **change})
    assert field in response.context["adminform"].form.errors
    assert not User.objects.filter(email="new@example.com").exists()


def test_changes_a_user_and_keeps_the_password(admin_client: Client) -> None:
    user = make_user()
    group = Group.objects.create(name="Editors")
    assert admin_client.get(edit_url(user)).status_code == 200
    data = edit_data(user, email="Mira.New@example.com", bio="Vet in Huế.", groups=str(group.pk), is_staff="on")
    assert admin_client.post(edit_url(user), data).status_code == 302
    user.refresh_from_db()
    assert (user.email, user.bio, user.is_staff) == ("mira.new@example.com", "Vet in Huế.", True)
    assert list(user.groups.all()) == [group]
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "Taken@example.com"}, "email"),
        ({"bio": "x" * 2_001}, "bio"),
        ({"last_name": "a\x07b"}, "last_name"),
    ],
)
def test_shows_what_is_wrong_with_a_change(admin_client: Client, change: dict[str, str], field: str) -> None:
    make_user("taken@example.com")
    user = make_user()
    response = admin_client.post(edit_url(user), edit_data(user, **change))
    assert field in response.context["adminform"].form.errors
    user.refresh_from_db()
    assert (user.email, user.bio, user.last_name) == ("mira@example.com", "", "Novak")


@pytest.mark.parametrize("term", ["MIRA@ex", "ira nov", "Novák"])
def test_finds_users_by_address_and_by_name_in_any_case(admin_client: Client, term: str) -> None:
    make_user(last_name="Novák" if term == "Novák" else "Novak")
    make_user("somebody@example.com", first_name="Else", last_name="")
    found = admin_client.get(USERS, {"q": term}).context["cl"].queryset
    assert [user.email for user in found] == ["mira@example.com"]


@pytest.mark.parametrize("query", [{"is_active__exact": "1"}, {"is_staff__exact": "0"}, {"q": "\x00"}])
def test_filters_users(admin_client: Client, query: dict[str, str]) -> None:
    assert admin_client.get(USERS, query).status_code == 200


def test_users_cannot_be_deleted(admin_client: Client) -> None:
    user = make_user()
    response = admin_client.post(reverse("admin:users_user_delete", args=[user.pk]), {"post": "yes"})
    assert response.status_code == 403
    assert User.objects.filter(pk=user.pk).exists()


def test_a_new_password_ends_the_sessions(admin_client: Client) -> None:
    user = make_user()
    session = make_session(user)
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    assert admin_client.get(url).status_code == 200
    new = "another-long-enough-phrase"
    admin_client.post(url, {"password1": new, "password2": new, "usable_password": "true"})
    user.refresh_from_db()
    session.refresh_from_db()
    assert user.check_password(new)
    assert session.revoked_at is not None


def test_ones_own_new_password_ends_ones_sessions_too(admin_client: Client, admin_user: User) -> None:
    session = Session.objects.create(user=admin_user, expires_at=timezone.now() + timedelta(days=1))
    change = {"old_password": "password", "new_password1": "brand new horse", "new_password2": "brand new horse"}
    assert admin_client.post(reverse("admin:password_change"), change).status_code == 302
    session.refresh_from_db()
    assert session.revoked_at is not None


def test_staff_without_all_rights_can_hand_out_none() -> None:
    client = staff_client("view_user", "change_user")
    user = make_user()
    group = Group.objects.create(name="Editors")
    data = edit_data(user, bio="Changed.", is_staff="on", is_superuser="on", groups=str(group.pk))
    data["user_permissions"] = str(Permission.objects.get(codename="delete_post").pk)
    assert client.post(edit_url(user), data).status_code == 302
    user.refresh_from_db()
    assert user.bio == "Changed."
    assert (user.is_staff, user.is_superuser, [*user.groups.values_list("name", flat=True)]) == (
        False,
        False,
        ["author"],
    )
    assert not user.user_permissions.exists()


def test_staff_cannot_take_over_a_superuser(admin_user: User) -> None:
    client = staff_client("view_user", "change_user")
    new = "another-long-enough-phrase"
    password_url = reverse("admin:auth_user_password_change", args=[admin_user.pk])
    assert client.post(edit_url(admin_user), edit_data(admin_user, email="mine@example.com")).status_code == 403
    assert client.post(password_url, {"password1": new, "password2": new}).status_code == 403
    stored = User.objects.get(pk=admin_user.pk)
    assert (stored.email, stored.password) == (admin_user.email, admin_user.password)


def test_sessions_are_shown_with_their_state(admin_client: Client) -> None:
    user = make_user()
    past = timezone.now() - timedelta(days=1)
    make_session(user, user_agent="now")
    Session.objects.create(user=user, expires_at=past, user_agent="before")
    revoked = make_session(user, revoked_at=past, user_agent="ended")
    page = admin_client.get(SESSIONS).content.decode()
    assert all(state in page for state in ("active", "expired", "revoked"))
    assert admin_client.get(reverse("admin:users_session_change", args=[revoked.pk])).status_code == 200
    assert admin_client.get(SESSIONS, {"q": "mira"}).context["cl"].queryset.count() == 3


def test_revoking_ends_the_selected_sessions_only(admin_client: Client) -> None:
    user = make_user()
    selected, other = make_session(user), make_session(user)
    admin_client.post(SESSIONS, {"action": "revoke", "_selected_action": [str(selected.pk)]})
    assert Session.objects.get(pk=selected.pk).revoked_at is not None
    assert Session.objects.get(pk=other.pk).revoked_at is None


def test_revoking_needs_the_permission() -> None:
    session = make_session(make_user())
    staff_client("view_session").post(SESSIONS, {"action": "revoke", "_selected_action": [str(session.pk)]})
    assert Session.objects.get(pk=session.pk).revoked_at is None


def test_sessions_can_be_neither_made_nor_changed(admin_client: Client) -> None:
    session = make_session(make_user())
    assert admin_client.get(reverse("admin:users_session_add")).status_code == 403
    assert admin_client.post(reverse("admin:users_session_change", args=[session.pk]), {}).status_code == 403
    assert admin_client.post(reverse("admin:users_session_delete", args=[session.pk]), {}).status_code == 403


def test_the_index_lists_no_table_that_stays_empty(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "/admin/users/session/" in page
    assert "django_dramatiq" not in page
