"""Requests at the same moment, each on a thread and a connection of its own, on rows that are committed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import httpx
import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.auth.hashers import MD5PasswordHasher, make_password
from django.db.models import QuerySet
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.comments.admin import CommentAdmin
from apps.comments.models import Comment
from apps.core.admin import ModelAdmin
from apps.core.db import connection_scope, conninfo
from apps.posts.admin import PostAdmin, TagAdmin
from apps.posts.models import Post, Tag
from apps.posts.tests.test_admin import form_data
from apps.users.models import RefreshToken, Session, User
from apps.users.services import sessions
from tests.api import Api
from tests.make import PASSWORD, access_token, gid, make_comment, make_post, make_tag, make_user
from tests.tasks import written
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

P = ParamSpec("P")
T = TypeVar("T")


async def orm(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`work` on a connection that is given back."""
    async with connection_scope():
        return await sync_to_async(work)(*args, **kwargs)


async def send(api: Api, mutation: str, selection: str = "", token: str | None = None, **input: Any) -> dict[str, Any]:
    """A mutation's payload; unlike `api.payload` it can run beside others."""
    kind = f"{mutation[0].upper()}{mutation[1:]}Input!"
    query = f"mutation($input: {kind}) {{ {mutation}(input: $input) {{ {selection} errors {{ code field }} }} }}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"query": query, "variables": {"input": input}}
    response: httpx.Response = await api.client.post("/graphql/", json=body, headers=headers)
    answer = response.json()
    assert "errors" not in answer, answer["errors"]
    payload: dict[str, Any] = answer["data"][mutation]
    return payload


def outcomes(payloads: Sequence[dict[str, Any]]) -> Counter[str]:
    """How often each code came, and "OK" for what was carried out."""
    return Counter(payload["errors"][0]["code"] if payload["errors"] else "OK" for payload in payloads)


def signed_in(**fields: Any) -> tuple[User, str]:
    user = make_user(**fields)
    return user, access_token(user)


async def test_one_address_in_two_spellings_becomes_one_account(api: Api) -> None:
    new = {"password": PASSWORD, "firstName": "Ann"}
    payloads = await asyncio.gather(
        send(api, "register", email="ann@example.com", **new), send(api, "register", email="ANN@Example.com", **new)
    )
    assert outcomes(payloads) == {"OK": 1, "UNIQUE": 1}
    [user] = await orm(lambda: list(User.objects.all()))
    assert user.email == "ann@example.com"
    assert await orm(written) == [("mail_confirmation", [user.email])]


async def test_ten_posts_with_one_title_get_ten_slugs(api: Api) -> None:
    _, token = await orm(signed_in)
    payloads = await asyncio.gather(
        *(send(api, "createPost", "post { slug }", token, title="Same title") for _ in range(10))
    )
    assert outcomes(payloads) == {"OK": 10}
    slugs = {payload["post"]["slug"] for payload in payloads}
    assert len(slugs) == 10
    assert "same-title" in slugs
    assert await orm(Post.objects.count) == 10


async def test_a_refresh_token_used_20_times_at_once_mints_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    # "At once" must not depend on how quickly this machine comes to the last of them.
    monkeypatch.setattr(sessions, "REUSE_GRACE", timedelta(hours=1))
    user = await orm(make_user)
    first = await send(api, "login", "refreshToken", email=user.email, password=PASSWORD)
    payloads = await asyncio.gather(
        *(send(api, "refreshToken", "accessToken refreshToken", refreshToken=first["refreshToken"]) for _ in range(20))
    )
    assert outcomes(payloads) == {"OK": 1, "INVALID_TOKEN": 19}
    assert await orm(RefreshToken.objects.count) == 2
    assert await orm(Session.objects.filter(revoked_at=None).count) == 1, "parallel tabs are no theft"
    [winner] = [payload for payload in payloads if payload["refreshToken"]]
    assert outcomes([await send(api, "refreshToken", refreshToken=winner["refreshToken"])]) == {"OK": 1}


