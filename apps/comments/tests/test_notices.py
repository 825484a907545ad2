"""Who is told of a comment by mail, and that several make one mail."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from apps.comments import notices, tasks
from apps.comments.models import Comment, Notice
from apps.comments.services import comment_add, comment_delete
from apps.core.models import OutboxMessage
from apps.posts.models import Post, PostStatus
from apps.users import deletion
from apps.users.models import User
from tests.brokers import database_broker
from tests.make import START, make_comment, make_post, make_user
from tests.tasks import empty_queue, queued, work_off, worker, written
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


def confirmed(**fields: Any) -> User:
    return make_user(**{"email_verified_at": START} | fields)


def say(post: Post, body: str = "Well.", parent: Comment | None = None, by: User | None = None) -> Comment:
    return comment_add(actor=by or make_user(), post_id=post.pk, body=body, parent_id=parent.pk if parent else None)


def mailed() -> list[tuple[str, str, str]]:
    """Do what is in the outbox until nothing is left: recipient, subject and text of each mail that comes of it."""
    before = len(mail.outbox)
    while written():
        work_off()
    return [(message.to[0], str(message.subject), str(message.body)) for message in mail.outbox[before:]]


def recipients() -> list[str]:
    return sorted(to for to, _, _ in mailed())


def test_three_comments_make_one_mail_after_a_while(settings: Any) -> None:
    post = make_post(author=confirmed(), title="On bread")
    for body in ("First.", "Second.", "Third."):
        say(post, body)
    work_off()
    delays = {round((row.due_at - row.created_at) / settings.NOTICE_DELAY, 2) for row in OutboxMessage.objects.all()}
    assert (Notice.objects.count(), settings.NOTICE_DELAY, delays) == (3, timedelta(minutes=5), {1})
    [(to, subject, text)] = mailed()
    assert (to, subject) == (post.author.email, '3 new comments on "On bread"')
    assert text.index("> First.\n") < text.index("> Second.\n") < text.index("> Third.\n")
    assert not Notice.objects.exists()

    say(post, "Fourth.", by=make_user(first_name="Bo", last_name="Li"))
    [(_, subject, text)] = mailed()
    assert subject == 'Bo Li commented on "On bread"'
    assert "Third." not in text


def test_what_comes_after_a_mail_waits_as_long_whatever_messages_are_left_of_before() -> None:
    post = make_post(author=confirmed())
    say(post)
    say(post)
    work_off()
    [(_, first), (_, second)] = written()
    tasks.mail_notices(*first)
    later = make_comment(post=post)
    tasks.comment_added(post.pk, later.pk)
    tasks.mail_notices(*second)
    assert (len(mail.outbox), Notice.objects.get().comment_id) == (1, later.pk)


def test_a_comment_is_told_to_the_author_of_the_post_and_a_reply_to_whom_it_answers() -> None:
    post = make_post(author=confirmed(first_name="Ann"))
    asked = make_comment(post=post, author=confirmed(first_name="Bo"))
    say(post, parent=asked, by=make_user(first_name="Cy", last_name=""))
    assert sorted((to, subject) for to, subject, _ in mailed()) == sorted(
        [
            (post.author.email, f'Cy commented on "{post.title}"'),
            (asked.author.email, f'Cy replied to you on "{post.title}"'),
        ]
    )


def test_nobody_is_told_of_their_own_comments() -> None:
    post = make_post(author=confirmed())
    own = say(post, by=post.author)
    say(post, parent=own, by=post.author)
    assert recipients() == []


def test_a_reply_to_the_author_of_the_post_is_told_once_as_a_reply() -> None:
    post = make_post(author=confirmed())
    own = make_comment(post=post, author=post.author)
    say(post, parent=own)
    [(_, subject, _)] = mailed()
    assert "replied to you" in subject

    User.objects.update(notify_of_replies=False)
    say(post, parent=own)
    assert recipients() == []


@pytest.mark.parametrize(
    "state", [{"email_verified_at": None}, {"is_active": False}, {"notify_of_comments": False}], ids=str
)
def test_nobody_is_told_who_cannot_be_or_does_not_want_to(state: dict[str, Any]) -> None:
    post = make_post(author=confirmed(**state))
    say(post)
    work_off()
    assert written() == []
    assert not Notice.objects.exists()

    wanted = make_post(author=confirmed())
    say(wanted)
    work_off()
    User.objects.filter(pk=wanted.author_id).update(**state)
    assert recipients() == []
    assert not Notice.objects.exists()


def test_what_is_deleted_or_hidden_meanwhile_is_told_to_nobody_who_could_not_read_it() -> None:
    post = make_post(author=confirmed())
    asked = make_comment(post=post, author=confirmed())
    kept, dropped = say(post, "Kept.", parent=asked), say(post, "Dropped.", parent=asked)
    emptied = say(post, "Emptied.", parent=asked)
    make_comment(parent=emptied)
    work_off()
    for comment in (dropped, emptied):
        comment_delete(actor=comment.author, comment_id=comment.pk)
    Post.objects.update(status=PostStatus.ARCHIVED)
    [(to, subject, text)] = mailed()
    assert to == post.author.email, "who still sees the post"
    assert subject == f'{kept.author.get_full_name()} commented on "{post.title}"'
    assert ("Kept." in text, "Dropped." in text, "Emptied." in text) == (True, False, False)
    assert not Notice.objects.exists()


def test_a_comment_that_is_gone_before_anybody_could_be_told_is_no_error() -> None:
    post = make_post(author=confirmed())
    comment = say(post)
    comment_delete(actor=comment.author, comment_id=comment.pk)
    assert recipients() == []


def test_an_account_that_ends_takes_what_it_was_to_be_told_along() -> None:
    user = confirmed()
    say(make_post(author=user))
    work_off()
    with transaction.atomic():
        deletion.delete(user)
    assert not Notice.objects.exists()
    assert recipients() == []


def test_what_an_earlier_message_has_left_goes_with_the_next() -> None:
    """One that was given up after many attempts does not keep its recipient from all mails to come."""
    post = make_post(author=confirmed())
    say(post, "First.")
    work_off()
    OutboxMessage.objects.all().delete()
    say(post, "Second.")
    [(_, subject, _)] = mailed()
    assert subject.startswith("2 new comments")


def test_the_same_comment_noted_again_is_told_once() -> None:
    comment = say(make_post(author=confirmed()))
    tasks.comment_added(comment.post_id, comment.pk)
    assert len(recipients()) == 1


@pytest.mark.parametrize("number", [1, 30])
def test_statements_do_not_grow_with_the_number_of_comments(number: int) -> None:
    post = make_post(author=confirmed())
    comments = [make_comment(post=post) for _ in range(number)]
    with CaptureQueriesContext(connection) as adding:
        added = [notice for comment in comments for notice in notices.add(comment.pk)]
    with CaptureQueriesContext(connection) as mailing:
        notices.mail(post.author_id, added[0].pk)
    assert (len(adding), len(mailing), len(mail.outbox)) == (3 * number, 5, 1)
    assert not Notice.objects.exists()


class Meanwhile(EmailBackend):
    """A real one, and while it is at work so is somebody else, on another connection."""

    work: ClassVar[Callable[[], object]]

    def send_messages(self, messages: Any) -> int:
        with ThreadPoolExecutor(1) as others:
            others.submit(self._work).result(60)
        sent: int = super().send_messages(messages)
        return sent

    def _work(self) -> None:
        try:
            # Where it had to wait for the mail, both would wait for ever.
            connections["default"].cursor().execute("SET lock_timeout = '5s'")
            type(self).work()
        finally:
            connections.close_all()


@pytest.fixture
def meanwhile(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    settings.EMAIL_BACKEND = f"{__name__}.Meanwhile"

    def do_once(work: Callable[[], object]) -> None:
        def once() -> None:
            Meanwhile.work = staticmethod(lambda: None)
            work()

        Meanwhile.work = staticmethod(once)

    yield do_once
    Meanwhile.work = staticmethod(lambda: None)


@committed
def test_a_comment_that_comes_while_the_mail_is_made_is_told_by_another(meanwhile: Any) -> None:
    post = make_post(author=confirmed())
    say(post, "First.")
    work_off()

    def another() -> None:
        comment = make_comment(post=post, body="Second.")
        tasks.comment_added(post.pk, comment.pk)

    meanwhile(another)
    [(_, _, first), (_, _, second)] = mailed()
    assert ("First." in first, "Second." in first) == (True, False)
    assert ("First." in second, "Second." in second) == (False, True)


@committed
def test_two_messages_at_once_make_one_mail_and_do_not_wait_for_each_other(meanwhile: Any) -> None:
    post = make_post(author=confirmed())
    say(post, "First.")
    say(post, "Second.")
    work_off()
    [_, (_, other)] = written()
    meanwhile(lambda: tasks.mail_notices(*other))
    [(_, subject, _)] = mailed()
    assert subject.startswith("2 new comments")


@committed
def test_an_account_does_not_end_while_it_is_mailed_to(meanwhile: Any) -> None:
    user = confirmed()
    say(make_post(author=user))
    work_off()

    def end() -> None:
        with transaction.atomic():
            connections["default"].cursor().execute("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                deletion.delete(user)
            transaction.set_rollback(True)

    meanwhile(end)
    assert recipients() == [user.email]


@committed
def test_a_mail_that_cannot_be_sent_is_sent_later(meanwhile: Any) -> None:
    say(make_post(author=confirmed()))
    work_off()
    [(_, args)] = written()
    meanwhile(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tasks.mail_notices(*args)
    assert (Notice.objects.count(), mail.outbox) == (1, [])
    assert len(recipients()) == 1


@committed
def test_a_message_that_is_delivered_twice_mails_once() -> None:
    say(make_post(author=confirmed()))
    work_off()
    [(_, args)] = written()
    message = tasks.mail_notices.message(*args)
    with empty_queue(), database_broker(tasks.mail_notices) as broker, worker(broker):
        broker.enqueue(message)
        wait_until(lambda: len(mail.outbox) == 1 and queued() == [])
        # As if it had been lost that it was done, all but the inbox.
        post = Post.objects.get()
        Notice.objects.create(pk=args[1], recipient_id=args[0], comment=make_comment(post=post), kind="comment")
        broker.enqueue(message)
        wait_until(lambda: queued() == [])
    assert len(mail.outbox) == 1
