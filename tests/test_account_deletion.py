"""What becomes of an account that its owner deletes, and of what they wrote."""

import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType

from apps.comments.models import Comment
from apps.posts.models import Post, PostStatus
from apps.users import email_tokens
from apps.users.models import EmailTokenPurpose, SecurityEvent, Session, User
from tests.api import Api
from tests.mails import mailed, mailed_token
from tests.make import PASSWORD, Make, gid

pytestmark = pytest.mark.django_db

VIEWER = "{ viewer { id } }"
PROFILE = "query($id: ID!) { user(id: $id) { fullName bio posts { nodes { status } } comments { totalCount } } }"


async def delete(client: Api) -> None:
    payload = await client.payload("deleteAccount", "success", password=PASSWORD)
    assert payload == {"success": True, "errors": []}


async def test_nobody_can_sign_in_any_more_and_the_row_tells_nothing(api: Api, make: Make) -> None:
    rights = {"is_staff": True, "is_superuser": True}
    user = await make.user(email="ann@example.com", first_name="Ann", last_name="Lee", bio="Me.", **rights)
    await sync_to_async(email_tokens.issue)(user, EmailTokenPurpose.RESET_PASSWORD, user.email)
    here, there = await api.as_(user), await api.as_(user)
    await delete(here)
    for client in (here, there):
        assert (await client(VIEWER)).status == 401
    assert await api.refused("login", email="ann@example.com", password=PASSWORD) == [("INVALID_CREDENTIALS", None)]
    gone = await User.objects.aget()
    assert re.fullmatch(rf"deleted-{user.pk}-[0-9a-f]{{16}}@deleted\.invalid", gone.email)
    assert (gone.first_name, gone.last_name, gone.bio) == ("Deleted user", "", "")
    assert (gone.is_active, gone.is_staff, gone.is_superuser, gone.has_usable_password()) == (False,) * 4
    assert await gone.groups.acount() + await gone.user_permissions.acount() + await gone.email_tokens.acount() == 0
    assert not await Session.objects.filter(revoked_at=None).aexists()
    assert await sync_to_async(mailed)() == [("ann@example.com", "Your account was deleted")]
    assert await SecurityEvent.objects.filter(kind="account_deleted", user_id=user.pk).acount() == 1


async def test_no_table_knows_the_address_any_more(api: Api, make: Make) -> None:
    user = await make.user(email="before@example.com", first_name="Zebra")
    await LogEntry.objects.acreate(
        user=user,
        content_type=await sync_to_async(ContentType.objects.get_for_model)(User),
        object_id=str(user.pk),
        object_repr=str(user),
        action_flag=2,
    )
    client = await api.as_(user)
    await client.payload("requestEmailChange", "", password=PASSWORD, newEmail="after@example.com")
    await client.payload("changeEmail", "", token=await sync_to_async(mailed_token)())
    await sync_to_async(mailed)()
    await delete(client)
    await sync_to_async(mailed)()
    for model in apps.get_models():
        rows = str([row async for row in model._default_manager.values()])
        for trace in ("before@example.com", "after@example.com", "Zebra"):
            assert trace not in rows, model


async def test_the_address_is_free_again(api: Api, make: Make) -> None:
    await delete(await api.as_(await make.user(email="ann@example.com")))
    payload = await api.payload("register", "user { id }", email="ann@example.com", password=PASSWORD, firstName="Ann")
    assert payload["user"]


async def test_needs_the_password_and_a_viewer(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    assert await client.refused("deleteAccount", password="wrong") == [("INVALID_CREDENTIALS", ["password"])]
    assert (await client(VIEWER)).data["viewer"]
    assert await api.refused("deleteAccount", password=PASSWORD) == [("UNAUTHENTICATED", None)]


async def test_nothing_is_done_as_the_viewer_afterwards(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    query = """mutation($password: String!) {
        deleteAccount(input: {password: $password}) { success }
        createPost(input: {title: "After"}) { errors { code } }
    }"""
    assert (await client(query, password=PASSWORD)).data == {
        "deleteAccount": {"success": True},
        "createPost": {"errors": [{"code": "UNAUTHENTICATED"}]},
    }


async def test_what_was_published_stays_and_what_was_not_goes(api: Api, make: Make) -> None:
    user = await make.user()
    published = await make.post(author=user)
    for status in (PostStatus.DRAFT, PostStatus.SCHEDULED, PostStatus.ARCHIVED):
        await make.post(author=user, status=status)
    await make.comment(author=user)
    await make.comment(post=published)
    await delete(await api.as_(user))
    assert (await api(PROFILE, id=gid(user))).data["user"] == {
        "fullName": "Deleted user",
        "bio": "",
        "posts": {"nodes": [{"status": "PUBLISHED"}]},
        "comments": {"totalCount": 1},
    }
    assert await Post.objects.filter(author=user).acount() == 1


@pytest.fixture
def erase(settings: Any) -> None:
    settings.ACCOUNT_DELETION = "erase"


async def test_erasing_takes_posts_with_their_comments_and_empties_answered_comments(
    api: Api, make: Make, erase: None
) -> None:
    user, other = await make.user(), await make.user()
    own_post = await make.post(author=user)
    await make.comment(post=own_post, author=other)
    post = await make.post(author=other)
    answered = await make.comment(post=post, author=user)
    reply = await make.comment(parent=answered, author=other)
    unanswered = await make.comment(post=post, author=user)
    # An empty place whose only reply goes, and goes with it.
    place = await make.comment(post=post, author=user)
    await make.comment(parent=await make.comment(parent=place, author=user), author=user)
    await delete(await api.as_(user))
    assert not await Post.objects.filter(author=user).aexists()
    assert await Post.objects.filter(pk=post.pk).aexists()
    left = {comment.pk: (comment.body, comment.deleted_at is not None) async for comment in Comment.objects.all()}
    assert left == {answered.pk: ("", True), reply.pk: (reply.body, False)}
    assert unanswered.pk not in left


async def test_erasing_costs_the_same_for_few_and_for_many_comments(api: Api, make: Make, erase: None) -> None:
    costs = []
    for number in (2, 250):
        user = await make.user()
        post = await make.post(author=user)
        others = await make.post()
        await Comment.objects.abulk_create(
            Comment(post=each, author=user, body="x") for each in (post, others) for _ in range(number)
        )
        client = await api.as_(user)
        answer = await client("mutation($p: String!) { deleteAccount(input: {password: $p}) { success } }", p=PASSWORD)
        assert answer.data["deleteAccount"]["success"]
        costs.append(answer.statements)
    assert costs[0] == costs[1]