async def test_a_logout_beside_a_renewal_leaves_nothing_usable(api: Api) -> None:
    user = await orm(make_user)
    renewed: dict[str, Any]
    for _ in range(5):
        first = await send(api, "login", "refreshToken", email=user.email, password=PASSWORD)
        renewed, _ = await asyncio.gather(
            send(api, "refreshToken", "refreshToken", refreshToken=first["refreshToken"]),
            send(api, "logout", "success", refreshToken=first["refreshToken"]),
        )
        token = renewed["refreshToken"] or first["refreshToken"]
        assert outcomes([await send(api, "refreshToken", refreshToken=token)]) == {"INVALID_TOKEN": 1}
    assert not await orm(Session.objects.filter(revoked_at=None).exists)


async def test_a_password_change_beside_a_renewal_leaves_one_session(api: Api) -> None:
    user, token = await orm(signed_in)
    first = await send(api, "login", "refreshToken", email=user.email, password=PASSWORD)
    renewed, changed = await asyncio.gather(
        send(api, "refreshToken", "refreshToken", refreshToken=first["refreshToken"]),
        send(api, "changePassword", "refreshToken", token, currentPassword=PASSWORD, newPassword=f"another {PASSWORD}"),
    )
    assert outcomes([changed]) == {"OK": 1}
    old = renewed["refreshToken"] or first["refreshToken"]
    assert outcomes([await send(api, "refreshToken", refreshToken=old)]) == {"INVALID_TOKEN": 1}
    assert outcomes([await send(api, "refreshToken", refreshToken=changed["refreshToken"])]) == {"OK": 1}


async def test_of_parallel_updates_from_one_version_one_wins(api: Api) -> None:
    user, token = await orm(signed_in)
    post = await orm(make_post, author=user)
    payloads = await asyncio.gather(
        *(
            send(api, "updatePost", "post { title version }", token, id=gid(post), version=1, title=f"Title {number}")
            for number in range(2)
        )
    )
    assert outcomes(payloads) == {"OK": 1, "CONFLICT": 1}
    [winner] = [payload["post"] for payload in payloads if payload["post"]]
    await orm(post.refresh_from_db)
    assert (post.title, post.version) == (winner["title"], 2)


async def test_parallel_updates_of_tags_leave_one_list(api: Api) -> None:
    """Replacing the tags is a deletion and an insertion: without the lock two of them would mix."""
    user, token = await orm(signed_in)
    tags = await orm(lambda: [make_tag().slug for _ in range(6)])
    post = await orm(make_post, author=user)
    payloads = await asyncio.gather(
        send(api, "updatePost", "", token, id=gid(post), version=1, tags=tags[:3]),
        send(api, "updatePost", "", token, id=gid(post), version=1, tags=tags[3:]),
    )
    assert outcomes(payloads) == {"OK": 1, "CONFLICT": 1}
    stored = await orm(lambda: [tagging.tag.slug for tagging in post.taggings.order_by("position")])
    assert stored in (tags[:3], tags[3:])


async def test_a_post_deleted_beside_an_update_is_gone(api: Api) -> None:
    user, token = await orm(signed_in)
    post = await orm(make_post, author=user)
    updated, deleted = await asyncio.gather(
        send(api, "updatePost", "", token, id=gid(post), version=1, title="New"),
        send(api, "deletePost", "", token, id=gid(post)),
    )
    assert outcomes([deleted]) == {"OK": 1}
    assert set(outcomes([updated])) <= {"OK", "NOT_FOUND"}
    assert not await orm(Post.objects.exists)


async def test_a_reply_beside_the_deletion_of_its_parent(api: Api) -> None:
    """Whichever comes first: no reply without a parent, no empty place without a reply."""
    user, token = await orm(signed_in)
    for _ in range(6):
        parent = await orm(make_comment, author=user)
        post = gid(Post(pk=parent.post_id))
        reply, deleted = await asyncio.gather(
            send(api, "addComment", "comment { id }", token, postId=post, parentId=gid(parent), body="Reply."),
            send(api, "deleteComment", "deletedCommentId", token, id=gid(parent)),
        )
        assert outcomes([deleted]) == {"OK": 1}
        left = await orm(list, Comment.objects.filter(post=parent.post_id).order_by("id"))
        if reply["comment"]:
            assert [(row.body, row.deleted_at is None) for row in left] == [("", False), ("Reply.", True)]
        else:
            assert set(outcomes([reply])) <= {"INVALID", "CONFLICT"}
            assert left == []


