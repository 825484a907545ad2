"""Who is given which rights, and that a request knows them for no statement."""

from collections.abc import Awaitable, Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext

from apps.posts.models import PostStatus
from apps.users.models import User
from apps.users.selectors import with_permissions
from tests.api import Api
from tests.make import PASSWORD, Make, gid, make_user

pytestmark = pytest.mark.django_db

ROLES = ("author", "editor", "moderator", "admin")
EDITS = "query($id: ID!) { post(id: $id) { viewerCanEdit } }"


def rights_of(role: str) -> set[str]:
    """What makes the group differ from that of all authors."""
    shared = set() if role == "author" else {"add_post", "add_comment"}
    return {*Permission.objects.filter(group__name=role).values_list("codename", flat=True)} - shared


def test_migrations_make_the_roles() -> None:
    assert {*Group.objects.values_list("name", flat=True)} == {*ROLES}
    assert rights_of("author") == {"add_post", "add_comment"}
    tagging = {f"{verb}_tagging" for verb in ("add", "change", "delete", "view")}
    posts = {"view_post", "change_post", "delete_post", "add_tag", "change_tag", "view_tag"} | tagging
    assert rights_of("editor") == posts
    assert rights_of("moderator") == {"view_comment", "delete_comment"}
    everything = {
        f"{verb}_{model}"
        for verb in ("add", "change", "delete", "view")
        for model in ("user", "session", "post", "tag", "tagging", "comment")
    }
    background = {f"{verb}_deadletter" for verb in ("change", "delete", "view")}
    assert rights_of("admin") == (everything | background | {"view_securityevent"}) - {"add_post", "add_comment"}


@pytest.mark.django_db(transaction=True)
def test_the_migrations_can_be_taken_back_and_make_authors_of_whoever_is_there() -> None:
    before = MigrationExecutor(connection).migrate([("users", "0001_initial")])
    assert not Group.objects.exists()
    before.apps.get_model("users", "User").objects.create(email="ann@example.com", first_name="Ann")
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    user = User.objects.get()
    assert user.has_perm("posts.add_post")
    assert not user.has_perm("posts.view_post")


async def test_who_registers_is_an_author(api: Api) -> None:
    await api.payload("register", "", email="ann@example.com", password=PASSWORD, firstName="Ann")
    payload = await api.payload("login", "accessToken", email="ann@example.com", password=PASSWORD)
    written = await api.with_token(payload["accessToken"]).payload("createPost", "post { title }", title="Hi", body="")
    assert written == {"post": {"title": "Hi"}, "errors": []}


async def test_the_right_to_write_can_be_taken_away(api: Api, make: Make) -> None:
    post = await make.post()
    comment = await make.comment(post=post, author=post.author)
    await Group.objects.filter(name="author").adelete()
    newcomer = await make.user()
    for user in (newcomer, post.author):
        client = await api.as_(user)
        assert await client.refused("createPost", title="Hi", body="") == [("FORBIDDEN", None)]
        assert await client.refused("addComment", postId=gid(post), body="Hi") == [("FORBIDDEN", None)]
    # What they have written stays theirs.
    owner = await api.as_(post.author)
    for mutation, row in {"archivePost": post, "publishPost": post, "deleteComment": comment}.items():
        assert (await owner.payload(mutation, "", id=gid(row)))["errors"] == []


async def test_a_superuser_needs_no_group(api: Api, make: Make) -> None:
    draft = await make.post(status=PostStatus.DRAFT)
    await Group.objects.all().adelete()
    client = await api.as_(await make.user(is_superuser=True))
    assert (await client(EDITS, id=gid(draft))).data["post"] == {"viewerCanEdit": True}
    assert (await client.payload("createPost", "", title="Hi", body=""))["errors"] == []


async def test_a_permission_of_ones_own_is_as_good_as_a_groups(api: Api, make: Make) -> None:
    post, user = await make.post(), await make.user()
    client = await api.as_(user)
    assert (await client(EDITS, id=gid(post))).data["post"] == {"viewerCanEdit": False}
    permission = await Permission.objects.aget(codename="change_post")
    await user.user_permissions.aadd(permission)
    assert (await client(EDITS, id=gid(post))).data["post"] == {"viewerCanEdit": True}
    await user.user_permissions.aremove(permission)
    assert (await client(EDITS, id=gid(post))).data["post"] == {"viewerCanEdit": False}


Input = dict[str, str]


async def credentials(api: Api, email: str) -> tuple[Api, Input]:
    return api, {"email": email, "password": PASSWORD}


async def refresh_token(api: Api, email: str) -> tuple[Api, Input]:
    payload = await api.payload("login", "refreshToken", email=email, password=PASSWORD)
    return api, {"refreshToken": payload["refreshToken"]}


async def passwords(api: Api, email: str) -> tuple[Api, Input]:
    payload = await api.payload("login", "accessToken", email=email, password=PASSWORD)
    return api.with_token(payload["accessToken"]), {"currentPassword": PASSWORD, "newPassword": f"new {PASSWORD}"}


@pytest.mark.parametrize(
    ("mutation", "proof"), [("login", credentials), ("refreshToken", refresh_token), ("changePassword", passwords)]
)
async def test_who_has_just_proved_who_they_are_has_their_rights_at_once(
    api: Api, make: Make, mutation: str, proof: Callable[[Api, str], Awaitable[tuple[Api, Input]]]
) -> None:
    """Without a statement: in the event loop Django would not even run one."""
    editor, tag = await make.user(role="editor"), await make.tag()
    await make.post(author=editor, tags=[tag])
    await make.post(status=PostStatus.DRAFT, tags=[tag])
    client, input = await proof(api, editor.email)
    selection = "user { posts { nodes { tags { posts { nodes { viewerCanEdit } } } } } }"
    payload = await client.payload(mutation, selection, **input)
    [post] = payload["user"]["posts"]["nodes"]
    assert post["tags"] == [{"posts": {"nodes": [{"viewerCanEdit": True}] * 2}}]


def test_rights_that_came_with_the_user_take_no_statement() -> None:
    permission = Permission.objects.get(codename="view_user")
    made = make_user(role="editor")
    made.user_permissions.add(permission)
    loaded, bare = with_permissions(User.objects.all()).get(), User.objects.get()
    names = [f"{each.content_type.app_label}.{each.codename}" for each in Permission.objects.all()]
    with CaptureQueriesContext(connection) as none:
        answers = {name: loaded.has_perm(name) for name in names}
    assert len(none) == 0
    with CaptureQueriesContext(connection) as djangos:
        assert {name: bare.has_perm(name) for name in names} == answers
    assert len(djangos) == 2
    assert {name for name, answer in answers.items() if answer} > {"users.view_user", "posts.change_post"}
    assert not answers["users.change_user"]
    assert loaded.permission_names == bare.get_all_permissions()
    loaded.is_active = False
    assert not any(map(loaded.has_perm, names))


def test_django_knows_no_rights_to_a_single_row() -> None:
    editor = make_user(role="editor")
    assert editor.has_perm("posts.change_post")
    assert not editor.has_perm("posts.change_post", editor)
