"""The mail that tells of comments. All that it quotes is written by strangers: short, on one line, and with addresses
of the web broken up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from django.conf import settings
from django.template.loader import render_to_string

from apps.comments import unsubscribing
from apps.comments.models import Comment, NoticeKind
from apps.core import mails
from apps.core.ids import global_id
from apps.core.text import quotable
from apps.users.models import User

# How many comments a mail quotes; of the others it says the number.
SHOWN_MAX = 20
# Characters.
NAME_MAX, TITLE_MAX, QUOTE_MAX = 60, 80, 200

DID = {NoticeKind.COMMENT: "commented on", NoticeKind.REPLY: "replied to you on"}
ABOUT = {NoticeKind.COMMENT: "comments on your posts", NoticeKind.REPLY: "replies to your comments"}
FIELDS = {NoticeKind.COMMENT: "notifyOfComments: false", NoticeKind.REPLY: "notifyOfReplies: false"}


@dataclass(frozen=True, slots=True)
class Told:
    """A comment as the mail shows it."""

    heading: str
    text: str
    link: str


def send(to: User, *, shown: Sequence[Comment], kinds: Mapping[int, NoticeKind], is_one_post: bool) -> None:
    """Tell of the comments whose keys `kinds` has, and as what; quote those `shown`, with their authors and posts.

    With PUBLIC_URL its headers let mail programs offer an end to such mails (RFC 8058). Raises what the backend does.
    """
    subject = _subject(shown[0], kinds, is_one_post)
    end = unsubscribing.url(to.pk, {*kinds.values()})
    context = {
        "subject": subject,
        "told": [_told(comment, kinds[comment.pk]) for comment in shown],
        "more": len(kinds) - len(shown),
        "about": named(kinds.values(), ABOUT),
        "fields": named(kinds.values(), FIELDS),
        "end": end,
    }
    text = render_to_string("comments/mail/notices.txt", context)
    html = render_to_string("comments/mail/notices.html", context)
    mails.send(to.email, subject, text, html, unsubscribing.headers(end))


def named(kinds: Iterable[NoticeKind], names: Mapping[NoticeKind, str]) -> list[str]:
    """The names of the kinds that occur, each once."""
    occurring = {*kinds}
    return [names[kind] for kind in NoticeKind if kind in occurring]


def _subject(first: Comment, kinds: Mapping[int, NoticeKind], is_one_post: bool) -> str:
    if len(kinds) == 1:
        return _heading(first, kinds[first.pk])
    what = "replies" if {*kinds.values()} == {NoticeKind.REPLY} else "comments"
    subject = f"{len(kinds):,} new {what}"
    return f'{subject} on "{quotable(first.post.title, TITLE_MAX)}"' if is_one_post else subject


def _told(comment: Comment, kind: NoticeKind) -> Told:
    return Told(_heading(comment, kind), quotable(comment.body, QUOTE_MAX), _link(comment))


def _heading(comment: Comment, kind: NoticeKind) -> str:
    name = quotable(comment.author.get_full_name(), NAME_MAX) or "Somebody"
    return f'{name} {DID[kind]} "{quotable(comment.post.title, TITLE_MAX)}"'


def _link(comment: Comment) -> str:
    if not settings.FRONTEND_URL:
        return ""
    return f"{settings.FRONTEND_URL}/posts/{quote(comment.post.slug)}#comment-{global_id('Comment', comment.pk)}"