async def test_two_siblings_below_an_empty_place_deleted_at_once_leave_nothing(api: Api) -> None:
    user, token = await orm(signed_in)
    for _ in range(6):
        parent = await orm(make_comment, author=user)
        siblings = [await orm(make_comment, author=user, parent=parent) for _ in range(2)]
        assert outcomes([await send(api, "deleteComment", token=token, id=gid(parent))]) == {"OK": 1}
        payloads = await asyncio.gather(*(send(api, "deleteComment", token=token, id=gid(row)) for row in siblings))
        assert outcomes(payloads) == {"OK": 2}
        assert not await orm(Comment.objects.exists), "the empty place stayed"


async def test_one_comment_deleted_ten_times_at_once_goes_once(api: Api) -> None:
    user, token = await orm(signed_in)
    comment = await orm(make_comment, author=user)
    payloads = await asyncio.gather(*(send(api, "deleteComment", token=token, id=gid(comment)) for _ in range(10)))
    assert outcomes(payloads) == {"OK": 1, "NOT_FOUND": 9}


async def test_comments_on_a_post_that_is_being_deleted(api: Api) -> None:
    user, token = await orm(signed_in)
    post = await orm(make_post, author=user)
    *comments, deleted = await asyncio.gather(
        *(send(api, "addComment", "", token, postId=gid(post), body=f"{number}") for number in range(6)),
        send(api, "deletePost", "", token, id=gid(post)),
    )
    assert outcomes([deleted]) == {"OK": 1}
    assert set(outcomes(comments)) <= {"OK", "NOT_FOUND"}
    assert not await orm(Comment.objects.exists)


async def test_more_requests_than_connections_are_all_answered(api: Api) -> None:
    """Each gives its connection back: 40 at once share the pool of ten."""
    user, token = await orm(signed_in)
    post = await orm(make_post, author=user)
    payloads = await asyncio.gather(
        *(send(api, "addComment", "", token, postId=gid(post), body=f"{number}") for number in range(40))
    )
    assert outcomes(payloads) == {"OK": 40}
    assert await orm(Comment.objects.count) == 40


async def test_a_sign_in_with_the_old_password_does_not_outlive_its_change(api: Api) -> None:
    user, token = await orm(signed_in)
    new = "another correct horse"
    logins = [send(api, "login", "accessToken", email=user.email, password=PASSWORD) for _ in range(8)]
    change = send(api, "changePassword", "accessToken", token=token, currentPassword=PASSWORD, newPassword=new)
    *signed, changed = await asyncio.gather(*logins, change)
    assert changed["errors"] == []
    living = Session.objects.filter(user=user, revoked_at=None)
    assert await orm(living.count) == 1
    for payload in signed:
        if payload["accessToken"]:
            response = await api.client.post(
                "/graphql/",
                json={"query": "{ viewer { id } }"},
                headers={"Authorization": f"Bearer {payload['accessToken']}"},
            )
            assert response.status_code == 401


class OvertakenHasher(MD5PasswordHasher):
    """A real hasher that takes its time: meanwhile the owner sets a new password."""

    algorithm = "overtaken"
    NEW = "what the owner has chosen"

    def verify(self, password: str, encoded: str) -> bool:
        change = "UPDATE users_user SET password = %s WHERE password = %s"
        with psycopg.connect(conninfo(), autocommit=True) as owner:
            owner.execute(change, [make_password(self.NEW), encoded])
        return super().verify(password, encoded)


async def test_an_outdated_hash_that_is_renewed_does_not_undo_a_change_of_password(api: Api, settings: Any) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "tests.test_races.OvertakenHasher",
    ]
    user = await orm(make_user)
    await orm(User.objects.filter(pk=user.pk).update, password=make_password(PASSWORD, hasher="overtaken"))

    payload = await send(api, "login", email=user.email, password=PASSWORD)

    assert outcomes([payload]) == {"INVALID_CREDENTIALS": 1}
    assert (await orm(User.objects.get, pk=user.pk)).check_password(OvertakenHasher.NEW)


