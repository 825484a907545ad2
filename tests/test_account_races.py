"""What happens to an account at the same moment. Whoever has to wait is made to, by a lock that a test holds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import MD5PasswordHasher, make_password
from django.utils import timezone

from apps.comments.models import Comment
from apps.core.db import conninfo
from apps.posts.models import Post
from apps.users import email_tokens
from apps.users.models import EmailTokenPurpose, RefreshToken, Session, User
from apps.users.services import unconfirmed_accounts_purge
from tests.api import Api
from tests.make import PASSWORD, gid, make_comment, make_post, make_user
from tests.test_races import orm, outcomes, send, signed_in, until_waiting

pytestmark = pytest.mark.django_db(transaction=True)

NEW_PASSWORD = f"better {PASSWORD}"
HOLD_USER = "SELECT FROM users_user WHERE id = ANY(%s) FOR UPDATE"


@asynccontextmanager
async def held(sql: str, *parameters: Any, until: int) -> AsyncIterator[psycopg.Connection]:
    """A transaction that holds what `sql` locks until so many statements wait for it, and commits then."""
    with psycopg.connect(conninfo()) as holder:
        holder.execute(sql, parameters)
        yield holder
        await until_waiting(until)


def issue(user: User, purpose: EmailTokenPurpose, email: str | None = None) -> str:
    return email_tokens.issue(user, purpose, email or user.email)


async def bring(api: Api, mutation: str, secret: str, **more: str) -> dict[str, Any]:
    """`send` with a token from a mail, which is not one of the header."""
    kind = f"{mutation[0].upper()}{mutation[1:]}Input!"
    query = f"mutation($input: {kind}) {{ {mutation}(input: $input) {{ errors {{ code }} }} }}"
    body = {"query": query, "variables": {"input": {"token": secret, **more}}}
    payload: dict[str, Any] = (await api.client.post("/graphql/", json=body)).json()["data"][mutation]
    return payload


@pytest.mark.parametrize(
    ("mutation", "purpose", "more"),
    [
        ("verifyEmail", EmailTokenPurpose.VERIFY_EMAIL, {}),
        ("changeEmail", EmailTokenPurpose.CHANGE_EMAIL, {}),
        ("resetPassword", EmailTokenPurpose.RESET_PASSWORD, {"newPassword": NEW_PASSWORD}),
    ],
)
async def test_a_mailed_token_used_five_times_at_once_works_once(
    api: Api, mutation: str, purpose: EmailTokenPurpose, more: dict[str, str]
) -> None:
    user = await orm(make_user)
    token = await orm(issue, user, purpose)
    async with held(HOLD_USER, [user.pk], until=5):
        uses = [asyncio.create_task(bring(api, mutation, token, **more)) for _ in range(5)]
    assert outcomes(await asyncio.gather(*uses)) == {"OK": 1, "INVALID_TOKEN": 4}


async def test_a_mailed_token_of_an_account_that_is_locked_meanwhile_does_nothing(api: Api) -> None:
    user = await orm(make_user)
    token = await orm(issue, user, EmailTokenPurpose.VERIFY_EMAIL)
    async with held("UPDATE users_user SET is_active = false WHERE id = %s", user.pk, until=1):
        use = asyncio.create_task(bring(api, "verifyEmail", token))
    assert outcomes([await use]) == {"INVALID_TOKEN": 1}


async def test_two_accounts_that_take_one_address_at_once_get_it_once(api: Api) -> None:
    users = [await orm(make_user) for _ in range(2)]
    tokens = [await orm(issue, user, EmailTokenPurpose.CHANGE_EMAIL, "new@example.com") for user in users]
    # An address that somebody is about to have: both find it free, and wait for the index.
    async with held(
        "UPDATE users_user SET email = 'new@example.com' WHERE id = %s", (await orm(make_user)).pk, until=2
    ):
        changes = [asyncio.create_task(bring(api, "changeEmail", token)) for token in tokens]
    assert outcomes(await asyncio.gather(*changes)) == {"UNIQUE": 2}


@pytest.mark.parametrize(
    ("mutation", "field", "more"),
    [
        ("changePassword", "currentPassword", {"newPassword": NEW_PASSWORD}),
        ("deleteAccount", "password", {}),
    ],
)
async def test_a_password_that_was_changed_while_it_was_hashed_proves_nothing(
    api: Api, mutation: str, field: str, more: dict[str, str]
) -> None:
    user, token = await orm(signed_in)
    changed = await sync_to_async(make_password)("what the owner has chosen")
    async with held("UPDATE users_user SET password = %s WHERE id = %s", changed, user.pk, until=1):
        use = asyncio.create_task(send(api, mutation, token=token, **{field: PASSWORD}, **more))
    assert outcomes([await use]) == {"INVALID_CREDENTIALS": 1}
    stored = await orm(User.objects.get, pk=user.pk)
    assert (stored.password, stored.is_active) == (changed, True)


async def test_an_account_that_was_locked_while_the_password_was_hashed_starts_no_session(api: Api) -> None:
    user = await orm(make_user)
    async with held("UPDATE users_user SET is_active = false WHERE id = %s", user.pk, until=1):
        use = asyncio.create_task(send(api, "login", email=user.email, password=PASSWORD))
    assert outcomes([await use]) == {"INVALID_CREDENTIALS": 1}
    assert not await orm(Session.objects.exists)


async def test_a_renewal_whose_session_ends_meanwhile_mints_nothing(api: Api) -> None:
    user = await orm(make_user)
    first = await send(api, "login", "refreshToken", email=user.email, password=PASSWORD)
    async with held("UPDATE users_session SET revoked_at = now()", until=1):
        use = asyncio.create_task(send(api, "refreshToken", refreshToken=first["refreshToken"]))
    assert outcomes([await use]) == {"INVALID_TOKEN": 1}
    assert await orm(RefreshToken.objects.count) == 1


class SlowHasher(MD5PasswordHasher):
    """A real one whose hashes have to be renewed."""

    algorithm = "slow"


async def test_all_who_sign_in_at_once_with_an_outdated_hash_get_in(api: Api, settings: Any) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "tests.test_account_races.SlowHasher",
    ]
    user = await orm(make_user)
    outdated = await sync_to_async(make_password)(PASSWORD, hasher="slow")
    await orm(User.objects.filter(pk=user.pk).update, password=outdated)
    async with held(HOLD_USER, [user.pk], until=4):
        logins = [asyncio.create_task(send(api, "login", email=user.email, password=PASSWORD)) for _ in range(4)]
    assert outcomes(await asyncio.gather(*logins)) == {"OK": 4}


async def test_an_account_deleted_beside_renewals_is_gone(api: Api) -> None:
    for _ in range(5):
        user, token = await orm(signed_in)
        first = await send(api, "login", "refreshToken", email=user.email, password=PASSWORD)
        renewals = [send(api, "refreshToken", "refreshToken", refreshToken=first["refreshToken"]) for _ in range(2)]
        deletion = send(api, "deleteAccount", token=token, password=PASSWORD)
        deleted, *renewed = await asyncio.gather(deletion, *renewals)
        assert outcomes([deleted]) == {"OK": 1}
        for payload in renewed:
            if payload["refreshToken"]:
                assert (await send(api, "refreshToken", refreshToken=payload["refreshToken"]))["errors"]
    assert not await orm(Session.objects.filter(revoked_at=None).exists)


@pytest.fixture
def erase(settings: Any) -> None:
    settings.ACCOUNT_DELETION = "erase"


async def test_a_profile_that_is_changed_beside_the_end_of_its_account_does_not_come_back(api: Api) -> None:
    user, token = await orm(signed_in)
    async with held("UPDATE users_user SET is_active = false WHERE id = %s", user.pk, until=1):
        change = asyncio.create_task(send(api, "updateProfile", token=token, firstName="Back"))
    assert outcomes([await change]) == {"UNAUTHENTICATED": 1}
    assert (await orm(User.objects.get, pk=user.pk)).first_name == "User"


async def test_comments_on_the_posts_of_an_account_that_is_erased_do_not_keep_it(api: Api, erase: None) -> None:
    for _ in range(5):
        user, token = await orm(signed_in)
        _, other = await orm(signed_in)
        post = await orm(make_post, author=user)
        deleted, *comments = await asyncio.gather(
            send(api, "deleteAccount", token=token, password=PASSWORD),
            *(send(api, "addComment", token=other, postId=gid(post), body="x") for _ in range(6)),
        )
        assert outcomes([deleted]) == {"OK": 1}
        assert set(outcomes(comments)) <= {"OK", "NOT_FOUND"}
    assert not await orm(Post.objects.exists)
    assert not await orm(Comment.objects.exists)


async def test_two_accounts_with_comments_on_each_others_posts_are_erased_at_once(api: Api, erase: None) -> None:
    def two() -> list[tuple[User, str]]:
        pair = [signed_in(), signed_in()]
        posts = [make_post(author=user) for user, _ in pair for _ in range(3)]
        for post in posts:
            for user, _ in pair:
                make_comment(post=post, author=user)
        return pair

    for _ in range(5):
        pair = await orm(two)
        deletions = [send(api, "deleteAccount", token=token, password=PASSWORD) for _, token in pair]
        assert outcomes(await asyncio.gather(*deletions)) == {"OK": 2}
    assert not await orm(Comment.objects.exists)


async def test_an_address_like_those_of_deleted_accounts_keeps_nobody_from_deleting_theirs(api: Api) -> None:
    user, token = await orm(signed_in)
    await orm(make_user, email=f"deleted-{user.pk}@deleted.invalid")
    assert outcomes([await send(api, "deleteAccount", token=token, password=PASSWORD)]) == {"OK": 1}


async def test_an_account_that_is_confirmed_while_it_is_being_purged_stays(api: Api, settings: Any) -> None:
    settings.EMAIL_VERIFICATION = "required"
    user = await orm(make_user, date_joined=timezone.now() - timedelta(days=31))
    with psycopg.connect(conninfo()) as owner:
        owner.execute("UPDATE users_user SET email_verified_at = now() WHERE id = %s", [user.pk])
        # It waits for nobody.
        assert await asyncio.wait_for(orm(unconfirmed_accounts_purge), 20) == 0
    assert await orm(User.objects.filter(pk=user.pk).exists)


async def test_what_is_being_written_for_an_account_that_is_purged_is_not_stored(api: Api, settings: Any) -> None:
    settings.EMAIL_VERIFICATION = "required"
    author, post = await orm(make_user, date_joined=timezone.now() - timedelta(days=31)), await orm(make_post)
    with psycopg.connect(conninfo()) as writer:
        writer.execute(
            "INSERT INTO comments_comment (post_id, author_id, depth, body, created_at) "
            "VALUES (%s, %s, 0, 'Text.', now())",
            [post.pk, author.pk],
        )
        assert await orm(unconfirmed_accounts_purge) == 1
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            writer.commit()
    assert not await orm(Comment.objects.exists)


async def test_a_link_that_is_followed_while_its_account_is_being_purged_is_no_longer_valid(
    api: Api, settings: Any
) -> None:
    user = await orm(make_user)
    token = await orm(issue, user, EmailTokenPurpose.VERIFY_EMAIL)
    async with held("SELECT FROM users_user WHERE id = %s FOR UPDATE", user.pk, until=1) as purge:
        following = asyncio.create_task(bring(api, "verifyEmail", token))
        purge.execute("DELETE FROM users_emailtoken WHERE user_id = %s", [user.pk])
        purge.execute("DELETE FROM users_user_groups WHERE user_id = %s", [user.pk])
        purge.execute("DELETE FROM users_user WHERE id = %s", [user.pk])
    assert outcomes([await following]) == {"INVALID_TOKEN": 1}
