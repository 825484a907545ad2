"""The link in a mail that ends such mails: for whoever has it, in one click, and by nothing less than that."""

import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core import mail
from django.core.signing import Signer

from apps.comments import unsubscribing
from apps.comments.models import NoticeKind
from apps.comments.services import comment_add
from apps.users.models import User
from tests.api import Api
from tests.make import START, Make, make_comment, make_post, make_user
from tests.tasks import work_off, written

pytestmark = pytest.mark.django_db

ORIGIN = "http://testserver"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def reachable(settings: Any) -> None:
    settings.PUBLIC_URL = ORIGIN


def mailed_about(user: User, kind: NoticeKind) -> list[str]:
    """The links of what is mailed to `user` when somebody writes what is of this kind to them."""
    own = make_comment(author=user)
    post, parent = (own.post, own) if kind == NoticeKind.REPLY else (make_post(author=user), None)
    before = len(mail.outbox)
    comment_add(actor=make_user(), post_id=post.pk, parent_id=parent.pk if parent else None, body="Well.")
    while written():
        work_off()
    return [re.sub("[<>]", "", message.extra_headers["List-Unsubscribe"]) for message in mail.outbox[before:]]


@sync_to_async
def wanted(user: User) -> tuple[bool, bool]:
    user.refresh_from_db()
    return user.notify_of_comments, user.notify_of_replies


@pytest.mark.parametrize(("kind", "left"), [(NoticeKind.COMMENT, (False, True)), (NoticeKind.REPLY, (True, False))])
async def test_one_click_in_the_mail_program_ends_mails_of_this_kind(
    api: Api, make: Make, kind: NoticeKind, left: tuple[bool, bool]
) -> None:
    user = await make.user(email_verified_at=START)
    [url] = await sync_to_async(mailed_about)(user, kind)
    for _ in range(2):
        response = await api.client.post(url, data=ONE_CLICK)
        assert (response.status_code, await wanted(user)) == (200, left)
        assert "set-cookie" not in response.headers
    other = ({*NoticeKind} - {kind}).pop()
    assert await sync_to_async(mailed_about)(user, kind) == []
    assert len(await sync_to_async(mailed_about)(user, other)) == 1


async def test_a_page_with_a_button_is_shown_first_and_changes_nothing(api: Api, make: Make) -> None:
    user = await make.user()
    url = unsubscribing.url(user.pk, NoticeKind)
    for method in ("GET", "HEAD"):
        assert (await api.client.request(method, url)).status_code == 200
    page = await api.client.get(url)
    assert await wanted(user) == (True, True)
    assert "comments on your posts and replies to your comments" in page.text
    assert re.findall("<form[^>]*>", page.text) == ['<form method="post">']
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert not re.search("<script|<link|<img|src=", page.text)
    assert "no-store" in page.headers["cache-control"]
    assert user.email not in page.text

    done = await api.client.post(url, headers={"Origin": "null", "Cookie": "sessionid=x; csrftoken=y"})
    assert (done.status_code, await wanted(user)) == (200, (False, False))
    assert "<form" not in done.text


async def test_any_other_token_is_not_found(api: Api, make: Make) -> None:
    user, other = await make.user(), await make.user()
    token = unsubscribing.token(user.pk, [NoticeKind.COMMENT])
    forged = [
        token.replace(f"{user.pk}.", f"{other.pk}.", 1),
        token.replace("comment", "reply"),
        token[:-1],
        f"{token}x",
        f"{user.pk}.comment",
        Signer(sep=".").sign(f"{user.pk}.comment"),
        "x",
        "%00",
        "%FF",
        "\u00fc",
    ]
    for each in forged:
        for method in ("GET", "POST"):
            assert (await api.client.request(method, f"/unsubscribe/{each}")).status_code == 404, each
    assert await wanted(user) == await wanted(other) == (True, True)
    assert (await api.client.put(f"/unsubscribe/{token}")).status_code == 405


async def test_a_link_outlives_the_account_and_a_change_of_the_key_that_keeps_the_old_one(
    api: Api, make: Make, settings: Any
) -> None:
    user = await make.user()
    urls = [unsubscribing.url(pk, [NoticeKind.REPLY]) for pk in (user.pk, 10**15)]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 10
    assert [(await api.client.post(url)).status_code for url in urls] == [200, 200]
    assert await wanted(user) == (True, False)
    settings.SECRET_KEY_FALLBACKS = []
    assert (await api.client.post(urls[0])).status_code == 404


async def test_it_is_not_for_foreign_hosts(api: Api, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["api.example.com"]
    url = unsubscribing.url(1, [NoticeKind.REPLY])
    assert (await api.client.post(url)).status_code == 400
    assert (await api.client.post(url, headers={"Host": "api.example.com"})).status_code == 200