def waiting_for_locks(observer: psycopg.Connection) -> int:
    """How many statements on this database wait for somebody's lock; asked outside any transaction."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    [number] = observer.execute(waiting).fetchone() or [0]
    return int(number)


async def until_waiting(number: int) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as observer:
        await asyncio.to_thread(wait_until, lambda: waiting_for_locks(observer) == number)


async def test_a_tag_that_is_deleted_while_a_post_is_written_with_it_is_unknown(api: Api) -> None:
    _, token = await orm(signed_in)
    tag = await orm(make_tag)
    with psycopg.connect(conninfo()) as staff:
        staff.execute("DELETE FROM posts_tag WHERE id = %s", [tag.pk])
        writing = asyncio.create_task(send(api, "createPost", "", token, title="On bread", tags=[tag.slug]))
        await until_waiting(1)

    assert outcomes([await writing]) == {"INVALID": 1}
    assert not await orm(Post.objects.exists)


async def test_a_tag_that_is_deleted_while_the_admin_writes_a_post_with_it_is_refused() -> None:
    staff, tag = await orm(superuser), await orm(make_tag)

    def write() -> bytes:
        client = Client()
        client.force_login(staff)
        return client.post(reverse("admin:posts_post_add"), form_data(staff, None, [tag])).content

    with psycopg.connect(conninfo()) as other:
        other.execute("DELETE FROM posts_tag WHERE id = %s", [tag.pk])
        writing = asyncio.create_task(orm(write))
        await until_waiting(1)

    assert b"has just been deleted" in await writing
    assert not await orm(Post.objects.exists)


async def test_a_tag_is_deleted_from_a_post_that_is_being_written_with_it() -> None:
    staff, tag, post = await orm(superuser), await orm(make_tag), await orm(make_post)
    with psycopg.connect(conninfo()) as writer:
        writer.execute("SELECT FROM posts_tag WHERE id = %s FOR KEY SHARE", [tag.pk])
        values = [post.pk, tag.pk]
        writer.execute("INSERT INTO posts_tagging (post_id, tag_id, position) VALUES (%s, %s, 0)", values)
        deleting = asyncio.create_task(orm(delete_in_admin, TagAdmin, staff, Tag.objects.filter(pk=tag.pk)))
        await until_waiting(1)

    await deleting
    assert not await orm(Tag.objects.exists)
    assert await orm(Post.objects.exists)


async def test_two_bulk_deletions_of_posts_that_overlap_wait_for_each_other() -> None:
    staff, first, _ = await orm(superuser), await orm(make_post), await orm(make_post)
    with psycopg.connect(conninfo()) as holder:
        holder.execute("SELECT FROM posts_post WHERE id = %s FOR UPDATE", [first.pk])
        deletions = []
        for number, order in enumerate(["pk", "-pk"], start=1):
            chosen = Post.objects.order_by(order)
            deletions.append(asyncio.create_task(orm(delete_in_admin, PostAdmin, staff, chosen)))
            await until_waiting(number)

    await asyncio.gather(*deletions)
    assert not await orm(Post.objects.exists)


async def test_two_bulk_deletions_of_comments_that_overlap_wait_for_each_other() -> None:
    staff, first, second = await orm(superuser), await orm(make_post), await orm(make_post)
    tops = {post: await orm(make_comment, post=post) for post in (first, second)}
    replies = {post: await orm(make_comment, parent=tops[post]) for post in (first, second)}
    # From the bottom up alone, one would begin with the first post and the other with the second.
    choices = [replies[first], tops[second]], [replies[second], tops[first]]
    with psycopg.connect(conninfo()) as holder:
        holder.execute("SELECT FROM posts_post WHERE id = %s FOR UPDATE", [first.pk])
        deletions = []
        for number, comments in enumerate(choices, start=1):
            chosen = Comment.objects.filter(pk__in=[comment.pk for comment in comments])
            deletions.append(asyncio.create_task(orm(delete_in_admin, CommentAdmin, staff, chosen)))
            await until_waiting(number)

    await asyncio.gather(*deletions)
    assert not await orm(Comment.objects.filter(deleted_at=None).exists)


def superuser() -> User:
    return make_user(is_staff=True, is_superuser=True)


def delete_in_admin(kind: type[ModelAdmin[Any]], staff: User, chosen: QuerySet[Any]) -> None:
    """What the action "Delete selected" does after its confirmation."""
    request = RequestFactory().post("/")
    request.user = staff
    kind(chosen.model, admin.site).delete_queryset(request, chosen)
