"""What strangers have written, in a mail of ours: it stays text, and short."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.comments import mails
from apps.comments.models import Comment, NoticeKind
from apps.posts.models import Post
from apps.users.models import User
from tests.make import gid

SITE, SERVER = "https://app.example.com", "https://api.example.com"
HEADERS = {"content-type", "mime-version", "subject", "from", "to", "date", "message-id"}
UNSUBSCRIBE = {"list-unsubscribe", "list-unsubscribe-post"}
# What PostgreSQL stores, with the characters that matter here more often than by chance.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from('\r\n\u2028\u202e\x85<>&":, '))
HOSTILE = [
    "Ann\r\nBcc: everybody@example.com",
    "Ann\n\n<h1>Body</h1>",
    "\u202egnp.exe",
    '"><a href="https://evil.example.com">',
    "https://evil.example.com",
]


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.found += [value for name, value in attrs if name == "href"]


def comment(pk: int = 1, name: str = "Ann", title: str = "On bread", body: str = "Well.", slug: str = "on") -> Comment:
    post = Post(pk=7, title=title, slug=slug)
    return Comment(pk=pk, author=User(pk=2, first_name=name), post=post, body=body)


def sent(*shown: Comment, kind: NoticeKind = NoticeKind.COMMENT, more: int = 0) -> tuple[EmailMessage, str, str]:
    """The mail as it goes out, its text and its HTML."""
    kinds = {each.pk: kind for each in shown} | {10_000 + number: kind for number in range(more)}
    mails.send(User(pk=3, email="bo@example.com"), shown=shown, kinds=kinds, is_one_post=True)
    message = mail.outbox.pop()
    assert isinstance(message, EmailMultiAlternatives)
    [(html, _)] = message.alternatives
    parsed = message_from_bytes(message.message().as_bytes(), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed, str(message.body), str(html)


def links(html: str) -> list[str]:
    parser = Links()
    parser.feed(html)
    assert parser.tags <= {"html", "head", "meta", "title", "body", "p", "blockquote", "a", "code"}
    return parser.found


@examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(*3 * [st.sampled_from(HOSTILE) | TEXT], st.booleans())
def test_no_text_makes_a_header_a_tag_or_a_link(settings: Any, name: str, title: str, body: str, linked: bool) -> None:
    settings.PUBLIC_URL, settings.FRONTEND_URL = (SERVER, SITE) if linked else ("", "")
    for number in (1, 2):
        message, text, html = sent(*(comment(pk, name, title, body) for pk in range(number)))
        names = [header.lower() for header in message]
        assert len(names) == len({*names})
        assert {*names} == HEADERS | (UNSUBSCRIBE if linked else set())
        assert (message["to"], message["from"]) == ("bo@example.com", "Broadside <noreply@localhost>")
        assert 0 < len(message["subject"]) < 200
        pages = {f"{SITE}/posts", f"{SERVER}/unsubscribe"} if linked else set()
        assert {link.split("#")[0].rpartition("/")[0] for link in links(html)} == pages
        assert len(text.splitlines()) == (6 if linked else 4) * number + 2
        assert max(map(len, text.splitlines())) <= 202


def test_a_link_leads_to_the_comment_on_the_page_of_its_post(settings: Any) -> None:
    settings.FRONTEND_URL = SITE
    shown = comment(slug="über-brot")
    _, text, html = sent(shown)
    link = f"{SITE}/posts/%C3%BCber-brot#comment-{gid(shown)}"
    assert f"\n{link}\n" in text
    assert links(html) == [link]


def test_a_mail_quotes_the_beginning_of_twenty_and_counts_the_others() -> None:
    shown = [comment(pk, body="word " * 2_000) for pk in range(1, 21)]
    message, text, html = sent(*shown, more=1_234)
    assert message["subject"] == '1,254 new comments on "On bread"'
    assert text.count("> word") == html.count("<blockquote") == 20
    assert "And 1234 more." in text
    assert "<p>And 1234 more.</p>" in html
    assert max(map(len, text.splitlines())) <= 202
    assert len(html) < 10_000


@pytest.mark.parametrize(
    ("kind", "subject", "about", "field"),
    [
        (NoticeKind.COMMENT, 'Ann commented on "On bread"', "comments on your posts", "notifyOfComments"),
        (NoticeKind.REPLY, 'Ann replied to you on "On bread"', "replies to your comments", "notifyOfReplies"),
    ],
)
def test_a_mail_says_what_it_is_about_and_how_to_end_it(
    settings: Any, kind: NoticeKind, subject: str, about: str, field: str
) -> None:
    message, text, html = sent(comment(), kind=kind)
    assert message["subject"] == subject
    for part in (text, html):
        assert f"You get mails about {about}." in part
        assert f"{field}: false" in part

    settings.PUBLIC_URL = SERVER
    message, text, html = sent(comment(), kind=kind)
    [url] = re.findall(rf"{SERVER}/unsubscribe/3\.{kind}\.[\w-]+", text)
    assert message["list-unsubscribe"].strip() == f"<{url}>", "on a line of its own, as it is long"
    assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert links(html) == [url]
    assert "notifyOf" not in text + html
